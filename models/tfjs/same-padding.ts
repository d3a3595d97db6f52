/**
 * @file Output sizes and explicit pads of a sliding window, computed the way TensorFlow does.
 */
import { ShapeError } from '../../runtime/errors.ts';

export interface WindowAxis {
  readonly extent: number;
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
  /** Zeros already owed on either side by a folded padding layer; 0 where there is none. */
  readonly before: number;
  readonly after: number;
}

export interface WindowResult {
  readonly extent: number;
  readonly before: number;
  readonly after: number;
}

/**
 * One axis of a window.
 *
 * `same` keeps ceil(extent / stride) positions and puts the odd pad after: y = ceil(x/s), pad = max((y-1)s + k' - x, 0)
 * with k' = (k-1)d + 1 (TensorFlow, "Neural network / Padding").
 *
 * @throws ShapeError where the window is larger than the padded input.
 */
export function slideWindow(axis: WindowAxis, padding: 'same' | 'valid', op: string, node: string): WindowResult {
  const extent = axis.extent + axis.before + axis.after;
  const span = (axis.kernel - 1) * axis.dilation + 1;
  if (padding === 'same') {
    const positions = Math.ceil(extent / axis.stride);
    const total = Math.max((positions - 1) * axis.stride + span - extent, 0);
    const before = Math.floor(total / 2);
    return { extent: positions, before: axis.before + before, after: axis.after + total - before };
  }
  if (span > extent) {
    throw new ShapeError({ op, node, expected: `an input of at least ${span} pixels a side`, actual: `${extent}` });
  }
  return { extent: Math.floor((extent - span) / axis.stride) + 1, before: axis.before, after: axis.after };
}

/** Both axes of an image window; `pads` in ONNX order: top, left, bottom, right. */
export function slideImageWindow(
  map: readonly [channels: number, height: number, width: number],
  window: {
    readonly kernel: readonly [number, number];
    readonly strides: readonly [number, number];
    readonly dilations?: readonly [number, number];
    readonly padding: 'same' | 'valid';
    readonly owedPads?: readonly number[] | undefined;
  },
  op: string,
  node: string,
): { readonly height: number; readonly width: number; readonly pads: readonly number[] } {
  const [top = 0, left = 0, bottom = 0, right = 0] = window.owedPads ?? [];
  const [dilationY, dilationX] = window.dilations ?? [1, 1];
  const [kernelY, kernelX] = window.kernel;
  const [strideY, strideX] = window.strides;
  const y = slideWindow(
    { extent: map[1], kernel: kernelY, stride: strideY, dilation: dilationY, before: top, after: bottom },
    window.padding,
    op,
    node,
  );
  const x = slideWindow(
    { extent: map[2], kernel: kernelX, stride: strideX, dilation: dilationX, before: left, after: right },
    window.padding,
    op,
    node,
  );
  return { height: y.extent, width: x.extent, pads: [y.before, x.before, y.after, x.after] };
}
