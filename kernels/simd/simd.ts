/**
 * @file Typed loader of the SIMD kernels (assembly/, compiled in four ways) on a memory of the caller's.
 *
 * Tensors are float32, channels-last; every pointer is a byte offset into the memory, a multiple of 4, and 0 stands for
 * an absent tensor. Nothing is checked here: shapes and offsets come from a plan.
 */
import { readFile } from 'node:fs/promises';
import { ExecutionError } from '../../runtime/errors.ts';
import type { ChannelRange, GeometryArguments, StructureKernels } from './structure-kernels.ts';

type DepthwiseKernel = (
  first: number,
  second: number,
  result: number,
  ...rest: [...GeometryArguments, ...ChannelRange]
) => void;

type PatchKernel = (
  source: number,
  target: number,
  ...rest: [...GeometryArguments, firstRow: number, rows: number]
) => void;

type ImageKernel = (source: number, target: number, batch: number, pixels: number, channels: number) => void;

/**
 * The kernels. Those with a range of channels give the same bits in whatever ranges. A mask row holds ceil(C / 8) bytes: channel c is bit (c & 7) of byte (c >> 3), unused bits are zero.
 * Sources and formulas stand in assembly/, one JSDoc comment per function.
 */
export interface SimdKernels extends StructureKernels {
  /** y = clip(z * factor + offset); factor 0: ones; mask 0: not wanted; signMask 0: 1[low < a < high], else 1[a >= 0]. */
  affineForward(
    z: number,
    y: number,
    rows: number,
    channels: number,
    factor: number,
    offset: number,
    low: number,
    high: number,
    mask: number,
    signMask: number,
    ...range: ChannelRange
  ): void;
  /** y = clip(x), with the mask of affineForward. */
  clipForward(
    x: number,
    y: number,
    rows: number,
    channels: number,
    low: number,
    high: number,
    mask: number,
    signMask: number,
    ...range: ChannelRange
  ): void;
  /** g = bit ? dy : 0; dz = g * factor; dshift += column sums of g. mask, factor, dz and dshift may be 0. */
  affineBackward(
    dy: number,
    dz: number,
    rows: number,
    channels: number,
    factor: number,
    mask: number,
    dshift: number,
    ...range: ChannelRange
  ): void;
  /** dscale += inverseStd * column sums of g * (z - mean). */
  affineScaleGradient(
    dy: number,
    z: number,
    rows: number,
    channels: number,
    mask: number,
    mean: number,
    inverseStd: number,
    dscale: number,
    ...range: ChannelRange
  ): void;
  /** db += column sums of dy. */
  columnSum(dy: number, rows: number, channels: number, db: number, ...range: ChannelRange): void;
  /** (x, w, y, ...): y is overwritten. */
  readonly depthwiseForward: DepthwiseKernel;
  /** (dy, w, dx, ...): dx is overwritten. */
  readonly depthwiseInputGradient: DepthwiseKernel;
  /** (x, dy, dw, ...): dw is added to. */
  readonly depthwiseWeightGradient: DepthwiseKernel;
  /** (x, columns, ...): output rows firstRow .. firstRow + rows as `[rows, KH * KW * C]`. */
  readonly im2col: PatchKernel;
  /** (columns, dx, ...): dx is added to. */
  readonly col2im: PatchKernel;
  /** y = a + b; y may be a or b. */
  add(a: number, b: number, y: number, count: number): void;
  /** (x, y, ...): y `[N, C]` = mean over the pixels. */
  readonly globalAveragePoolForward: ImageKernel;
  /** (dy, dx, ...): dx is overwritten. */
  readonly globalAveragePoolBackward: ImageKernel;
  /** `[N, P, C]` to `[N, C, P]`. */
  readonly channelsFirst: ImageKernel;
  /** `[N, C, P]` to `[N, P, C]`. */
  readonly channelsLast: ImageKernel;
  /** Bytes `[N, P, 3]` to floats, value * scale + bias per channel; `[N, 3, P]` if channelsFirst is 1. */
  normalizeImages(
    source: number,
    target: number,
    batch: number,
    pixels: number,
    channelsFirst: number,
    scale0: number,
    scale1: number,
    scale2: number,
    bias0: number,
    bias1: number,
    bias2: number,
  ): void;
  /** y = f(x); `fn` is an index of activationFunctions. */
  smoothForward(fn: number, x: number, y: number, count: number, alpha: number, beta: number): void;
  /** dx = dy f', from the kept input or output. */
  smoothBackward(fn: number, dy: number, kept: number, dx: number, count: number, alpha: number, beta: number): void;
  /** Packs the codes of x: how many of 2^bits - 1 borders each value has reached. */
  encodeSteps(x: number, rows: number, channels: number, borders: number, bits: number, code: number): void;
  /** dx = dy levels[code]. */
  decodeSteps(dy: number, dx: number, rows: number, channels: number, levels: number, bits: number, code: number): void;
  /** Eight-bit codes of x `[N, P, C]`, a range for each image and 16 channels. */
  encodeBytes(x: number, code: number, batch: number, pixels: number, channels: number): void;
  decodeBytes(code: number, x: number, batch: number, pixels: number, channels: number): void;
  /** sums += column sums of x - mean, squares += those of its square; scratch holds 2 C floats. */
  columnMoments(
    x: number,
    rows: number,
    channels: number,
    mean: number,
    sums: number,
    squares: number,
    scratch: number,
    ...range: ChannelRange
  ): void;
  /** dshift += column sums of dy, dxhat += those of dy (x - mean) inverse. */
  batchNormSums(
    dy: number,
    x: number,
    rows: number,
    channels: number,
    mean: number,
    inverse: number,
    dshift: number,
    dxhat: number,
    ...range: ChannelRange
  ): void;
  /** dx = a dy + b (x - mean) + offset. */
  batchNormInput(
    dy: number,
    x: number,
    dx: number,
    rows: number,
    channels: number,
    mean: number,
    a: number,
    b: number,
    offset: number,
  ): void;
  /** PyTorch's SGD; momentumBuffer 0: plain; clear 1 (default 0): g is zeroed on the way. */
  sgd(
    w: number,
    g: number,
    momentumBuffer: number,
    count: number,
    learningRate: number,
    momentum: number,
    weightDecay: number,
    nesterov: number,
    clear?: number,
  ): void;
  /** PyTorch's Adam, AdamW if decoupled is 1; correction1 = 1 - beta1^t, correction2 = sqrt(1 - beta2^t). */
  adam(
    w: number,
    g: number,
    m: number,
    v: number,
    count: number,
    learningRate: number,
    beta1: number,
    beta2: number,
    epsilon: number,
    weightDecay: number,
    correction1: number,
    correction2: number,
    decoupled: number,
    clear?: number,
  ): void;
  scaleInPlace(x: number, count: number, factor: number): void;
  /** Zeroes bytes. */
  fill(pointer: number, bytes: number): void;
  /** How many values are NaN or infinite. */
  countNonFinite(x: number, count: number): number;
}

/**
 * Instantiates the kernels on `memory`, which they import and neither grow nor reserve anything in.
 *
 * @throws ExecutionError if they were not built, or do not run here.
 */
export async function loadSimd(memory: WebAssembly.Memory): Promise<SimdKernels> {
  const url = new URL(moduleFor(memory), import.meta.url);
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = new Uint8Array(await readFile(url));
  } catch (cause) {
    const message = `SIMD kernels: cannot read ${url.pathname}\nHint: run \`npm run build\`, which compiles them.`;
    throw new ExecutionError(message, { file: url.pathname }, { cause });
  }
  try {
    const { instance } = await WebAssembly.instantiate(bytes, { env: { memory } });
    return instance.exports as unknown as SimdKernels;
  } catch (cause) {
    const expected = 'Expected WebAssembly SIMD.';
    const hint = 'Hint: run `npm run build` again; x64 needs SSE4.1, arm64 NEON.';
    throw new ExecutionError(
      `SIMD kernels: ${url.pathname} does not run here. ${expected}\n${hint}`,
      { file: url.pathname },
      { cause },
    );
  }
}

/** `(a, b, c) => f32x4.relaxed_madd(a, b, c)`: valid where the engine has relaxed SIMD (Node 22 on). */
const RELAXED_PROBE = new Uint8Array([
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x01, 0x60, 0x03, 0x7b, 0x7b, 0x7b, 0x01, 0x7b, 0x03,
  0x02, 0x01, 0x00, 0x0a, 0x0d, 0x01, 0x0b, 0x00, 0x20, 0x00, 0x20, 0x01, 0x20, 0x02, 0xfd, 0x85, 0x02, 0x0b,
]);

/**
 * The module for this kind of memory, with fused multiply-adds wherever the engine has them: on one machine the results
 * depend neither on the kind of memory nor, hence, on the number of threads. With EDGESHIFT_FMA=off it is the one without, and they
 * depend on no machine: fused, a processor that cannot rounds twice, and Node 20 has no such instruction.
 */
function moduleFor(memory: WebAssembly.Memory): string {
  const shared = memory.buffer instanceof SharedArrayBuffer ? '-shared' : '';
  const fused = process.env.EDGESHIFT_FMA !== 'off' && WebAssembly.validate(RELAXED_PROBE);
  const relaxed = fused ? '-relaxed' : '';
  return `./simd${shared}${relaxed}.wasm`;
}
