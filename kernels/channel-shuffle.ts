/**
 * @file ChannelShuffle: y[.., j * g + k] = x[.., k * n + j], g groups of n = C / g channels
 * (Zhang et al., ShuffleNet, 2018, section 3.1; in ONNX a Reshape, a Transpose and a Reshape)
 *
 * x [.., C] -> y [.., C]: every pixel's channels, seen as a matrix [g, n], are transposed. dx is dy transposed back.
 * Saved: nothing.
 */
import { ShapeError } from '../runtime/errors.ts';
import type { Kernel } from './kernel.ts';

export type ChannelShuffleAttributes = { readonly groups: number };

export const channelShuffle: Kernel<ChannelShuffleAttributes> = {
  op: 'ChannelShuffle',
  trainable: [],
  shape(node, [x]) {
    const { groups } = node.attributes;
    const channels = x?.at(-1) ?? 0;
    if (!x || groups < 1 || channels < 1 || channels % groups !== 0) {
      throw new ShapeError({
        op: 'ChannelShuffle',
        node: node.name,
        expected: `channels in ${groups} groups of one size`,
        actual: `[${x}]`,
      });
    }
    return x;
  },
  flops: () => 0,
  forward({ attributes, shapes, inputs: [x], output }) {
    const C = shapes.output.at(-1) ?? 1;
    for (let i = 0; i < output.length; i++) output[i] = x?.[source(i, C, attributes.groups)] ?? 0;
  },
  backward: {
    saves: () => [],
    apply({ attributes, shapes, dOutput, dInputs: [dx] }) {
      const C = shapes.output.at(-1) ?? 1;
      dOutput.forEach((dy, i) => {
        if (dx) dx[source(i, C, attributes.groups)] = dy;
      });
    },
  },
  samples: [
    { title: 'x=[3,4,10] groups=2', attributes: { groups: 2 }, inputs: [[3, 4, 10]], parameters: {} },
    { title: 'x=[2,3,16] groups=2', attributes: { groups: 2 }, inputs: [[2, 3, 16]], parameters: {} },
    { title: 'x=[3,2,15] groups=3', attributes: { groups: 3 }, inputs: [[3, 2, 15]], parameters: {} },
    { title: 'x=[2,3,40] groups=8', attributes: { groups: 8 }, inputs: [[2, 3, 40]], parameters: {} },
  ],
};

/** Index into x of the output's element i. */
function source(i: number, channels: number, groups: number): number {
  const c = i % channels;
  return i - c + (c % groups) * (channels / groups) + Math.floor(c / groups);
}
