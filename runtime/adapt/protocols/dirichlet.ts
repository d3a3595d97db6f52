/** @file Random shares that add up to one. */
import type { Random } from '../../train/random.ts';

/**
 * Draws from the symmetric Dirichlet distribution: `count` shares whose sum is 1. A small `delta` gives nearly everything to
 * one of them, a large one gives all the same; the expected sum of their squares is (delta + 1) / (count delta + 1).
 *
 * @param delta Above 0. Gamma deviates are drawn as logarithms, so that a small one does not leave zeros only.
 */
export function dirichlet(random: Random, count: number, delta: number): Float64Array {
  const logarithms = Float64Array.from({ length: count }, () => logGamma(random, delta));
  const largest = logarithms.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
  const weights = logarithms.map((value) => Math.exp(value - largest));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/** Logarithm of a gamma deviate of any shape above 0: one of shape + 1 times a power of a uniform deviate. */
function logGamma(random: Random, shape: number): number {
  return Math.log(gammaAboveOne(random, shape + 1)) + Math.log(1 - random.uniform()) / shape;
}

/** Gamma deviate of a shape of at least 1: Marsaglia and Tsang, ACM TOMS 26 (2000), rejection from a cubed normal. */
function gammaAboveOne(random: Random, shape: number): number {
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = random.normal();
    const v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(1 - random.uniform()) < x ** 2 / 2 + d - d * v + d * Math.log(v)) return d * v;
  }
}
