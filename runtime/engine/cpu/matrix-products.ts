/**
 * @file Matrix products on arena views through onnxruntime: three tiny sessions with symbolic dimensions serve every
 * shape. No weight is ever copied or transposed.
 */
import '../no-telemetry.ts';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { ProductModels } from '../../../models/onnx/products.ts';
import { freeNow } from '../../garbage.ts';
import { sessionOptions } from './session-options.ts';

/**
 * onnxruntime-node copies every output once more; beyond this size that copy costs more than another call, unless so few
 * rows remain that packing the right operand again costs more than either.
 */
const OUTPUT_BYTES = 1 << 20;
const LEAST_ROWS = 256;

export class MatrixProducts {
  readonly #nn: InferenceSession;
  readonly #nt: InferenceSession;
  readonly #tnAdd: InferenceSession;
  readonly #memory: WebAssembly.Memory;

  private constructor(memory: WebAssembly.Memory, nn: InferenceSession, nt: InferenceSession, tnAdd: InferenceSession) {
    this.#memory = memory;
    this.#nn = nn;
    this.#nt = nt;
    this.#tnAdd = tnAdd;
  }

  static async create(memory: WebAssembly.Memory, models: ProductModels, threads: number): Promise<MatrixProducts> {
    const open = (model: Uint8Array) => InferenceSession.create(model, sessionOptions(threads));
    return new MatrixProducts(memory, await open(models.nn), await open(models.nt), await open(models.tnAdd));
  }

  /** y[m, n] = a[m, k] b[k, n]; operands are byte offsets. */
  async nn(a: number, b: number, y: number, m: number, k: number, n: number): Promise<void> {
    const right = this.#tensor(b, k, n);
    for (const [from, rows] of chunks(m, n)) {
      await this.#run(this.#nn, { a: this.#tensor(a + 4 * from * k, rows, k), b: right }, y + 4 * from * n, rows, n);
    }
  }

  /** y[m, n] = a[m, k] b[n, k]^T. */
  async nt(a: number, b: number, y: number, m: number, k: number, n: number): Promise<void> {
    const right = this.#tensor(b, n, k);
    for (const [from, rows] of chunks(m, n)) {
      await this.#run(this.#nt, { a: this.#tensor(a + 4 * from * k, rows, k), b: right }, y + 4 * from * n, rows, n);
    }
  }

  /**
   * y[m, n] += a[k, m]^T b[k, n]. Gemm's C and its output are the same memory: onnxruntime copies C into the output and adds
   * the product there, so the sum costs nothing extra.
   */
  async tnAdd(a: number, b: number, y: number, m: number, k: number, n: number): Promise<void> {
    const sum = this.#tensor(y, m, n);
    await this.#run(this.#tnAdd, { a: this.#tensor(a, k, m), b: this.#tensor(b, k, n), c: sum }, y, m, n);
  }

  async release(): Promise<void> {
    for (const session of [this.#nn, this.#nt, this.#tnAdd]) await session.release();
  }

  async #run(session: InferenceSession, feeds: Record<string, Tensor>, y: number, rows: number, columns: number) {
    const results = await session.run(feeds, { y: this.#tensor(y, rows, columns) });
    // A copy of what the arena holds, which nobody reads.
    freeNow(results.y?.data as Float32Array<ArrayBuffer>);
  }

  #tensor(offset: number, rows: number, columns: number): Tensor {
    return new Tensor('float32', new Float32Array(this.#memory.buffer, offset, rows * columns), [rows, columns]);
  }
}

/** Row ranges of nearly equal size whose outputs stay below OUTPUT_BYTES if they have LEAST_ROWS rows or more. */
function* chunks(rows: number, columns: number): Generator<readonly [from: number, rows: number]> {
  const parts = Math.max(1, Math.min(Math.floor(rows / LEAST_ROWS), Math.ceil((4 * rows * columns) / OUTPUT_BYTES)));
  for (let part = 0; part < parts; part++) {
    const from = Math.floor((part * rows) / parts);
    yield [from, Math.floor(((part + 1) * rows) / parts) - from];
  }
}
