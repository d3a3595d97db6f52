/**
 * @file DepthwiseConv: y[n,c,p] = sum over taps t of w[t,c] x[n,c,p*stride+t]   (ONNX Conv-11 with group = C, M = 1)
 *
 * x [H, W, C], w [kh, kw, C], y [H', W', C]; no bias (see conv.ts).
 * dx[c] = sum_t w[t,c] dy, dw[t,c] = sum_n,p dy[c] x[c].
 * Saved: x, 4 bytes an element, and only if w trains.
 */
import { ShapeError } from '../runtime/errors.ts';
import { elements } from '../runtime/graph/graph.ts';
import type { Kernel } from './kernel.ts';
import { forEachTap, geometry, triple, type WindowAttributes, windowExtent } from './window.ts';

export const depthwiseConv: Kernel<WindowAttributes> = {
  op: 'DepthwiseConv',
  trainable: ['weight'],
  shape(node, [x], { weight }) {
    const [, , channels] = triple(x ?? []);
    const [kh = 1, kw = 1, channelsIn = 0] = weight ?? [];
    if (x?.length !== 3 || channels !== channelsIn) {
      throw new ShapeError({
        op: 'DepthwiseConv',
        node: node.name,
        expected: `a map of ${channelsIn} channels (weight [${kh}, ${kw}, ${channelsIn}])`,
        actual: `[${x}]`,
      });
    }
    const [height, width] = windowExtent('DepthwiseConv', node.name, node.attributes, x);
    return [height, width, channels];
  },
  flops: ({ output }, { kernel }) => 2 * elements(output) * elements(kernel),
  forward({ batch, attributes, shapes, inputs: [x], parameters: { weight }, output }) {
    if (!x || !weight) return;
    const g = geometry(attributes, shapes.inputs[0] ?? [], shapes.output);
    const C = g.channels;
    const inSize = x.length / batch;
    const outSize = output.length / batch;
    output.fill(0);
    for (let n = 0; n < batch; n++) {
      forEachTap(g, (out, input, tap) => {
        for (let c = 0; c < C; c++) {
          const at = n * outSize + out * C + c;
          output[at] = (output[at] ?? 0) + (weight[tap * C + c] ?? 0) * (x[n * inSize + input * C + c] ?? 0);
        }
      });
    }
  },
  backward: {
    saves: (_node, _shapes, wants) => (wants.parameters.has('weight') ? [{ kind: 'input', index: 0 }] : []),
    apply({ batch, attributes, shapes, dOutput, inputs: [x], parameters: { weight }, dInputs: [dx], dParameters }) {
      const g = geometry(attributes, shapes.inputs[0] ?? [], shapes.output);
      const dw = dParameters.weight;
      const C = g.channels;
      const inSize = elements(shapes.inputs[0] ?? []);
      const outSize = elements(shapes.output);
      dx?.fill(0);
      for (let n = 0; n < batch; n++) {
        forEachTap(g, (out, input, tap) => {
          for (let c = 0; c < C; c++) {
            const dy = dOutput[n * outSize + out * C + c] ?? 0;
            const at = n * inSize + input * C + c;
            if (dx) dx[at] = (dx[at] ?? 0) + dy * (weight?.[tap * C + c] ?? 0);
            if (dw) dw[tap * C + c] = (dw[tap * C + c] ?? 0) + dy * (x?.[at] ?? 0);
          }
        });
      }
    },
  },
  samples: [
    {
      title: 'x=[6,5,5] w=[3,3,5] stride=1 pads=1',
      attributes: { kernel: [3, 3], strides: [1, 1], pads: [1, 1, 1, 1], dilations: [1, 1] },
      inputs: [[6, 5, 5]],
      parameters: { weight: [3, 3, 5] },
    },
    {
      title: 'x=[7,6,9] w=[3,3,9] stride=2 pads=[0,0,1,1]',
      attributes: { kernel: [3, 3], strides: [2, 2], pads: [0, 0, 1, 1], dilations: [1, 1] },
      inputs: [[7, 6, 9]],
      parameters: { weight: [3, 3, 9] },
    },
    {
      title: 'x=[6,7,4] w=[5,5,4] stride=1 pads=2',
      attributes: { kernel: [5, 5], strides: [1, 1], pads: [2, 2, 2, 2], dilations: [1, 1] },
      inputs: [[6, 7, 4]],
      parameters: { weight: [5, 5, 4] },
    },
  ],
};
