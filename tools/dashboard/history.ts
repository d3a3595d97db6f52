/** @file Points of the last minutes and of a whole run, of any length, in a bounded room. Runs in the browser, too. */
import { Thinned } from '../profiler/thinned.ts';
import type { Point } from './tick.ts';

/** Points kept of the last minutes: four, at two a second. */
export const MOST_RECENT = 480;
/** Points of the whole run at most; half of it after neighbours were merged. */
export const MOST_WHOLE = 480;

type Field = Exclude<keyof Point, 'at'>;

/** How two neighbours become one. A peak must not be averaged away. */
const merges: Readonly<Record<Field, (a: number, b: number) => number>> = {
  rssBytes: Math.max,
  groupBytes: Math.max,
  heapBytes: Math.max,
  loss: mean,
  entropy: mean,
  trainAccuracy: later,
  validationAccuracy: later,
  p50Millis: mean,
  p99Millis: Math.max,
  rate: mean,
  lostRate: mean,
};

function mean(a: number, b: number): number {
  return (a + b) / 2;
}

function later(_: number, b: number): number {
  return b;
}

/** One point for two that follow one another. */
export function mergedPoints(a: Point, b: Point): Point {
  const merged: { at: number } & Partial<Record<Field, number>> = { at: b.at };
  for (const field of Object.keys(merges) as Field[]) {
    const [one, other] = [a[field], b[field]];
    const value = one === undefined ? other : other === undefined ? one : merges[field](one, other);
    if (value !== undefined) merged[field] = value;
  }
  return merged;
}

export class PointHistory {
  readonly #recent: Point[];
  readonly #whole = new Thinned<Point>(MOST_WHOLE, mergedPoints);

  /** @param before points of another history that this one continues */
  constructor(
    before: { readonly recent: readonly Point[]; readonly whole: readonly Point[] } = { recent: [], whole: [] },
  ) {
    this.#recent = [...before.recent];
    for (const point of before.whole) this.#whole.add(point);
  }

  add(point: Point): void {
    this.#recent.push(point);
    if (this.#recent.length > MOST_RECENT) this.#recent.shift();
    this.#whole.add(point);
  }

  recent(): readonly Point[] {
    return this.#recent;
  }

  whole(): readonly Point[] {
    return this.#whole.values();
  }
}
