/** @file Repeats a piece of work for a while and gives the median of its rate. */

export interface MeasuredRate {
  /** Amount of work a second, in the unit of what `work` returns. */
  readonly median: number;
  readonly lowest: number;
  readonly highest: number;
  readonly rounds: number;
}

/** Fewest rounds whose median means something, even where one takes longer than the time given. */
const LEAST_ROUNDS = 5;

/**
 * Measures after one round that is not counted, which pays for pages, caches and thread pools.
 *
 * @param seconds Time to spend; at least five rounds are run.
 * @param work Does one round and returns how much that was (flops, bytes).
 */
export async function medianRate(seconds: number, work: () => number | Promise<number>): Promise<MeasuredRate> {
  await work();
  const rates: number[] = [];
  const end = performance.now() + 1000 * seconds;
  while (rates.length < LEAST_ROUNDS || performance.now() < end) {
    const start = performance.now();
    const amount = await work();
    rates.push(amount / ((performance.now() - start) / 1000));
  }
  return { ...spread(rates), rounds: rates.length };
}

/** Of an even number of values the median is the lower of the two in the middle. */
function spread(values: readonly number[]): { median: number; lowest: number; highest: number } {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (index: number) => sorted[index] ?? Number.NaN;
  return { median: at(Math.floor((sorted.length - 1) / 2)), lowest: at(0), highest: at(sorted.length - 1) };
}
