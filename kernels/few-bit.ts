/**
 * @file Few-bit derivatives: f' as a step function of x, so that a code of 1 to 4 bits an element is all that is kept.
 *
 * Novikov et al. 2022 ("Few-bit backward", arXiv 2202.00441). Their published tables are local optima in places; here
 * the steps are the least-squares optimum over all step functions, by dynamic programming on a grid.
 */
import { type ActivationFunction, type FunctionParameters, smoothFunctions } from './smooth-functions.ts';

/** A step function: code = how many borders lie below x; f'(x) is taken as levels[code]. */
export interface StepFunction {
  /** Rising; one fewer than levels. */
  readonly borders: readonly number[];
  readonly levels: readonly number[];
}

/** Inputs are weighted as normal with this deviation: norms aim at 1, learnt scales widen it, and tails must count. */
const DEVIATION = 2;
/** Half the grid's extent; a kink or border at a multiple of 1/32 is met exactly. */
const EXTENT = 8;
const CELLS_PER_UNIT = 32;

const known = new Map<string, StepFunction>();

/** Steps of a function's derivative for codes of `bits` bits; computed once each. */
export function stepFunction(name: ActivationFunction, parameters: FunctionParameters, bits: number): StepFunction {
  const key = [name, parameters.alpha, parameters.beta, bits].join(' ');
  const found = known.get(key) ?? (bits === 1 ? oneBit(name, parameters) : leastSquares(name, parameters, 2 ** bits));
  known.set(key, found);
  return found;
}

/**
 * One bit: 1[x >= 0] for what resembles ReLU (MobileTL, AAAI 2023, figure 2; for these functions also the unweighted
 * least-squares optimum of the few-bit paper), the exact slopes of LeakyRelu, the optimum of two levels for the rest.
 */
function oneBit(name: ActivationFunction, parameters: FunctionParameters): StepFunction {
  switch (name) {
    case 'hardSwish':
    case 'silu':
    case 'gelu':
    case 'geluTanh':
      return { borders: [0], levels: [0, 1] };
    case 'leakyRelu':
      return { borders: [0], levels: [parameters.alpha, 1] };
    default:
      return leastSquares(name, parameters, 2);
  }
}

/** f' as a function of x whatever the function keeps. */
export function derivativeOf(name: ActivationFunction, x: number, parameters: FunctionParameters): number {
  const { value, from, derivative } = smoothFunctions[name];
  return derivative(from === 'input' ? x : value(x, parameters), parameters);
}

/** The step function of `count` levels with the least weighted squared error: exact on the grid, O(count cells^2). */
function leastSquares(name: ActivationFunction, parameters: FunctionParameters, count: number): StepFunction {
  const cells = 2 * EXTENT * CELLS_PER_UNIT;
  const at = (cell: number): number => cell / CELLS_PER_UNIT - EXTENT;
  // Prefix sums of weight, weight f' and weight f'^2 give every interval's error at once.
  const sums = [0, 1, 2].map(() => new Float64Array(cells + 1));
  const [weights, firsts, seconds] = sums as [Float64Array, Float64Array, Float64Array];
  for (let cell = 0; cell < cells; cell++) {
    const x = at(cell + 0.5);
    const weight = Math.exp(-((x / DEVIATION) ** 2) / 2);
    const slope = derivativeOf(name, x, parameters);
    weights[cell + 1] = (weights[cell] ?? 0) + weight;
    firsts[cell + 1] = (firsts[cell] ?? 0) + weight * slope;
    seconds[cell + 1] = (seconds[cell] ?? 0) + weight * slope * slope;
  }
  const between = (sum: Float64Array, from: number, to: number): number => (sum[to] ?? 0) - (sum[from] ?? 0);
  const error = (from: number, to: number): number =>
    between(seconds, from, to) - between(firsts, from, to) ** 2 / between(weights, from, to);

  let best = Float64Array.from({ length: cells + 1 }, (_, to) => (to === 0 ? 0 : error(0, to)));
  const starts: Int32Array[] = [];
  for (let level = 1; level < count; level++) {
    const next = new Float64Array(cells + 1).fill(Number.POSITIVE_INFINITY);
    const start = new Int32Array(cells + 1);
    for (let to = level + 1; to <= cells; to++) {
      for (let from = level; from < to; from++) {
        const total = (best[from] ?? 0) + error(from, to);
        if (total < (next[to] ?? 0)) {
          next[to] = total;
          start[to] = from;
        }
      }
    }
    best = next;
    starts.push(start);
  }
  const cuts = [cells];
  for (const start of starts.toReversed()) cuts.unshift(start[cuts[0] ?? 0] ?? 0);
  cuts.unshift(0);
  return {
    borders: cuts.slice(1, -1).map(at),
    levels: cuts.slice(1).map((to, i) => between(firsts, cuts[i] ?? 0, to) / between(weights, cuts[i] ?? 0, to)),
  };
}

/** The code of x: how many borders lie below it or at it. */
export function codeOf({ borders }: StepFunction, x: number): number {
  let code = 0;
  for (const border of borders) if (x >= border) code++;
  return code;
}

/** Bytes of one image's packed codes: the channels of a row in groups of eight, `bits` bytes a group. */
export function codeBytes(shape: readonly number[], bits: number): number {
  const channels = shape.at(-1) ?? 1;
  const rows = shape.slice(0, -1).reduce((product, extent) => product * extent, 1);
  return rows * Math.ceil(channels / 8) * bits;
}
