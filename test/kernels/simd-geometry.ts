/** @file Geometries of window kernels in their tests, and the loop over all products of such a convolution. */
import type { GeometryArguments } from '../../kernels/simd/structure-kernels.ts';

export interface Geometry {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly kernel: readonly [number, number];
  readonly stride?: readonly [number, number];
  readonly dilation?: readonly [number, number];
  /** top, left, bottom, right */
  readonly pads?: readonly [number, number, number, number];
}

export const range = (count: number) => Array.from({ length: count }, (_, i) => i);
export const at = (values: ArrayLike<number>, index: number) => values[index] as number;

/** Sizes of the tensors, the arguments of the kernels, and the products. */
export function complete(geometry: Geometry, channels: number) {
  const { batch, height, width, kernel, stride = [1, 1], dilation = [1, 1], pads = [0, 0, 0, 0] } = geometry;
  const size = (input: number, axis: 0 | 1) =>
    Math.floor(
      (input + pads[axis] + pads[axis === 0 ? 2 : 3] - (kernel[axis] - 1) * dilation[axis] - 1) / stride[axis],
    ) + 1;
  const outHeight = size(height, 0);
  const outWidth = size(width, 1);
  const [top, left] = pads;
  const counts = {
    x: batch * height * width * channels,
    w: kernel[0] * kernel[1] * channels,
    y: batch * outHeight * outWidth * channels,
  };
  /** Calls back with indices into x, w and y for every product of the convolution. */
  const products = (each: (x: number, w: number, y: number) => void) => {
    for (const row of range(batch * outHeight * outWidth)) {
      const ow = row % outWidth;
      const oh = Math.floor(row / outWidth) % outHeight;
      const n = Math.floor(row / outWidth / outHeight);
      for (const tap of range(kernel[0] * kernel[1])) {
        const ih = oh * stride[0] - top + Math.floor(tap / kernel[1]) * dilation[0];
        const iw = ow * stride[1] - left + (tap % kernel[1]) * dilation[1];
        if (ih < 0 || ih >= height || iw < 0 || iw >= width) continue;
        const pixel = (n * height + ih) * width + iw;
        for (const c of range(channels)) each(pixel * channels + c, tap * channels + c, row * channels + c);
      }
    }
  };
  const numbers = [batch, height, width, channels, ...kernel, ...stride, ...dilation, top, left, outHeight, outWidth];
  return { counts, products, outHeight, outWidth, numbers: numbers as unknown as GeometryArguments };
}

export function title({
  batch,
  height,
  width,
  kernel,
  stride = [1, 1],
  dilation = [1, 1],
  pads = [0, 0, 0, 0],
}: Geometry) {
  return `x=[${batch},${height},${width}] k=${kernel} stride=${stride} dilation=${dilation} pads=${pads}`;
}
