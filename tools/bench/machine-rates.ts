/**
 * @file The rates of a roofline, measured in the run they are used in: onnxruntime's own MatMul and Conv on given shapes, and
 * copies of given sizes by one thread.
 */
import { readdir, readFile } from 'node:fs/promises';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import {
  encodeModel,
  makeGraph,
  makeInt64Tensor,
  makeModel,
  makeNode,
  makeTensor,
  makeValueInfo,
} from '../../models/onnx/proto.ts';
import { sessionOptions } from '../../runtime/engine/cpu/session-options.ts';
import { type Convolution, type Product, productFlops } from './traffic.ts';

/** Products in one run: enough that the call costs nothing beside them, as few as keep a run short. */
const FEW = 8;
const MANY = 256;

/** From so many operations on a product is large enough for a few of them to hide a call (about 20 us). */
const LARGE_FLOPS = 10e6;

/** Convolutions in one run. */
const CONVOLUTIONS = 4;

/** A copy is repeated until so much time has passed. */
const COPY_MILLIS = 2;

/** Assumed where the system does not say how large its caches are. */
const USUAL_CACHE_BYTES = 32 << 20;

export class MachineRates implements AsyncDisposable {
  readonly #few: InferenceSession;
  readonly #many: InferenceSession;
  /** Larger than the last-level cache. */
  readonly memoryBytes: number;
  readonly #threads: number;
  readonly #convolutions = new Map<string, InferenceSession>();
  #source = new Uint8Array();
  #target = new Uint8Array();
  #left = new Float32Array();
  #right = new Float32Array();

  private constructor(few: InferenceSession, many: InferenceSession, threads: number, cacheBytes: number) {
    this.#threads = threads;
    this.#few = few;
    this.#many = many;
    this.memoryBytes = 4 * cacheBytes;
  }

  static async open(threads: number): Promise<MachineRates> {
    // Optimized, equal products would become one.
    const options = { ...sessionOptions(threads), graphOptimizationLevel: 'disabled' } as const;
    const open = (count: number) => InferenceSession.create(repeatedProduct(count), options);
    return new MachineRates(await open(FEW), await open(MANY), threads, await lastLevelCacheBytes());
  }

  /** Operations a second of MatMul [m, k] x [k, n], from one run of several. */
  async product(product: Product): Promise<number> {
    const [m, k, n] = product;
    this.#left = grown(this.#left, m * k);
    this.#right = grown(this.#right, k * n);
    const [session, count] = productFlops(product) >= LARGE_FLOPS ? [this.#few, FEW] : [this.#many, MANY];
    const feeds = {
      a: new Tensor('float32', this.#left.subarray(0, m * k), [m, k]),
      b: new Tensor('float32', this.#right.subarray(0, k * n), [k, n]),
    };
    const started = performance.now();
    await session.run(feeds);
    return (count * productFlops(product)) / ((performance.now() - started) / 1000);
  }

  /** Operations a second of Conv on a batch, its layout changes included, from one run of several. */
  async convolution(convolution: Convolution): Promise<number> {
    const { images, input, flops } = convolution;
    const [height = 1, width = 1, channels = 1] = input;
    const key = JSON.stringify(convolution);
    let session = this.#convolutions.get(key);
    if (!session) {
      session = await InferenceSession.create(repeatedConvolution(convolution), sessionOptions(this.#threads));
      this.#convolutions.set(key, session);
    }
    const length = images * channels * height * width;
    this.#left = grown(this.#left, length);
    const feeds = { x: new Tensor('float32', this.#left.subarray(0, length), [images, channels, height, width]) };
    const started = performance.now();
    await session.run(feeds);
    return (CONVOLUTIONS * images * flops) / ((performance.now() - started) / 1000);
  }

  /** Bytes a second, read plus written, of a copy that moves so many of them. */
  copy(bytes: number): number {
    const half = Math.max(1, Math.ceil(bytes / 2));
    if (this.#source.length < half) {
      // Written once, or all pages are the same zero page.
      this.#source = new Uint8Array(half).fill(1);
      this.#target = new Uint8Array(half).fill(2);
    }
    const [source, target] = [this.#source.subarray(0, half), this.#target.subarray(0, half)];
    target.set(source);
    let copies = 0;
    const started = performance.now();
    let passed = 0;
    while (passed < COPY_MILLIS) {
      // So often between two looks at the clock that small copies are not measured by it.
      for (let moved = 0; moved < 1 << 20; moved += half) {
        target.set(source);
        copies++;
      }
      passed = performance.now() - started;
    }
    return (2 * half * copies) / (passed / 1000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of [this.#few, this.#many, ...this.#convolutions.values()]) await session.release();
  }
}

/** The array, or a larger one with values that neither overflow nor vanish in a product. */
function grown(array: Float32Array<ArrayBuffer>, length: number): Float32Array<ArrayBuffer> {
  return array.length >= length ? array : new Float32Array(length).fill(0.01);
}

/** A model that multiplies its two inputs so many times; of each product one row reaches the output. */
function repeatedProduct(count: number): Uint8Array {
  const each = Array.from({ length: count }, (_, i) => i);
  return encodeModel(
    makeModel({
      irVersion: 8n,
      opsetImport: [{ domain: '', version: 17n }],
      graph: makeGraph({
        name: 'products',
        node: [
          ...each.flatMap((i) => [
            makeNode('MatMul', `product ${i}`, ['a', 'b'], [`y${i}`]),
            makeNode('Slice', `row ${i}`, [`y${i}`, 'zero', 'one', 'zero'], [`row${i}`]),
          ]),
          makeNode(
            'Concat',
            'rows',
            each.map((i) => `row${i}`),
            ['rows'],
            { axis: 0 },
          ),
        ],
        initializer: [makeInt64Tensor('zero', [1], [0]), makeInt64Tensor('one', [1], [1])],
        input: [makeValueInfo('a', ['M', 'K']), makeValueInfo('b', ['K', 'N'])],
        output: [makeValueInfo('rows', ['R', 'N'])],
      }),
    }),
  );
}

/** A model of several convolutions of one input with weights of their own; of each one value an image reaches the output. */
function repeatedConvolution({ input, weight, attributes }: Convolution): Uint8Array {
  const [out = 1, height = 1, width = 1, inner = 1] = weight;
  const { strides, pads, dilations } = attributes;
  const each = Array.from({ length: CONVOLUTIONS }, (_, i) => i);
  const values = (i: number) => new Float32Array(out * inner * height * width).fill(0.01 * (i + 1));
  return encodeModel(
    makeModel({
      irVersion: 8n,
      opsetImport: [{ domain: '', version: 17n }],
      graph: makeGraph({
        name: 'convolutions',
        node: [
          ...each.flatMap((i) => [
            makeNode('Conv', `convolution ${i}`, ['x', `w${i}`], [`y${i}`], {
              kernel_shape: [height, width],
              ...{ strides: [...strides], pads: [...pads], dilations: [...dilations] },
            }),
            makeNode('Slice', `value ${i}`, [`y${i}`, 'from', 'to', 'axes'], [`value${i}`]),
          ]),
          makeNode(
            'Concat',
            'values',
            each.map((i) => `value${i}`),
            ['values'],
            { axis: 0 },
          ),
        ],
        initializer: [
          ...each.map((i) => makeTensor(`w${i}`, [out, inner, height, width], values(i))),
          makeInt64Tensor('from', [3], [0, 0, 0]),
          makeInt64Tensor('to', [3], [1, 1, 1]),
          makeInt64Tensor('axes', [3], [1, 2, 3]),
        ],
        input: [makeValueInfo('x', ['N', input[2] ?? 1, input[0] ?? 1, input[1] ?? 1])],
        output: [makeValueInfo('values', ['M', 1, 1, 1])],
      }),
    }),
  );
}

/** Size of the largest cache of the first processor, as the system says. */
async function lastLevelCacheBytes(): Promise<number> {
  const folder = '/sys/devices/system/cpu/cpu0/cache';
  const entries = await readdir(folder).catch(() => []);
  const sizes = await Promise.all(entries.map((entry) => readFile(`${folder}/${entry}/size`, 'utf8').catch(() => '')));
  const units: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };
  const bytes = sizes.map((text) => {
    const [, count = '0', unit = ''] = /^(\d+)([KMG]?)/.exec(text) ?? [];
    return Number(count) * (units[unit] ?? 1);
  });
  return bytes.reduce((most, size) => Math.max(most, size), 0) || USUAL_CACHE_BYTES;
}
