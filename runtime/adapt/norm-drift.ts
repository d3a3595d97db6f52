/**
 * @file How far norms' statistics lie apart: the symmetric Kullback-Leibler divergence of two Gaussians a channel, as MECTA
 * uses it (Hong et al., ICLR 2023, 'skl'),
 *   D = ((v1 + e + d) / (v2 + e) + (v2 + e + d) / (v1 + e)) / 2 - 1,   d = (m1 - m2)^2, e = 1e-3,
 * averaged over the channels of a norm.
 */
import type { Plan } from '../plan/plan.ts';
import type { Values } from './learner.ts';

/** Names of a norm's running statistics. */
export interface NormNames {
  readonly mean: string;
  readonly variance: string;
}

const EPSILON = 1e-3;

/** The plan's norms with running statistics, from the input upwards. */
export function movingNorms(plan: Plan): readonly NormNames[] {
  return plan.steps.flatMap(({ pass, op, parameters: { mean, variance } }) =>
    pass === 'forward' && op === 'BatchNorm' && mean !== undefined && variance !== undefined
      ? [{ mean, variance }]
      : [],
  );
}

/**
 * D of each norm, 0 where both agree.
 *
 * @param errors squared standard errors of the first ones (`pooled`): what they alone would make of D, to second order, is taken
 *   off, so that frames of the same world have 0 in the mean; below 0 by chance
 */
export function drifts(norms: readonly NormNames[], first: Values, second: Values, errors?: Values): number[] {
  return norms.map(({ mean, variance }) => {
    const [m1, v1] = [first.get(mean) ?? [], first.get(variance) ?? []];
    const [m2, v2] = [second.get(mean) ?? [], second.get(variance) ?? []];
    const [ofMean, ofVariance] = [errors?.get(mean), errors?.get(variance)];
    let sum = 0;
    for (let c = 0; c < m1.length; c++) {
      const d = ((m1[c] ?? 0) - (m2[c] ?? 0)) ** 2 - (ofMean?.[c] ?? 0);
      const [a, b] = [(v1[c] ?? 0) + EPSILON, (v2[c] ?? 0) + EPSILON];
      sum += ((a + d) / b + (b + d) / a) / 2 - 1 - (ofVariance?.[c] ?? 0) / (2 * a * b);
    }
    return sum / m1.length;
  });
}

/** (1 - weight) from + weight to, of every tensor. */
export function movedTowards(from: Values, to: Values, weight: number): Values {
  return new Map(
    [...from].map(([name, values]) => {
      const target = to.get(name);
      return [name, values.map((value, i) => (1 - weight) * value + weight * (target?.[i] ?? value))] as const;
    }),
  );
}

export interface Pooled {
  /** Statistics of all passes together. */
  readonly found: Values;
  /** Their squared standard errors, from how the passes differ; 0 of a single pass. */
  readonly errors: Values;
}

/** Passes of about equal size, each with its own mean and variance, as a sample of the world. */
export function pooled(norms: readonly NormNames[], passes: readonly Values[]): Pooled {
  const [found, errors] = [new Map<string, Float32Array>(), new Map<string, Float32Array>()];
  for (const { mean, variance } of norms) {
    const ofPasses = (name: string, c: number): number[] => passes.map((pass) => pass.get(name)?.[c] ?? 0);
    const length = passes[0]?.get(mean)?.length ?? 0;
    const vector = (): Float32Array => new Float32Array(length);
    const [means, variances, ofMeans, ofVariances] = [vector(), vector(), vector(), vector()];
    for (let c = 0; c < length; c++) {
      const [m, v] = [moments(ofPasses(mean, c)), moments(ofPasses(variance, c))];
      means[c] = m.mean;
      variances[c] = v.mean + m.variance;
      ofMeans[c] = m.variance / Math.max(1, passes.length - 1);
      ofVariances[c] = v.variance / Math.max(1, passes.length - 1);
    }
    found.set(mean, means).set(variance, variances);
    errors.set(mean, ofMeans).set(variance, ofVariances);
  }
  return { found, errors };
}

/** Biased variance. */
function moments(values: readonly number[]): { readonly mean: number; readonly variance: number } {
  const mean = values.reduce((sum, value) => sum + value / values.length, 0);
  return { mean, variance: values.reduce((sum, value) => sum + (value - mean) ** 2 / values.length, 0) };
}
