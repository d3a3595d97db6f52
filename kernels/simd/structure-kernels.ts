/** @file Types of the SIMD kernels for pools, grouped convolutions, channel moves, elementwise and matrix products, and layer norms. */

/** Numbers of a window op, in the order in which the kernels take them. */
export type GeometryArguments = readonly [
  batch: number,
  height: number,
  width: number,
  channels: number,
  kernelHeight: number,
  kernelWidth: number,
  strideH: number,
  strideW: number,
  dilationH: number,
  dilationW: number,
  padTop: number,
  padLeft: number,
  outHeight: number,
  outWidth: number,
];

/** The channels that a kernel works on, those of other threads left out; the last is exclusive, the first a multiple of 8. */
export type ChannelRange = readonly [firstChannel: number, lastChannel: number];

type Padding = readonly [top: number, left: number, bottom: number, right: number];
type Groups = readonly [outChannels: number, groups: number];

/** Sizes in floats; the rows of y that are written, those of other threads left out; the last is exclusive. */
type ProductKernel = (
  a: number,
  b: number,
  y: number,
  m: number,
  k: number,
  n: number,
  firstRow: number,
  lastRow: number,
) => void;

/** Pointers and what is overwritten are as in simd.ts; formulas stand in assembly/. */
export interface StructureKernels {
  /** y [m, n] = a [m, k] b [k, n]. */
  readonly productNn: ProductKernel;
  /** y [m, n] = a [m, k] b [n, k]^T. */
  readonly productNt: ProductKernel;
  /** y [m, n] += a [k, m]^T b [k, n]. */
  readonly productTnAdd: ProductKernel;
  /** y = maxima; index (bytes, 0: not wanted) = the taps where they were. */
  maxPoolForward(x: number, y: number, index: number, ...geometry: GeometryArguments): void;
  /** dx is overwritten. */
  maxPoolBackward(dy: number, index: number, dx: number, ...geometry: GeometryArguments): void;
  /** The last four: widths of padding that count as zeros in the mean. */
  averagePoolForward(x: number, y: number, ...rest: [...GeometryArguments, ...Padding]): void;
  /** dx is overwritten. */
  averagePoolBackward(dy: number, dx: number, ...rest: [...GeometryArguments, ...Padding]): void;
  /** y is overwritten; workspace: elements of w plus I / groups floats. */
  groupedForward(x: number, w: number, y: number, ...rest: [...GeometryArguments, ...Groups, workspace: number]): void;
  /** dx is overwritten; workspace: O / groups floats. */
  groupedInputGradient(
    dy: number,
    w: number,
    dx: number,
    ...rest: [...GeometryArguments, ...Groups, workspace: number]
  ): void;
  /** dw is added to. */
  groupedWeightGradient(x: number, dy: number, dw: number, ...rest: [...GeometryArguments, ...Groups]): void;
  /** Copies bytes of each row; the steps are bytes from row to row. */
  copyColumns(
    source: number,
    sourceStep: number,
    target: number,
    targetStep: number,
    rows: number,
    bytes: number,
  ): void;
  /** y[j * groups + k] = x[k * channels / groups + j] in each row; the inverse has channels / groups groups. */
  shuffleChannels(x: number, y: number, rows: number, channels: number, groups: number): void;
  /** y = a * b; y may be a or b. */
  multiply(a: number, b: number, y: number, count: number): void;
  /** y = a * gate, gate `[N, C]`; y may be a. */
  multiplyGate(a: number, gate: number, y: number, batch: number, pixels: number, channels: number): void;
  /** dgate `[N, C]` = sum over the pixels of dy * a. */
  gateGradient(dy: number, a: number, dgate: number, batch: number, pixels: number, channels: number): void;
  /** y `[N]` = mean of |a - b| over each image's `count` elements; signs (bits 1[a > b]) may be 0. */
  distanceForward(a: number, b: number, y: number, batch: number, count: number, signs: number): void;
  /** da = dy / count where the bit is set, else its negative; da is overwritten. */
  distanceBackward(dy: number, signs: number, da: number, batch: number, count: number): void;
  /** scale and shift may be 0; y may be x. */
  layerNormForward(
    x: number,
    y: number,
    rows: number,
    channels: number,
    scale: number,
    shift: number,
    epsilon: number,
  ): void;
  /** dx is overwritten and may be dy, dscale and dshift are added to; each may be 0. workspace: 24 bytes a channel. */
  layerNormBackward(
    dy: number,
    x: number,
    dx: number,
    rows: number,
    channels: number,
    scale: number,
    dscale: number,
    dshift: number,
    epsilon: number,
    workspace: number,
  ): void;
}
