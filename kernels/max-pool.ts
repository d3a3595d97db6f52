/**
 * @file MaxPool: y[n,c,p] = the largest x[n,c,p*stride+t] over the taps t inside the map   (ONNX MaxPool-12)
 *
 * x [H, W, C] -> y [H', W', C]. Padding never wins; of equal values the first tap does, and NaN beats every number, as in
 * PyTorch. dx[argmax] += dy, zero elsewhere.
 * Saved: `index`, the tap ki * kw + kj of the maximum in one byte an element, so windows have 255 taps at most.
 */
import { ShapeError } from '../runtime/errors.ts';
import { elements } from '../runtime/graph/graph.ts';
import type { Kernel } from './kernel.ts';
import { forEachTap, geometry, type PoolAttributes, poolShape } from './window.ts';

const MAX_TAPS = 255;

export const maxPool: Kernel<PoolAttributes> = {
  op: 'MaxPool',
  trainable: [],
  shape(node, [x]) {
    const { kernel } = node.attributes;
    if (elements(kernel) > MAX_TAPS) {
      throw new ShapeError({
        op: 'MaxPool',
        node: node.name,
        expected: `a window of at most ${MAX_TAPS} pixels (the maximum's place is kept in one byte)`,
        actual: kernel.join('x'),
      });
    }
    return poolShape('MaxPool', node.name, node.attributes, x ?? []);
  },
  flops: ({ output }, { kernel }) => elements(output) * elements(kernel),
  forward({ batch, attributes, shapes, inputs: [x], output, saved: { index } }) {
    const g = geometry(attributes, shapes.inputs[0] ?? [], shapes.output);
    const [inSize, outSize] = [elements(shapes.inputs[0] ?? []), elements(shapes.output)];
    const seen = new Uint8Array(batch * outSize);
    for (let n = 0; n < batch; n++) {
      forEachTap(g, (out, input, tap) => {
        for (let c = 0; c < g.channels; c++) {
          const value = x?.[n * inSize + input * g.channels + c] ?? 0;
          const at = n * outSize + out * g.channels + c;
          if (seen[at] && !(value > (output[at] ?? 0) || Number.isNaN(value))) continue;
          seen[at] = 1;
          output[at] = value;
          if (index) index[at] = tap;
        }
      });
    }
  },
  backward: {
    saves: (_node, { output }) => [
      { kind: 'own', name: 'index', bytesPerImage: elements(output), elementsPerImage: elements(output) },
    ],
    apply({ batch, attributes, shapes, dOutput, saved: { index }, dInputs: [dx] }) {
      const g = geometry(attributes, shapes.inputs[0] ?? [], shapes.output);
      const [inSize, outSize] = [elements(shapes.inputs[0] ?? []), elements(shapes.output)];
      if (!dx) return;
      dx.fill(0);
      for (let n = 0; n < batch; n++) {
        forEachTap(g, (out, input, tap) => {
          for (let c = 0; c < g.channels; c++) {
            const from = n * outSize + out * g.channels + c;
            const to = n * inSize + input * g.channels + c;
            if (index?.[from] === tap) dx[to] = (dx[to] ?? 0) + (dOutput[from] ?? 0);
          }
        });
      }
    },
  },
  samples: [
    {
      title: 'x=[6,8,5] 2x2 stride=2',
      attributes: { kernel: [2, 2], strides: [2, 2], pads: [0, 0, 0, 0], dilations: [1, 1], ceil: false },
      inputs: [[6, 8, 5]],
      parameters: {},
    },
    {
      title: 'x=[7,6,21] 3x3 stride=2 pads=1',
      attributes: { kernel: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1], dilations: [1, 1], ceil: false },
      inputs: [[7, 6, 21]],
      parameters: {},
    },
    {
      title: 'x=[8,7,4] 3x3 stride=2 ceil',
      attributes: { kernel: [3, 3], strides: [2, 2], pads: [0, 0, 0, 0], dilations: [1, 1], ceil: true },
      inputs: [[8, 7, 4]],
      parameters: {},
    },
    {
      title: 'x=[7,9,6] 3x2 stride=[1,3] pads=[2,0,1,1] dilation=[2,1] ceil',
      attributes: { kernel: [3, 2], strides: [1, 3], pads: [2, 0, 1, 1], dilations: [2, 1], ceil: true },
      inputs: [[7, 9, 6]],
      parameters: {},
    },
  ],
};
