/**
 * @file Distance: y[n] = mean over an image's elements of |a - b|, where b counts as a constant
 * (the self-distilled regulariser of EcoTTA, Song et al., CVPR 2023: a is a part's new output, b its original one)
 *
 * a, b of one shape [.., C], y [1]. da = s dy / numel with s = 1 where a > b, else -1; no gradient flows to b. Where a and
 * b are equal to the bit |a - b| has no derivative, and s is -1, where others take 0.
 * Saved: the sign, one bit an element, each image in whole bytes.
 */
import { ShapeError } from '../runtime/errors.ts';
import { elements } from '../runtime/graph/graph.ts';
import type { Kernel } from './kernel.ts';

export const distance: Kernel = {
  op: 'Distance',
  trainable: [],
  constants: [1],
  shape(node, [a, b]) {
    if (!a || !b || a.length !== b.length || a.some((extent, axis) => extent !== b[axis])) {
      throw new ShapeError({
        op: 'Distance',
        node: node.name,
        expected: `two tensors of shape [${a}]`,
        actual: `[${b}]`,
      });
    }
    return [1];
  },
  // Difference, absolute value, sum.
  flops: ({ inputs: [a = []] }) => 3 * elements(a),
  backwardFlops: ({ inputs: [a = []] }) => elements(a),
  forward({ batch, shapes, inputs: [a, b], output, saved: { sign } }) {
    const size = elements(shapes.inputs[0] ?? []);
    for (let n = 0; n < batch; n++) {
      let sum = 0;
      for (let i = n * size; i < (n + 1) * size; i++) {
        const difference = (a?.[i] ?? 0) - (b?.[i] ?? 0);
        sum += Math.abs(difference);
        if (sign) sign[i] = Number(difference > 0);
      }
      output[n] = sum / size;
    }
  },
  backward: {
    saves: (_node, { inputs: [a = []] }, wants) =>
      wants.inputs[0]
        ? [
            {
              kind: 'own',
              name: 'sign',
              bytesPerImage: Math.ceil(elements(a) / 8),
              elementsPerImage: elements(a),
            },
          ]
        : [],
    apply({ shapes, dOutput, saved: { sign }, dInputs: [da] }) {
      const size = elements(shapes.inputs[0] ?? []);
      da?.forEach((_, i) => {
        const step = (dOutput[Math.floor(i / size)] ?? 0) / size;
        da[i] = sign?.[i] === 1 ? step : -step;
      });
    },
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
    {
      title: 'a=[2,4,8] b=[2,4,8]',
      attributes: {},
      inputs: [
        [2, 4, 8],
        [2, 4, 8],
      ],
      parameters: {},
    },
  ],
};
