/**
 * @file BatchNorm: y = scale * (x - m) / sqrt(v + epsilon) + shift per channel   (ONNX BatchNormalization-15, training)
 *
 * x, y [.., C]; scale, shift, mean, variance [C]. `batch`: m and v are the batch's own (v biased), and the stored mean
 * and variance move towards them by `momentum`, the variance unbiased, as in PyTorch. `moving`: the stored ones move
 * first, and are then used as constants (momentum 1 is the batch's statistics without their gradient). `renorm`: as `moving`, but
 * the gradient is that of Batch Renormalization (Ioffe 2017, without clipping): y = scale (xb r + d) + shift with xb the batch's own
 * xhat, and constants r, d that make it the stored one's.
 * With xhat = (x - m) / sqrt(v + epsilon) over the R values of a channel:
 *   dshift = sum dy,   dscale = sum dy xhat,
 *   batch:  dx = scale / sqrt(v + epsilon) (dy - dshift / R - xhat dscale / R)   (Ioffe and Szegedy 2015)
 *   moving: dx = scale / sqrt(v + epsilon) dy
 *   renorm: dx = scale / sqrt(v + epsilon) (dy - dshift / R - xb sum(dy xb) / R)
 * A prediction uses the stored statistics in all of them.
 * Saved: x, 4 bytes an element; nothing for `moving` if scale does not train.
 */
import { elements } from '../runtime/graph/graph.ts';
import { affine, affineConstants, inverseStd } from './affine.ts';
import type { ForwardMode, Kernel } from './kernel.ts';

export type BatchNormAttributes = {
  readonly epsilon: number;
  readonly statistics: 'batch' | 'moving' | 'renorm';
  /** Weight of the batch in the moving statistics, above 0 up to 1. */
  readonly momentum: number;
};

/** Mean and biased variance of each channel over all rows. */
export function batchMoments(x: Float64Array, channels: number): { mean: Float64Array; variance: Float64Array } {
  const mean = new Float64Array(channels);
  const variance = new Float64Array(channels);
  const rows = x.length / channels;
  x.forEach((value, i) => {
    mean[i % channels] = (mean[i % channels] ?? 0) + value / rows;
  });
  x.forEach((value, i) => {
    const c = i % channels;
    variance[c] = (variance[c] ?? 0) + (value - (mean[c] ?? 0)) ** 2 / rows;
  });
  return { mean, variance };
}

type Numbers = Float64Array | Float32Array;

/** Moves the stored statistics towards those of a batch with `rows` values a channel. */
export function moveStatistics(
  stored: { mean: Numbers; variance: Numbers },
  batch: { mean: Numbers; variance: Numbers },
  momentum: number,
  rows: number,
): void {
  // Held statistics stay as they are, whatever the batch holds.
  if (momentum === 0) return;
  // One value has no spread; PyTorch refuses it, a stream's last image may be it.
  const unbiased = rows > 1 ? rows / (rows - 1) : 1;
  for (let c = 0; c < stored.mean.length; c++) {
    stored.mean[c] = (1 - momentum) * (stored.mean[c] ?? 0) + momentum * (batch.mean[c] ?? 0);
    stored.variance[c] = (1 - momentum) * (stored.variance[c] ?? 0) + momentum * unbiased * (batch.variance[c] ?? 0);
  }
}

/** Which statistics a pass normalizes with. */
export function usesBatch({ statistics }: BatchNormAttributes, mode: ForwardMode): boolean {
  return statistics === 'batch' && mode !== 'inference';
}

export const batchNorm: Kernel<BatchNormAttributes> = {
  op: 'BatchNorm',
  trainable: ['scale', 'shift'],
  running: ['mean', 'variance'],
  inPlace: true,
  shape: (node, inputs, parameters) =>
    affine.shape(
      { ...node, attributes: { ...node.attributes, low: null, high: null, derivative: 'exact' } },
      inputs,
      parameters,
    ),
  // Sum, centre, square, sum; scale and offset.
  flops: ({ output }) => 6 * elements(output),
  // Centre and scale x, two sums and a product; then three products and two sums for dx.
  backwardFlops: ({ output }, { statistics }, wants) =>
    (5 + (wants.inputs[0] ? (statistics === 'moving' ? 1 : 6) : 0)) * elements(output),
  // Eight vectors of C floats: moments, their scratch, and the pass's constants.
  workspace: ({ output }) => 8 * 4 * (output.at(-1) ?? 0),
  forward({ attributes, mode, shapes, inputs: [x = new Float64Array()], parameters, output }) {
    const C = shapes.output.at(-1) ?? 1;
    const stored = {
      mean: parameters.mean ?? new Float64Array(C),
      variance: parameters.variance ?? new Float64Array(C),
    };
    let used = stored;
    if (mode === 'training' || usesBatch(attributes, mode)) {
      const batch = batchMoments(x, C);
      if (mode === 'training') moveStatistics(stored, batch, attributes.momentum, x.length / C);
      if (usesBatch(attributes, mode)) used = batch;
    }
    const factor = new Float64Array(C);
    const offset = new Float64Array(C);
    affineConstants(C, attributes.epsilon, { ...parameters, ...used }, factor, offset);
    x.forEach((value, i) => {
      output[i] = value * (factor[i % C] ?? 1) + (offset[i % C] ?? 0);
    });
  },
  backward: {
    inPlace: true,
    saves: ({ attributes }, _shapes, wants) =>
      wants.parameters.has('scale') || (attributes.statistics !== 'moving' && wants.inputs[0])
        ? [{ kind: 'input', index: 0 }]
        : [],
    apply({ attributes, shapes, dOutput, inputs: [x], parameters, dInputs: [dx], dParameters: { scale, shift } }) {
      const C = shapes.output.at(-1) ?? 1;
      const R = dOutput.length / C;
      const own = attributes.statistics !== 'moving' && x ? batchMoments(x, C) : null;
      const { mean, variance } = own && attributes.statistics === 'batch' ? own : parameters;
      const inverse = (i: number): number => inverseStd(variance, attributes.epsilon, i % C);
      const xhat = (i: number): number => ((x?.[i] ?? 0) - (mean?.[i % C] ?? 0)) * inverse(i);
      const xb = (i: number): number =>
        own ? ((x?.[i] ?? 0) - (own.mean[i % C] ?? 0)) * inverseStd(own.variance, attributes.epsilon, i % C) : 0;
      const [sums, products, ownProducts] = [new Float64Array(C), new Float64Array(C), new Float64Array(C)];
      dOutput.forEach((dy, i) => {
        sums[i % C] = (sums[i % C] ?? 0) + dy;
        if (x) products[i % C] = (products[i % C] ?? 0) + dy * xhat(i);
        if (own) ownProducts[i % C] = (ownProducts[i % C] ?? 0) + dy * xb(i);
      });
      if (dx) {
        dOutput.forEach((dy, i) => {
          const c = i % C;
          const centred = own ? dy - (sums[c] ?? 0) / R - (xb(i) * (ownProducts[c] ?? 0)) / R : dy;
          dx[i] = (parameters.scale?.[c] ?? 1) * inverse(i) * centred;
        });
      }
      for (let c = 0; c < C; c++) {
        if (shift) shift[c] = (shift[c] ?? 0) + (sums[c] ?? 0);
        if (scale) scale[c] = (scale[c] ?? 0) + (products[c] ?? 0);
      }
    },
  },
  samples: [
    {
      title: 'x=[4,3,5] batch',
      attributes: { epsilon: 1e-3, statistics: 'batch', momentum: 0.1 },
      inputs: [[4, 3, 5]],
      parameters: { scale: [5], shift: [5], mean: [5], variance: [5] },
      positive: ['variance'],
    },
    {
      title: 'x=[3,2,8] batch',
      attributes: { epsilon: 1e-5, statistics: 'batch', momentum: 0.1 },
      inputs: [[3, 2, 8]],
      parameters: { scale: [8], shift: [8], mean: [8], variance: [8] },
      positive: ['variance'],
    },
  ],
};
