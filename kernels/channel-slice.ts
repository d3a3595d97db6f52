/**
 * @file ChannelSlice: y = channels [from, to) of x   (ONNX Slice-13 and the outputs of Split-18 on the channel axis)
 *
 * x [.., C] -> y [.., to - from]. dx is dy in those channels and zero elsewhere. Saved: nothing.
 */
import { ShapeError } from '../runtime/errors.ts';
import type { Kernel } from './kernel.ts';

export type ChannelSliceAttributes = { readonly from: number; readonly to: number };

export const channelSlice: Kernel<ChannelSliceAttributes> = {
  op: 'ChannelSlice',
  trainable: [],
  shape(node, [x]) {
    const { from, to } = node.attributes;
    if (!x || x.length === 0 || from < 0 || from >= to || to > (x.at(-1) ?? 0)) {
      throw new ShapeError({
        op: 'ChannelSlice',
        node: node.name,
        expected: `a tensor with channels ${from} to ${to} (the latter excluded)`,
        actual: `[${x}]`,
      });
    }
    return [...x.slice(0, -1), to - from];
  },
  flops: () => 0,
  forward({ attributes: { from, to }, shapes, inputs: [x], output }) {
    const C = shapes.inputs[0]?.at(-1) ?? 1;
    const width = to - from;
    for (let i = 0; i < output.length; i++) output[i] = x?.[Math.floor(i / width) * C + from + (i % width)] ?? 0;
  },
  backward: {
    saves: () => [],
    apply({ attributes: { from, to }, shapes, dOutput, dInputs: [dx] }) {
      const C = shapes.inputs[0]?.at(-1) ?? 1;
      const width = to - from;
      dx?.fill(0);
      dOutput.forEach((dy, i) => {
        if (dx) dx[Math.floor(i / width) * C + from + (i % width)] = dy;
      });
    },
  },
  samples: [
    { title: 'x=[3,4,11] channels 3 to 9', attributes: { from: 3, to: 9 }, inputs: [[3, 4, 11]], parameters: {} },
    { title: 'x=[2,5,16] channels 8 to 16', attributes: { from: 8, to: 16 }, inputs: [[2, 5, 16]], parameters: {} },
    { title: 'x=[5] channels 0 to 2', attributes: { from: 0, to: 2 }, inputs: [[5]], parameters: {} },
  ],
};
