/**
 * @file Matrix products on arena views through onnxruntime: three tiny sessions with symbolic dimensions serve every
 * shape. No weight is ever copied or transposed.
 */
import '../no-telemetry.ts';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { ProductModels } from '../../../models/onnx/products.ts';
import { GarbageMeter } from '../../garbage.ts';
import { sessionOptions } from './session-options.ts';

/** Copies of outputs, in bytes, after which they are collected; more often, and those in flight live on as old ones. */
const GARBAGE_BYTES = 4 << 20;

/** onnxruntime-node copies every output once more; beyond this size that copy costs more than another call. */
const OUTPUT_BYTES = 1 << 20;

export class MatrixProducts {
  readonly #nn: InferenceSession;
  readonly #nt: InferenceSession;
  readonly #tnAdd: InferenceSession;
  readonly #memory: WebAssembly.Memory;
  /** The copies that runs make of their outputs and nobody reads. */
  readonly #copies = new GarbageMeter(GARBAGE_BYTES, 'minor');

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
      await this.#nn.run(
        { a: this.#tensor(a + 4 * from * k, rows, k), b: right },
        { y: this.#tensor(y + 4 * from * n, rows, n) },
      );
      this.#copies.drop(4 * rows * n);
    }
  }

  /** y[m, n] = a[m, k] b[n, k]^T. */
  async nt(a: number, b: number, y: number, m: number, k: number, n: number): Promise<void> {
    const right = this.#tensor(b, n, k);
    for (const [from, rows] of chunks(m, n)) {
      await this.#nt.run(
        { a: this.#tensor(a + 4 * from * k, rows, k), b: right },
        { y: this.#tensor(y + 4 * from * n, rows, n) },
      );
      this.#copies.drop(4 * rows * n);
    }
  }

  /**
   * y[m, n] += a[k, m]^T b[k, n]. Gemm's C and its output are the same memory: onnxruntime copies C into the output and adds
   * the product there, so the sum costs nothing extra.
   */
  async tnAdd(a: number, b: number, y: number, m: number, k: number, n: number): Promise<void> {
    const sum = this.#tensor(y, m, n);
    await this.#tnAdd.run({ a: this.#tensor(a, k, m), b: this.#tensor(b, k, n), c: sum }, { y: sum });
    this.#copies.drop(4 * m * n);
  }

  async release(): Promise<void> {
    for (const session of [this.#nn, this.#nt, this.#tnAdd]) await session.release();
  }

  #tensor(offset: number, rows: number, columns: number): Tensor {
    return new Tensor('float32', new Float32Array(this.#memory.buffer, offset, rows * columns), [rows, columns]);
  }
}

/** Row ranges whose outputs stay below OUTPUT_BYTES, of nearly equal size. */
function* chunks(rows: number, columns: number): Generator<readonly [from: number, rows: number]> {
  const parts = Math.max(1, Math.min(rows, Math.ceil((4 * rows * columns) / OUTPUT_BYTES)));
  for (let part = 0; part < parts; part++) {
    const from = Math.floor((part * rows) / parts);
    yield [from, Math.floor(((part + 1) * rows) / parts) - from];
  }
}
