/**
 * @file Affine: y = f(scale * (x - mean) / sqrt(variance + epsilon) + shift), per channel
 *
 * One op for what stands behind a convolution: a norm with stored statistics (ONNX BatchNormalization-15, inference), a
 * bias (no scale and no statistics), and the clipping activation f after it, because they share one pass over memory.
 * x [.., C] -> y [.., C]; scale, shift, mean, variance [C], each may be absent (1, 0, 0, 1 without epsilon).
 * The statistics are constants, so an exact zero variance is finite through epsilon alone and nothing is divided by scale.
 * With m = f' as one bit, factor = scale / sqrt(variance + epsilon):
 *   dx = factor m dy,   dshift = sum m dy,   dscale = sum m dy (x - mean) / sqrt(variance + epsilon).
 * Saved: the bit, numel/8 bytes, if there is an activation; x, 4 bytes an element, only if scale trains.
 */
import { ShapeError } from '../runtime/errors.ts';
import { elements } from '../runtime/graph/graph.ts';
import { type ActivationAttributes, clip, derivativeBit, hasActivation, maskSave } from './activation.ts';
import type { Kernel, Save } from './kernel.ts';

export type AffineAttributes = ActivationAttributes & { readonly epsilon: number };

/** The derived per-channel constants: y = f(factor * x + offset). */
export function affineConstants(
  channels: number,
  epsilon: number,
  parameters: Readonly<Record<string, ArrayLike<number> | undefined>>,
  factor: Float32Array | Float64Array,
  offset: Float32Array | Float64Array,
): void {
  const { scale, shift, mean, variance } = parameters;
  for (let c = 0; c < channels; c++) {
    const f = (scale?.[c] ?? 1) * inverseStd(variance, epsilon, c);
    factor[c] = f;
    offset[c] = (shift?.[c] ?? 0) - (mean?.[c] ?? 0) * f;
  }
}

export function inverseStd(variance: ArrayLike<number> | undefined, epsilon: number, channel: number): number {
  return variance ? 1 / Math.sqrt((variance[channel] ?? 0) + epsilon) : 1;
}

export const affine: Kernel<AffineAttributes> = {
  op: 'Affine',
  trainable: ['scale', 'shift'],
  inPlace: true,
  shape(node, [x], parameters) {
    const channels = x?.at(-1);
    for (const [role, shape] of Object.entries(parameters)) {
      if (shape.length !== 1 || shape[0] !== channels) {
        throw new ShapeError({
          op: 'Affine',
          node: node.name,
          expected: `${role} [${channels}]`,
          actual: `[${shape}]`,
        });
      }
    }
    return x ?? [];
  },
  flops: ({ output, parameters }, { low, high }) =>
    ((parameters.scale ? 2 : 1) + Number(low !== null) + Number(high !== null)) * elements(output),
  // The bit; factor; the sum for shift; centre, multiply, multiply and add for scale.
  backwardFlops: ({ output, parameters }, attributes, wants) =>
    (Number(hasActivation(attributes)) +
      Number(wants.inputs[0] && parameters.scale !== undefined) +
      Number(wants.parameters.has('shift')) +
      4 * Number(wants.parameters.has('scale'))) *
    elements(output),
  // factor and offset (or the inverse deviation) of C floats each; they do not grow with the batch.
  workspace: ({ output }) => 8 * (output.at(-1) ?? 0),
  forward({ attributes, inputs: [x], parameters, output, saved, shapes }) {
    const C = shapes.output.at(-1) ?? 1;
    const factor = new Float64Array(C);
    const offset = new Float64Array(C);
    affineConstants(C, attributes.epsilon, parameters, factor, offset);
    x?.forEach((value, i) => {
      const a = value * (factor[i % C] ?? 1) + (offset[i % C] ?? 0);
      output[i] = clip(attributes, a);
      if (saved.mask) saved.mask[i] = derivativeBit(attributes, a);
    });
  },
  backward: {
    inPlace: true,
    saves(node, shapes, wants) {
      const saves: Save[] = [];
      if (hasActivation(node.attributes)) {
        saves.push(maskSave(shapes.output));
      }
      if (wants.parameters.has('scale')) saves.push({ kind: 'input', index: 0 });
      return saves;
    },
    apply({ attributes, dOutput, inputs: [x], saved: { mask }, parameters, dInputs: [dx], dParameters, shapes }) {
      const C = shapes.output.at(-1) ?? 1;
      const { scale, shift } = dParameters;
      const { mean, variance } = parameters;
      dOutput.forEach((value, i) => {
        const c = i % C;
        const m = value * (mask?.[i] ?? 1);
        const inverse = inverseStd(variance, attributes.epsilon, c);
        if (dx) dx[i] = m * (parameters.scale?.[c] ?? 1) * inverse;
        if (shift) shift[c] = (shift[c] ?? 0) + m;
        if (scale) scale[c] = (scale[c] ?? 0) + m * ((x?.[i] ?? 0) - (mean?.[c] ?? 0)) * inverse;
      });
    },
  },
  samples: [
    {
      title: 'x=[4,3,5] norm, relu6',
      attributes: { epsilon: 1e-3, low: 0, high: 6, derivative: 'exact' },
      inputs: [[4, 3, 5]],
      parameters: { scale: [5], shift: [5], mean: [5], variance: [5] },
      positive: ['variance'],
    },
    {
      title: 'x=[3,3,8] norm, no activation',
      attributes: { epsilon: 1e-5, low: null, high: null, derivative: 'exact' },
      inputs: [[3, 3, 8]],
      parameters: { scale: [8], shift: [8], mean: [8], variance: [8] },
      positive: ['variance'],
    },
    {
      title: 'x=[2,5,9] bias, relu',
      attributes: { epsilon: 0, low: 0, high: null, derivative: 'exact' },
      inputs: [[2, 5, 9]],
      parameters: { shift: [9] },
    },
    {
      title: 'x=[7] bias on a vector',
      attributes: { epsilon: 0, low: null, high: null, derivative: 'exact' },
      inputs: [[7]],
      parameters: { shift: [7] },
    },
  ],
};
