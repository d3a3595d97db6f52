/**
 * @file SoftmaxCrossEntropy: l[n] = -sum_c t[n,c] log softmax(x[n])[c]
 *
 * x [C] logits, label [1] (class index held as a float), l [1]. With smoothing s, t = (1 - s) onehot + s / C
 * (Szegedy et al. 2016, section 7; ONNX SoftmaxCrossEntropyLoss-13 is the case s = 0).
 * dx = (softmax(x) - t) dl. Saved: the probabilities, 4 bytes a class.
 */
import { ShapeError } from '../runtime/errors.ts';
import { elements } from '../runtime/graph/graph.ts';
import type { Kernel } from './kernel.ts';

export type SoftmaxCrossEntropyAttributes = { readonly labelSmoothing: number };

/** Loss of one image; writes the probabilities. Works in float64 whatever the arrays hold. */
export function crossEntropy(
  x: ArrayLike<number>,
  from: number,
  classes: number,
  label: number,
  smoothing: number,
  probabilities: Float64Array | Float32Array,
): number {
  let max = Number.NEGATIVE_INFINITY;
  let mean = 0;
  for (let c = 0; c < classes; c++) max = Math.max(max, x[from + c] ?? 0);
  let sum = 0;
  for (let c = 0; c < classes; c++) {
    const e = Math.exp((x[from + c] ?? 0) - max);
    probabilities[from + c] = e;
    sum += e;
    mean += (x[from + c] ?? 0) / classes;
  }
  for (let c = 0; c < classes; c++) probabilities[from + c] = (probabilities[from + c] ?? 0) / sum;
  const logSum = max + Math.log(sum);
  return (1 - smoothing) * (logSum - (x[from + label] ?? Number.NaN)) + smoothing * (logSum - mean);
}

export const softmaxCrossEntropy: Kernel<SoftmaxCrossEntropyAttributes> = {
  op: 'SoftmaxCrossEntropy',
  trainable: [],
  shape(node, [x, label]) {
    if (x?.length !== 1 || elements(label ?? []) !== 1) {
      throw new ShapeError({
        op: 'SoftmaxCrossEntropy',
        node: node.name,
        expected: 'logits [C] and one label',
        actual: `[${x}] and [${label}]`,
      });
    }
    return [1];
  },
  flops: ({ inputs: [x] }) => 5 * elements(x ?? []),
  forward({ batch, attributes, shapes, inputs: [x, labels], output, saved }) {
    const C = elements(shapes.inputs[0] ?? []);
    const probabilities = saved.probabilities ?? new Float64Array(batch * C);
    for (let n = 0; n < batch; n++) {
      const label = labels?.[n] ?? Number.NaN;
      output[n] = crossEntropy(x ?? [], n * C, C, label, attributes.labelSmoothing, probabilities);
    }
  },
  backward: {
    saves: (_node, { inputs: [x] }) => [
      {
        kind: 'own',
        name: 'probabilities',
        bytesPerImage: 4 * elements(x ?? []),
        elementsPerImage: elements(x ?? []),
      },
      { kind: 'input', index: 1 },
    ],
    apply({ attributes, shapes, dOutput, inputs: [, labels], saved: { probabilities }, dInputs: [dx] }) {
      const C = elements(shapes.inputs[0] ?? []);
      dx?.forEach((_, i) => {
        const n = Math.floor(i / C);
        const hit = labels?.[n] === i % C ? 1 - attributes.labelSmoothing : 0;
        dx[i] = (dOutput[n] ?? 0) * ((probabilities?.[i] ?? 0) - hit - attributes.labelSmoothing / C);
      });
    },
  },
  samples: [
    { title: 'x=[7]', attributes: { labelSmoothing: 0 }, inputs: [[7], [1]], parameters: {} },
    { title: 'x=[5] smoothing=.1', attributes: { labelSmoothing: 0.1 }, inputs: [[5], [1]], parameters: {} },
  ],
};
