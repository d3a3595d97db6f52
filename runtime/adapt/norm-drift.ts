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

/** D of each norm, 0 where both agree. */
export function drifts(norms: readonly NormNames[], first: Values, second: Values): number[] {
  return norms.map(({ mean, variance }) => {
    const [m1, v1] = [first.get(mean) ?? [], first.get(variance) ?? []];
    const [m2, v2] = [second.get(mean) ?? [], second.get(variance) ?? []];
    let sum = 0;
    for (let c = 0; c < m1.length; c++) {
      const d = ((m1[c] ?? 0) - (m2[c] ?? 0)) ** 2;
      const [a, b] = [(v1[c] ?? 0) + EPSILON, (v2[c] ?? 0) + EPSILON];
      sum += ((a + d) / b + (b + d) / a) / 2 - 1;
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

/** Statistics of all passes together: passes of equal size, each with its own mean and variance. */
export function pooled(norms: readonly NormNames[], passes: readonly Values[]): Values {
  const result = new Map<string, Float32Array>();
  for (const { mean, variance } of norms) {
    const length = passes[0]?.get(mean)?.length ?? 0;
    const [means, variances] = [new Float32Array(length), new Float32Array(length)];
    for (let c = 0; c < length; c++) {
      let [sum, squares] = [0, 0];
      for (const pass of passes) {
        const m = pass.get(mean)?.[c] ?? 0;
        sum += m;
        squares += (pass.get(variance)?.[c] ?? 0) + m * m;
      }
      means[c] = sum / passes.length;
      variances[c] = Math.max(0, squares / passes.length - (sum / passes.length) ** 2);
    }
    result.set(mean, means).set(variance, variances);
  }
  return result;
}
