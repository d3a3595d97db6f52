/** @file Norms with the batch's own or moving statistics. */
import { affineConstants, inverseStd } from '../../../kernels/affine.ts';
import { type BatchNormAttributes, moveStatistics, usesBatch } from '../../../kernels/batch-norm.ts';
import type { SimdKernels } from '../../../kernels/simd/simd.ts';
import { elements } from '../../graph/graph.ts';
import type { Arena } from './arena.ts';
import type { CpuOp, Operands } from './operands.ts';

export const batchNorm: CpuOp = {
  forward(o, { simd, arena }) {
    const w = workspace(o, arena);
    const { attributes, rows, channels } = w;
    const mode = o.mode;
    let { mean, variance } = stored(o, arena, channels);
    if (mode === 'training' || usesBatch(attributes, mode)) {
      moments(o, simd, w);
      if (mode === 'training') moveStatistics({ mean, variance }, w, attributes.momentum, rows);
      if (usesBatch(attributes, mode)) ({ mean, variance } = w);
    }
    const scale = floats(o, arena, 'scale', channels);
    const shift = floats(o, arena, 'shift', channels);
    affineConstants(channels, attributes.epsilon, { scale, shift, mean, variance }, w.first, w.second);
    const [factor, offset] = [w.first.byteOffset, w.second.byteOffset];
    const unbounded = Number.POSITIVE_INFINITY;
    simd.affineForward(o.input(0), o.output, rows, channels, factor, offset, -unbounded, unbounded, 0, 0, 0, channels);
  },
  backward(o, { simd, arena }) {
    const w = workspace(o, arena);
    const { attributes, rows, channels } = w;
    const x = o.input(0);
    const known = stored(o, arena, channels);
    // Statistics whose gradient is taken along: the batch's own, for `renorm` scaled to the stored ones.
    const own = attributes.statistics !== 'moving' && x !== 0;
    if (own) moments(o, simd, w);
    else {
      w.mean.set(known.mean);
      w.variance.set(known.variance);
    }
    const inverse = w.first;
    for (let c = 0; c < channels; c++) inverse[c] = inverseStd(w.variance, attributes.epsilon, c);
    const [sums, products] = [w.second.fill(0), w.third.fill(0)];
    const at = (view: Float32Array): number => view.byteOffset;
    if (x) {
      simd.batchNormSums(o.dOutput, x, rows, channels, at(w.mean), at(inverse), at(sums), at(products), 0, channels);
    } else simd.columnSum(o.dOutput, rows, channels, at(sums), 0, channels);
    const scale = floats(o, arena, 'scale', channels);
    const isRenorm = own && attributes.statistics === 'renorm';
    const usedInverse = (c: number): number =>
      isRenorm ? inverseStd(known.variance, attributes.epsilon, c) : (inverse[c] ?? 1);
    if (o.dInput(0)) {
      const [a, b, offset] = [w.fourth, w.fifth, w.sixth];
      for (let c = 0; c < channels; c++) {
        const factor = (scale?.[c] ?? 1) * usedInverse(c);
        a[c] = factor;
        b[c] = own ? (-factor * (inverse[c] ?? 1) * (products[c] ?? 0)) / rows : 0;
        offset[c] = own ? (-factor * (sums[c] ?? 0)) / rows : 0;
      }
      if (own) simd.batchNormInput(o.dOutput, x, o.dInput(0), rows, channels, at(w.mean), at(a), at(b), at(offset));
      else simd.affineBackward(o.dOutput, o.dInput(0), rows, channels, at(a), 0, 0, 0, channels);
    }
    add(o, arena, 'shift', sums);
    if (isRenorm && o.dParameter('scale')) {
      // From products with the batch's own xhat to those with the stored one's.
      for (let c = 0; c < channels; c++) {
        const between = (w.mean[c] ?? 0) - (known.mean[c] ?? 0);
        products[c] = usedInverse(c) * ((products[c] ?? 0) / (inverse[c] ?? 1) + (sums[c] ?? 0) * between);
      }
    }
    add(o, arena, 'scale', products);
  },
};

/** The workspace's vectors of C floats. */
function workspace(o: Operands, arena: Arena) {
  const channels = o.step.shapes.output.at(-1) ?? 1;
  const vector = (index: number): Float32Array => arena.floats(o.workspace + 4 * channels * index, channels);
  return {
    attributes: o.step.attributes as BatchNormAttributes,
    channels,
    rows: (o.batch * elements(o.step.shapes.output)) / channels,
    mean: vector(0),
    variance: vector(1),
    first: vector(2),
    second: vector(3),
    third: vector(4),
    fourth: vector(5),
    fifth: vector(6),
    sixth: vector(7),
  };
}

/** Mean, then the variance around it, each in a pass of its own: one pass would cancel where a mean is large. */
function moments(o: Operands, simd: SimdKernels, w: ReturnType<typeof workspace>): void {
  const { rows, channels, mean, variance, first, second, third, fourth } = w;
  const at = (view: Float32Array): number => view.byteOffset;
  first.fill(0);
  mean.fill(0);
  variance.fill(0);
  simd.columnMoments(o.input(0), rows, channels, at(first), at(mean), at(variance), at(third), 0, channels);
  for (let c = 0; c < channels; c++) mean[c] = (mean[c] ?? 0) / rows;
  // `third` and `fourth` together are the scratch of two vectors.
  fourth.fill(0);
  second.fill(0);
  variance.fill(0);
  simd.columnMoments(o.input(0), rows, channels, at(mean), at(second), at(variance), at(third), 0, channels);
  for (let c = 0; c < channels; c++) variance[c] = (variance[c] ?? 0) / rows;
}

function stored(o: Operands, arena: Arena, channels: number) {
  return {
    mean: arena.floats(o.parameter('mean'), channels),
    variance: arena.floats(o.parameter('variance'), channels),
  };
}

function floats(o: Operands, arena: Arena, role: string, channels: number): Float32Array | undefined {
  return o.parameter(role) ? arena.floats(o.parameter(role), channels) : undefined;
}

function add(o: Operands, arena: Arena, role: string, values: Float32Array): void {
  if (!o.dParameter(role)) return;
  const gradient = arena.floats(o.dParameter(role), values.length);
  for (let c = 0; c < values.length; c++) gradient[c] = (gradient[c] ?? 0) + (values[c] ?? 0);
}
