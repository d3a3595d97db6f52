/**
 * @file Clip: y = min(max(x, low), high)   (ONNX Clip-13, Relu-14), standing alone, as after an addition
 *
 * x, y of one shape [.., C]. dx = m dy with the bit m of activation.ts.
 * Saved: the bit, numel/8 bytes.
 */
import { elements } from '../runtime/graph/graph.ts';
import { type ActivationAttributes, clip as clipValue, derivativeBit, maskSave } from './activation.ts';
import type { Kernel } from './kernel.ts';

export const clip: Kernel<ActivationAttributes> = {
  op: 'Clip',
  trainable: [],
  inPlace: true,
  shape: (_node, [x]) => x ?? [],
  flops: ({ output }, { low, high }) => (Number(low !== null) + Number(high !== null)) * elements(output),
  backwardFlops: ({ output }) => elements(output),
  forward({ attributes, inputs: [x], output, saved }) {
    x?.forEach((a, i) => {
      output[i] = clipValue(attributes, a);
      if (saved.mask) saved.mask[i] = derivativeBit(attributes, a);
    });
  },
  backward: {
    inPlace: true,
    saves: (_node, { output }) => [maskSave(output)],
    apply({ dOutput, saved: { mask }, dInputs: [dx] }) {
      dOutput.forEach((dy, i) => {
        if (dx) dx[i] = dy * (mask?.[i] ?? 1);
      });
    },
  },
  samples: [
    {
      title: 'x=[5,4,3] relu6',
      attributes: { low: 0, high: 6, derivative: 'exact' },
      inputs: [[5, 4, 3]],
      parameters: {},
    },
    {
      title: 'x=[3,2,9] relu',
      attributes: { low: 0, high: null, derivative: 'exact' },
      inputs: [[3, 2, 9]],
      parameters: {},
    },
  ],
};
