/**
 * @file GroupedConv: y[n,o,p] = sum over taps t and the channels i of o's group of w[o,t,i] x[n,i,p*stride+t]
 * (ONNX Conv-11 with 1 < group; the case group = I = O is DepthwiseConv)
 *
 * x [H, W, I], w [O, kh, kw, I/group], y [H', W', O]; no bias (see conv.ts). Output channel o belongs to group
 * o div (O/group), whose inputs are the I/group channels at the same place among the inputs.
 * dx = sum over the group's o of w dy, dw = sum_n,p dy x.
 * Saved: x, 4 bytes an element, and only if w trains.
 */
import { ShapeError } from '../runtime/errors.ts';
import { elements } from '../runtime/graph/graph.ts';
import type { Kernel, NodeShapes } from './kernel.ts';
import { forEachTap, geometry, triple, type WindowAttributes, windowExtent } from './window.ts';

export type GroupedConvAttributes = WindowAttributes & { readonly group: number };

export const groupedConv: Kernel<GroupedConvAttributes> = {
  op: 'GroupedConv',
  trainable: ['weight'],
  shape(node, [x], { weight }) {
    const [, , channels] = triple(x ?? []);
    const [out = 0, kh = 1, kw = 1, groupIn = 0] = weight ?? [];
    const { group, kernel } = node.attributes;
    if (x?.length !== 3 || channels !== groupIn * group || kh !== kernel[0] || kw !== kernel[1]) {
      throw new ShapeError({
        op: 'GroupedConv',
        node: node.name,
        expected: `a map of ${groupIn * group} channels (weight [${weight}], ${group} groups, window [${kernel}])`,
        actual: `[${x}]`,
      });
    }
    if (out % group !== 0) {
      const expected = `outputs in ${group} groups of one size`;
      throw new ShapeError({ op: 'GroupedConv', node: node.name, expected, actual: `${out}` });
    }
    const [height, width] = windowExtent('GroupedConv', node.name, node.attributes, x);
    return [height, width, out];
  },
  flops: ({ output, parameters }) => (2 * elements(output) * elements(parameters.weight ?? [])) / (output[2] ?? 1),
  // Forward holds the weight with the outputs of a group innermost; both hold one pixel of zeros, to stand for padding.
  workspace({ inputs: [x], output, parameters }, { group }, pass, wants) {
    if (pass === 'forward') return 4 * elements(parameters.weight ?? []) + (4 * (x?.[2] ?? 0)) / group;
    return wants.inputs[0] ? (4 * (output[2] ?? 0)) / group : 0;
  },
  forward({ batch, attributes, shapes, inputs: [x], parameters: { weight }, output }) {
    output.fill(0);
    forEachProduct(attributes, shapes, batch, (xAt, wAt, yAt) => {
      output[yAt] = (output[yAt] ?? 0) + (weight?.[wAt] ?? 0) * (x?.[xAt] ?? 0);
    });
  },
  backward: {
    saves: (_node, _shapes, wants) => (wants.parameters.has('weight') ? [{ kind: 'input', index: 0 }] : []),
    apply({ batch, attributes, shapes, dOutput, inputs: [x], parameters, dInputs: [dx], dParameters }) {
      const { weight: dw } = dParameters;
      dx?.fill(0);
      forEachProduct(attributes, shapes, batch, (xAt, wAt, yAt) => {
        const dy = dOutput[yAt] ?? 0;
        if (dx) dx[xAt] = (dx[xAt] ?? 0) + dy * (parameters.weight?.[wAt] ?? 0);
        if (dw) dw[wAt] = (dw[wAt] ?? 0) + dy * (x?.[xAt] ?? 0);
      });
    },
  },
  samples: [
    {
      title: 'x=[6,5,8] w=[8,3,3,4] group=2 pads=1',
      attributes: { kernel: [3, 3], strides: [1, 1], pads: [1, 1, 1, 1], dilations: [1, 1], group: 2 },
      inputs: [[6, 5, 8]],
      parameters: { weight: [8, 3, 3, 4] },
    },
    {
      title: 'x=[7,9,12] w=[24,3,3,4] group=3 stride=2 pads=[0,0,1,1]',
      attributes: { kernel: [3, 3], strides: [2, 2], pads: [0, 0, 1, 1], dilations: [1, 1], group: 3 },
      inputs: [[7, 9, 12]],
      parameters: { weight: [24, 3, 3, 4] },
    },
    {
      title: 'x=[6,7,10] w=[6,3,2,5] group=2 stride=[1,2] pads=[2,1,0,1] dilation=[2,1]',
      attributes: { kernel: [3, 2], strides: [1, 2], pads: [2, 1, 0, 1], dilations: [2, 1], group: 2 },
      inputs: [[6, 7, 10]],
      parameters: { weight: [6, 3, 2, 5] },
    },
    {
      title: 'x=[5,6,3] w=[6,3,3,1] group=3, two outputs a channel',
      attributes: { kernel: [3, 3], strides: [1, 1], pads: [1, 1, 1, 1], dilations: [1, 1], group: 3 },
      inputs: [[5, 6, 3]],
      parameters: { weight: [6, 3, 3, 1] },
    },
    {
      title: 'x=[3,5,18] w=[22,1,1,9] group=2 pointwise',
      attributes: { kernel: [1, 1], strides: [1, 1], pads: [0, 0, 0, 0], dilations: [1, 1], group: 2 },
      inputs: [[3, 5, 18]],
      parameters: { weight: [22, 1, 1, 9] },
    },
  ],
};

/** Visits the indices into x, w and y of every product of the convolution. */
function forEachProduct(
  attributes: GroupedConvAttributes,
  shapes: NodeShapes,
  batch: number,
  visit: (x: number, w: number, y: number) => void,
): void {
  const input = shapes.inputs[0] ?? [];
  const g = geometry(attributes, input, shapes.output);
  const channelsOut = shapes.output[2] ?? 1;
  const groupIn = g.channels / attributes.group;
  const groupOut = channelsOut / attributes.group;
  for (let n = 0; n < batch; n++) {
    forEachTap(g, (out, pixel, tap) => {
      for (let o = 0; o < channelsOut; o++) {
        const x = n * elements(input) + pixel * g.channels + Math.floor(o / groupOut) * groupIn;
        const w = (o * g.kernelHeight * g.kernelWidth + tap) * groupIn;
        const y = n * elements(shapes.output) + out * channelsOut + o;
        for (let i = 0; i < groupIn; i++) visit(x + i, w + i, y);
      }
    });
  }
}
