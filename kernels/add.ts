/**
 * @file Add: y = a + b, both of one shape   (ONNX Add-14 without broadcasting)
 *
 * da = dy and db = dy: nothing is computed and nothing is saved; the gradients share one buffer.
 */
import { ShapeError } from '../runtime/errors.ts';
import { elements } from '../runtime/graph/graph.ts';
import type { Kernel } from './kernel.ts';

export const add: Kernel = {
  op: 'Add',
  trainable: [],
  inPlace: true,
  shape(node, [a, b]) {
    if (!a || !b || a.length !== b.length || a.some((extent, axis) => extent !== b[axis])) {
      throw new ShapeError({ op: 'Add', node: node.name, expected: `two tensors of shape [${a}]`, actual: `[${b}]` });
    }
    return a;
  },
  flops: ({ output }) => elements(output),
  forward({ inputs: [a, b], output }) {
    a?.forEach((value, i) => {
      output[i] = value + (b?.[i] ?? 0);
    });
  },
  backward: {
    passThrough: [0, 1],
    saves: () => [],
    apply() {},
  },
  samples: [
    {
      title: 'a=[3,4,5] b=[3,4,5]',
      attributes: {},
      inputs: [
        [3, 4, 5],
        [3, 4, 5],
      ],
      parameters: {},
    },
  ],
};
