/**
 * @file What was learnt of a tensor, as a difference from its base that can be scaled, added to others and put on another base.
 *
 * A running variance stands for a width, so its difference is ln(learnt / base): whatever is done with it, what comes out is above
 * zero. Of everything else it is learnt - base.
 */
import type { Graph } from '../graph/graph.ts';

export type DifferenceKind = 'sum' | 'ratio';

/** The kind of each parameter's difference, by its name: `ratio` for what a norm reads as its variance. */
export function differenceKinds(graph: Graph): ReadonlyMap<string, DifferenceKind> {
  const variances = new Set(graph.nodes.flatMap(({ parameters }) => parameters.variance ?? []));
  return new Map([...graph.parameters.keys()].map((name) => [name, variances.has(name) ? 'ratio' : 'sum']));
}

/** Values in any one layout; where a ratio has no meaning (a variance of 0 or below) nothing counts as learnt. */
export function difference(kind: DifferenceKind, learnt: Float32Array, base: Float32Array): Float64Array {
  return Float64Array.from(learnt, (value, i) => {
    const from = base[i] ?? Number.NaN;
    if (kind === 'sum') return value - from;
    return value > 0 && from > 0 ? Math.log(value / from) : 0;
  });
}

/** The base's values with a difference put on them. */
export function withDifference(kind: DifferenceKind, base: Float32Array, learnt: Float64Array): Float32Array {
  const put = kind === 'sum' ? (a: number, d: number) => a + d : (a: number, d: number) => a * Math.exp(d);
  return base.map((value, i) => put(value, learnt[i] ?? Number.NaN));
}

/** Euclidean norm. */
export const norm = (values: ArrayLike<number>): number => Math.sqrt(dot(values, values));

/** Cosine of the angle between two tensors of one size; null if either is all zero. */
export function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number | null {
  const lengths = norm(a) * norm(b);
  return lengths === 0 ? null : dot(a, b) / lengths;
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? Number.NaN) * (b[i] ?? Number.NaN);
  return sum;
}
