/**
 * @file Matrix products on arena views through onnxruntime: three tiny sessions with symbolic dimensions serve every
 * shape. No weight is ever copied or transposed.
 */
import '../no-telemetry.ts';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { NOTHING, type ProductModels } from '../../../models/onnx/products.ts';
import { ExecutionError } from '../../errors.ts';
import { freeNow } from '../../garbage.ts';
import type { Products } from './products.ts';
import { sessionOptions } from './session-options.ts';

/**
 * onnxruntime-node copies every output once more. From this size on the copy costs more than the error that prevents it
 * (products.ts); where that does not work, more than another call, unless so few rows remain that packing the right operand
 * again costs more than either.
 */
const OUTPUT_BYTES = 1 << 20;
const LEAST_ROWS = 256;

export class MatrixProducts implements Products {
  readonly #nn: InferenceSession;
  readonly #nt: InferenceSession;
  readonly #tnAdd: InferenceSession;
  readonly #memory: WebAssembly.Memory;
  /** What onnxruntime-node says instead of copying an output; null if it cannot be kept from that. */
  readonly #refusal: string | null;

  private constructor(
    memory: WebAssembly.Memory,
    [nn, nt, tnAdd]: readonly [InferenceSession, InferenceSession, InferenceSession],
    refusal: string | null,
  ) {
    this.#memory = memory;
    this.#nn = nn;
    this.#nt = nt;
    this.#tnAdd = tnAdd;
    this.#refusal = refusal;
  }

  static async create(memory: WebAssembly.Memory, models: ProductModels, threads: number): Promise<MatrixProducts> {
    const open = (model: Uint8Array) => InferenceSession.create(model, sessionOptions(threads));
    const sessions = [await open(models.nn), await open(models.nt), await open(models.tnAdd)] as const;
    return new MatrixProducts(memory, sessions, await refusalOf(sessions[0]));
  }

  /** y[m, n] = a[m, k] b[k, n]; operands are byte offsets. */
  async nn(a: number, b: number, y: number, m: number, k: number, n: number): Promise<void> {
    const right = this.#tensor(b, k, n);
    for (const [from, rows] of this.#chunks(m, n)) {
      await this.#run(this.#nn, { a: this.#tensor(a + 4 * from * k, rows, k), b: right }, y + 4 * from * n, rows, n);
    }
  }

  /** y[m, n] = a[m, k] b[n, k]^T. */
  async nt(a: number, b: number, y: number, m: number, k: number, n: number): Promise<void> {
    const right = this.#tensor(b, n, k);
    for (const [from, rows] of this.#chunks(m, n)) {
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
    const output = this.#tensor(y, rows, columns);
    if (this.#refusal !== null && 4 * rows * columns >= OUTPUT_BYTES) {
      const said = await refused(session, feeds, output);
      if (said !== this.#refusal) throw new ExecutionError(`onnxruntime cannot multiply matrices: ${said}`);
      return;
    }
    const results = await session.run(feeds, { y: output });
    // A copy of what the arena holds, which nobody reads.
    freeNow(results.y?.data as Float32Array<ArrayBuffer>);
  }

  #chunks(rows: number, columns: number): Iterable<readonly [from: number, rows: number]> {
    return this.#refusal === null ? chunks(rows, columns) : [[0, rows]];
  }

  #tensor(offset: number, rows: number, columns: number): Tensor {
    return new Tensor('float32', new Float32Array(this.#memory.buffer, offset, rows * columns), [rows, columns]);
  }
}

/** Computes y, and what onnxruntime-node says when it is to return nothing beside it; null if it returned something. */
async function refused(session: InferenceSession, feeds: Record<string, Tensor>, y: Tensor): Promise<string | null> {
  try {
    await session.run(feeds, { [NOTHING]: null, y });
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Tries a product of two numbers: what is said if it arrives without being returned. */
async function refusalOf(nn: InferenceSession): Promise<string | null> {
  const [a, b, y] = [2, 3, 0].map((value) => new Tensor('float32', Float32Array.of(value), [1, 1])) as [
    Tensor,
    Tensor,
    Tensor,
  ];
  const said = await refused(nn, { a, b }, y);
  return y.data[0] === 6 ? said : null;
}

/** Row ranges of nearly equal size whose outputs stay below OUTPUT_BYTES if they have LEAST_ROWS rows or more. */
function* chunks(rows: number, columns: number): Generator<readonly [from: number, rows: number]> {
  const parts = Math.max(1, Math.min(Math.floor(rows / LEAST_ROWS), Math.ceil((4 * rows * columns) / OUTPUT_BYTES)));
  for (let part = 0; part < parts; part++) {
    const from = Math.floor((part * rows) / parts);
    yield [from, Math.floor(((part + 1) * rows) / parts) - from];
  }
}
