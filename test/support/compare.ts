/** @file Comparisons of number arrays for tests. Each is written `error <= tolerance`, so that NaN fails. */
import type { ExecutionContext } from 'ava';

export interface Tolerance {
  readonly rtol: number;
  readonly atol: number;
}

/** Holds |actual - expected| <= atol + rtol |expected| for every element; `about` names the case and its seed. */
export function assertClose(
  t: ExecutionContext,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { rtol, atol }: Tolerance,
  about: string,
): void {
  t.is(actual.length, expected.length, `${about}: lengths differ`);
  let worst = -1;
  let worstExcess = 0;
  for (let i = 0; i < expected.length; i++) {
    const [a = Number.NaN, e = Number.NaN] = [actual[i], expected[i]];
    const excess = Math.abs(a - e) / (atol + rtol * Math.abs(e));
    if (excess <= 1) continue;
    if (worst < 0 || !(excess <= worstExcess)) [worst, worstExcess] = [i, excess];
  }
  t.true(
    worst < 0,
    `${about}: at ${worst} of ${expected.length}: ${actual[worst]} is not ${expected[worst]} (rtol ${rtol}, atol ${atol})`,
  );
}

/** |actual - expected| / |expected| in the Euclidean norm; 0 if both are all zero, infinite if only the latter is. */
export function relativeL2(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [error, norm] = [0, 0];
  for (let i = 0; i < Math.max(actual.length, expected.length); i++) {
    const [a = Number.NaN, e = Number.NaN] = [actual[i], expected[i]];
    error += (a - e) ** 2;
    norm += e ** 2;
  }
  return error === 0 ? 0 : Math.sqrt(error / norm);
}

export function assertRelativeL2(
  t: ExecutionContext,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  about: string,
): void {
  const error = relativeL2(actual, expected);
  t.true(error <= tolerance, `${about}: relative L2 error ${error} is above ${tolerance}`);
}

const STEP = 1e-5;

/** Centred differences of <cotangent, y> by every element of `values`, which `forward` reads: (f(v + h) - f(v - h)) / 2h, h = 1e-5. */
export function centredDifferences(
  forward: () => Float64Array,
  cotangent: Float64Array,
  values: Float64Array,
): Float64Array {
  const loss = (): number => forward().reduce((sum, y, i) => sum + y * (cotangent[i] ?? 0), 0);
  return values.map((value, i) => {
    values[i] = value + STEP;
    const above = loss();
    values[i] = value - STEP;
    const below = loss();
    values[i] = value;
    return (above - below) / (2 * STEP);
  });
}
