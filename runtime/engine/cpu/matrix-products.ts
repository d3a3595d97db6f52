/**
 * @file Matrix products on arena views through onnxruntime: three tiny sessions with symbolic dimensions serve every
 * shape. No weight is ever copied or transposed.
 */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { type AttributeInput, encodeModel, makeGraph, makeModel, makeNode, makeValueInfo } from '../../../models/onnx/proto.ts';
import { sessionOptions } from './session-options.ts';

/** onnxruntime-node copies every output once more; beyond this size that copy costs more than another call. */
const OUTPUT_BYTES = 1 << 20;

interface Product {
  readonly session: InferenceSession;
  readonly attributes: Readonly<Record<string, AttributeInput>>;
}

export class MatrixProducts {
  readonly #nn: Product;
  readonly #nt: Product;
  readonly #tn: Product;
  readonly #memory: WebAssembly.Memory;

  private constructor(memory: WebAssembly.Memory, [nn, nt, tn]: readonly [Product, Product, Product]) {
    this.#memory = memory;
    this.#nn = nn;
    this.#nt = nt;
    this.#tn = tn;
  }

  static async create(memory: WebAssembly.Memory, threads: number): Promise<MatrixProducts> {
    return new MatrixProducts(memory, [
      await makeProduct({}, false, threads),
      await makeProduct({ transB: 1 }, false, threads),
      await makeProduct({ transA: 1 }, true, threads),
    ]);
  }

  /** y[m, n] = a[m, k] b[k, n]; operands are byte offsets. */
  async nn(a: number, b: number, y: number, m: number, k: number, n: number): Promise<void> {
    const right = this.#tensor(b, k, n);
    for (const [from, rows] of chunks(m, n)) {
      await this.#nn.session.run(
        { a: this.#tensor(a + 4 * from * k, rows, k), b: right },
        { y: this.#tensor(y + 4 * from * n, rows, n) },
      );
    }
  }

  /** y[m, n] = a[m, k] b[n, k]^T. */
  async nt(a: number, b: number, y: number, m: number, k: number, n: number): Promise<void> {
    const right = this.#tensor(b, n, k);
    for (const [from, rows] of chunks(m, n)) {
      await this.#nt.session.run(
        { a: this.#tensor(a + 4 * from * k, rows, k), b: right },
        { y: this.#tensor(y + 4 * from * n, rows, n) },
      );
    }
  }

  /**
   * y[m, n] += a[k, m]^T b[k, n]. Gemm's C and its output are the same memory: onnxruntime copies C into the output and adds
   * the product there, so the sum costs nothing extra.
   */
  async tnAdd(a: number, b: number, y: number, m: number, k: number, n: number): Promise<void> {
    const sum = this.#tensor(y, m, n);
    await this.#tn.session.run({ a: this.#tensor(a, k, m), b: this.#tensor(b, k, n), c: sum }, { y: sum });
  }

  async release(): Promise<void> {
    for (const { session } of [this.#nn, this.#nt, this.#tn]) await session.release();
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

async function makeProduct(
  attributes: Readonly<Record<string, AttributeInput>>,
  adds: boolean,
  threads: number,
): Promise<Product> {
  const inputs = adds ? ['a', 'b', 'c'] : ['a', 'b'];
  const model = makeModel({
    irVersion: 8n,
    opsetImport: [{ domain: '', version: 17n }],
    graph: makeGraph({
      name: 'product',
      node: [makeNode('Gemm', 'product', inputs, ['y'], attributes)],
      input: inputs.map((name) => makeValueInfo(name, [`${name}0`, `${name}1`])),
      output: [makeValueInfo('y', ['y0', 'y1'])],
    }),
  });
  return { session: await InferenceSession.create(encodeModel(model), sessionOptions(threads)), attributes };
}
