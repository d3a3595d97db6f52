/** @file Many random numbers at once. */
import type { Random } from '../../train/random.ts';

/** Standard normal deviates: both values of every pair that the Box-Muller transform gives. */
export function normals(count: number, random: Random): Float64Array {
  const values = new Float64Array(count);
  for (let i = 0; i < count; i += 2) {
    // 1 - u lies in (0, 1], where the logarithm is finite.
    const radius = Math.sqrt(-2 * Math.log(1 - random.uniform()));
    const angle = 2 * Math.PI * random.uniform();
    values[i] = radius * Math.cos(angle);
    if (i + 1 < count) values[i + 1] = radius * Math.sin(angle);
  }
  return values;
}

/** Uniform values in [low, high). */
export function uniforms(count: number, low: number, high: number, random: Random): Float64Array {
  return new Float64Array(count).map(() => random.uniform(low, high));
}
