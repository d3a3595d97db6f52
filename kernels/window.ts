/**
 * @file Geometry of sliding windows, shared by convolutions and pools.
 *
 * Pads are ONNX's order `[top, left, bottom, right]`; they may differ from side to side.
 */
import { ShapeError } from '../runtime/errors.ts';
import type { Shape } from '../runtime/graph/graph.ts';

/** Attributes of every op that slides a window over a map. Extents are in pixels. */
export type WindowAttributes = {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly pads: readonly number[];
  readonly dilations: readonly number[];
};

/** Attributes of the pools; `ceil` rounds the output's extent up (ONNX ceil_mode). */
export type PoolAttributes = WindowAttributes & { readonly ceil: boolean };

/** A window op's numbers by name. */
export interface Geometry {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly outHeight: number;
  readonly outWidth: number;
  readonly kernelHeight: number;
  readonly kernelWidth: number;
  readonly strideH: number;
  readonly strideW: number;
  readonly dilationH: number;
  readonly dilationW: number;
  readonly padTop: number;
  readonly padLeft: number;
}

export function geometry(attributes: WindowAttributes, input: Shape, output: Shape): Geometry {
  const [height, width, channels] = triple(input);
  const [outHeight, outWidth] = triple(output);
  const [kernelHeight, kernelWidth] = pair(attributes.kernel);
  const [strideH, strideW] = pair(attributes.strides);
  const [dilationH, dilationW] = pair(attributes.dilations);
  const [padTop = 0, padLeft = 0] = attributes.pads;
  return {
    height,
    width,
    channels,
    outHeight,
    outWidth,
    kernelHeight,
    kernelWidth,
    strideH,
    strideW,
    dilationH,
    dilationW,
    padTop,
    padLeft,
  };
}

/** Output height and width; throws `ShapeError` if the window does not fit into the padded map. */
export function windowExtent(
  op: string,
  node: string,
  attributes: WindowAttributes & { readonly ceil?: boolean },
  input: Shape,
): [number, number] {
  const [height, width] = triple(input);
  const [top = 0, left = 0, bottom = 0, right = 0] = attributes.pads;
  const extent = (size: number, before: number, after: number, axis: 0 | 1): number => {
    const kernel = (pair(attributes.kernel)[axis] - 1) * pair(attributes.dilations)[axis] + 1;
    const stride = pair(attributes.strides)[axis];
    const steps = (size + before + after - kernel) / stride;
    if (!attributes.ceil || steps < 0) return Math.floor(steps) + 1;
    // Rounded up, the last window must still begin before the map ends, not in the padding behind it.
    const last = Math.ceil(steps);
    return last * stride >= size + before ? last : last + 1;
  };
  const outHeight = extent(height, top, bottom, 0);
  const outWidth = extent(width, left, right, 1);
  if (outHeight < 1 || outWidth < 1) {
    throw new ShapeError({
      op,
      node,
      expected: `a map at least as large as its window ${attributes.kernel.join('x')}`,
      actual: `a map of ${height}x${width} with pads [${attributes.pads}]`,
    });
  }
  return [outHeight, outWidth];
}

/** Output shape of a pool; throws `ShapeError`, also where a window would hold nothing but padding. */
export function poolShape(op: string, node: string, attributes: PoolAttributes, input: Shape): Shape {
  if (input.length !== 3) {
    throw new ShapeError({ op, node, expected: 'a map [H, W, C]', actual: `[${input}]` });
  }
  const [height, width] = windowExtent(op, node, attributes, input);
  const output = [height, width, input[2] ?? 1];
  if (poolCounts(attributes, geometry(attributes, input, output), false).includes(0)) {
    throw new ShapeError({
      op,
      node,
      expected: 'at least one pixel of the map in every window',
      actual: `a window ${attributes.kernel.join('x')} on [${input}] with pads [${attributes.pads}]`,
    });
  }
  return output;
}

/** Taps of each output pixel that lie inside the map, or inside the padded map with `countPads`. */
export function poolCounts({ pads }: PoolAttributes, g: Geometry, countPads: boolean): readonly number[] {
  const [top = 0, left = 0, bottom = 0, right = 0] = countPads ? pads : [];
  const inside = (first: number, taps: number, dilation: number, low: number, high: number): number => {
    let count = 0;
    for (let tap = 0; tap < taps; tap++) {
      const at = first + tap * dilation;
      if (at >= low && at < high) count++;
    }
    return count;
  };
  const columns = Array.from({ length: g.outWidth }, (_, ow) =>
    inside(ow * g.strideW - g.padLeft, g.kernelWidth, g.dilationW, -left, g.width + right),
  );
  return Array.from({ length: g.outHeight }, (_, oh) =>
    inside(oh * g.strideH - g.padTop, g.kernelHeight, g.dilationH, -top, g.height + bottom),
  ).flatMap((rows) => columns.map((count) => rows * count));
}

/** Visits every (output pixel, input pixel, tap) of one image; pixels are row-major indices, taps `ki * kw + kj`. */
export function forEachTap(g: Geometry, visit: (output: number, input: number, tap: number) => void): void {
  for (let oh = 0; oh < g.outHeight; oh++) {
    for (let ow = 0; ow < g.outWidth; ow++) {
      for (let ki = 0; ki < g.kernelHeight; ki++) {
        const ih = oh * g.strideH - g.padTop + ki * g.dilationH;
        if (ih < 0 || ih >= g.height) continue;
        for (let kj = 0; kj < g.kernelWidth; kj++) {
          const iw = ow * g.strideW - g.padLeft + kj * g.dilationW;
          if (iw < 0 || iw >= g.width) continue;
          visit(oh * g.outWidth + ow, ih * g.width + iw, ki * g.kernelWidth + kj);
        }
      }
    }
  }
}

export function pair(values: readonly number[]): [number, number] {
  const [first = 1, second = first] = values;
  return [first, second];
}

export function triple(shape: Shape): [number, number, number] {
  const [height = 1, width = 1, channels = 1] = shape;
  return [height, width, channels];
}
