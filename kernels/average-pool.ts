/**
 * @file AveragePool: y[n,c,p] = mean of x[n,c,p*stride+t] over the taps t   (ONNX AveragePool-19)
 *
 * x [H, W, C] -> y [H', W', C]. The mean is over the taps inside the map, or, with `countPads`, inside the padded map,
 * where padding is zero; what hangs over even that (`ceil`) counts in neither.
 * dx[p*stride+t] += dy / count. Saved: nothing.
 */
import { elements } from '../runtime/graph/graph.ts';
import type { Kernel } from './kernel.ts';
import { forEachTap, geometry, type PoolAttributes, poolCounts, poolShape } from './window.ts';

export type AveragePoolAttributes = PoolAttributes & { readonly countPads: boolean };

export const averagePool: Kernel<AveragePoolAttributes> = {
  op: 'AveragePool',
  trainable: [],
  shape: (node, [x]) => poolShape('AveragePool', node.name, node.attributes, x ?? []),
  flops: ({ output }, { kernel }) => elements(output) * elements(kernel),
  forward({ batch, attributes, shapes, inputs: [x], output }) {
    const g = geometry(attributes, shapes.inputs[0] ?? [], shapes.output);
    const [inSize, outSize] = [elements(shapes.inputs[0] ?? []), elements(shapes.output)];
    const counts = poolCounts(attributes, g, attributes.countPads);
    output.fill(0);
    for (let n = 0; n < batch; n++) {
      forEachTap(g, (out, input) => {
        for (let c = 0; c < g.channels; c++) {
          const at = n * outSize + out * g.channels + c;
          output[at] = (output[at] ?? 0) + (x?.[n * inSize + input * g.channels + c] ?? 0) / (counts[out] ?? 1);
        }
      });
    }
  },
  backward: {
    saves: () => [],
    apply({ batch, attributes, shapes, dOutput, dInputs: [dx] }) {
      const g = geometry(attributes, shapes.inputs[0] ?? [], shapes.output);
      const [inSize, outSize] = [elements(shapes.inputs[0] ?? []), elements(shapes.output)];
      const counts = poolCounts(attributes, g, attributes.countPads);
      if (!dx) return;
      dx.fill(0);
      for (let n = 0; n < batch; n++) {
        forEachTap(g, (out, input) => {
          for (let c = 0; c < g.channels; c++) {
            const at = n * inSize + input * g.channels + c;
            dx[at] = (dx[at] ?? 0) + (dOutput[n * outSize + out * g.channels + c] ?? 0) / (counts[out] ?? 1);
          }
        });
      }
    },
  },
  samples: [
    {
      title: 'x=[6,8,5] 2x2 stride=2',
      attributes: sample([2, 2], [2, 2], [0, 0, 0, 0], false, false),
      inputs: [[6, 8, 5]],
      parameters: {},
    },
    {
      title: 'x=[7,6,21] 3x3 stride=2 pads=1',
      attributes: sample([3, 3], [2, 2], [1, 1, 1, 1], false, false),
      inputs: [[7, 6, 21]],
      parameters: {},
    },
    {
      title: 'x=[5,7,4] 3x3 stride=1 pads=1 counted',
      attributes: sample([3, 3], [1, 1], [1, 1, 1, 1], false, true),
      inputs: [[5, 7, 4]],
      parameters: {},
    },
    {
      title: 'x=[8,7,6] 3x2 stride=[2,3] pads=[1,0,0,1] ceil counted',
      attributes: sample([3, 2], [2, 3], [1, 0, 0, 1], true, true),
      inputs: [[8, 7, 6]],
      parameters: {},
    },
  ],
};

function sample(
  kernel: readonly number[],
  strides: readonly number[],
  pads: readonly number[],
  ceil: boolean,
  countPads: boolean,
): AveragePoolAttributes {
  return { kernel, strides, pads, dilations: [1, 1], ceil, countPads };
}
