/**
 * @file LayerNorm: y = scale h + shift with h = (x - mean) / sqrt(variance + epsilon), over the channels of each pixel
 * (Ba et al., Layer Normalization, 2016; ONNX LayerNormalization-17 on the last axis of a channels-last map)
 *
 * x [.., C] -> y [.., C]; scale, shift [C], each may be absent. The variance is the biased one. With g = scale dy and
 * means over the channels:  dx = (g - mean(g) - h mean(g h)) / sqrt(variance + epsilon),
 * dscale = sum over pixels of dy h,  dshift = sum of dy.
 * Saved: x, 4 bytes an element, unless the shift alone is wanted; mean and deviation are computed again from it.
 */
import { ShapeError } from '../runtime/errors.ts';
import { elements } from '../runtime/graph/graph.ts';
import type { Kernel } from './kernel.ts';

export type LayerNormAttributes = { readonly epsilon: number };

export const layerNorm: Kernel<LayerNormAttributes> = {
  op: 'LayerNorm',
  trainable: ['scale', 'shift'],
  inPlace: true,
  shape(node, [x = []], parameters) {
    const channels = x.at(-1);
    for (const [role, shape] of Object.entries(parameters)) {
      if (shape.length !== 1 || shape[0] !== channels) {
        throw new ShapeError({
          op: 'LayerNorm',
          node: node.name,
          expected: `${role} [${channels}]`,
          actual: `[${shape}]`,
        });
      }
    }
    return x;
  },
  flops: ({ output }) => 8 * elements(output),
  backwardFlops: ({ output }) => 16 * elements(output),
  // Per channel two sums in float32 over a few pixels, and the same in float64 over all.
  workspace: ({ output }, _attributes, pass, wants) =>
    pass === 'backward' && wants.parameters.size > 0 ? 24 * (output.at(-1) ?? 0) : 0,
  forward({ attributes, shapes, inputs: [x = new Float64Array()], parameters: { scale, shift }, output }) {
    const C = shapes.output.at(-1) ?? 1;
    for (let row = 0; row < x.length; row += C) {
      const { mean, inverse } = moments(x.subarray(row, row + C), attributes.epsilon);
      for (let c = 0; c < C; c++) {
        output[row + c] = (scale?.[c] ?? 1) * ((x[row + c] ?? 0) - mean) * inverse + (shift?.[c] ?? 0);
      }
    }
  },
  backward: {
    inPlace: true,
    saves: (_node, _shapes, wants) =>
      wants.inputs[0] || wants.parameters.has('scale') ? [{ kind: 'input', index: 0 }] : [],
    apply({ attributes, shapes, dOutput, inputs: [x], parameters, dInputs: [dx], dParameters: { scale, shift } }) {
      const C = shapes.output.at(-1) ?? 1;
      for (let row = 0; row < dOutput.length; row += C) {
        const { mean, inverse } = moments(x?.subarray(row, row + C) ?? new Float64Array(C), attributes.epsilon);
        const h = (c: number): number => ((x?.[row + c] ?? 0) - mean) * inverse;
        const g = (c: number): number => (dOutput[row + c] ?? 0) * (parameters.scale?.[c] ?? 1);
        let [meanG, meanGH] = [0, 0];
        for (let c = 0; c < C; c++) {
          const dy = dOutput[row + c] ?? 0;
          if (shift) shift[c] = (shift[c] ?? 0) + dy;
          if (scale) scale[c] = (scale[c] ?? 0) + dy * h(c);
          meanG += g(c) / C;
          meanGH += (g(c) * h(c)) / C;
        }
        if (!dx) continue;
        for (let c = 0; c < C; c++) dx[row + c] = inverse * (g(c) - meanG - h(c) * meanGH);
      }
    },
  },
  samples: [
    {
      title: 'x=[3,4,5]',
      attributes: { epsilon: 1e-5 },
      inputs: [[3, 4, 5]],
      parameters: { scale: [5], shift: [5] },
    },
    {
      title: 'x=[9,8,24], more pixels than one partial sum',
      attributes: { epsilon: 1e-6 },
      inputs: [[9, 8, 24]],
      parameters: { scale: [24], shift: [24] },
    },
    { title: 'x=[11] no shift', attributes: { epsilon: 1e-3 }, inputs: [[11]], parameters: { scale: [11] } },
  ],
};

function moments(row: Float64Array, epsilon: number): { readonly mean: number; readonly inverse: number } {
  const mean = row.reduce((sum, value) => sum + value, 0) / row.length;
  const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / row.length;
  return { mean, inverse: 1 / Math.sqrt(variance + epsilon) };
}
