/** @file Numbers that come one by one, gathered for a tick. */
import { Latencies } from '../../runtime/adapt/latencies.ts';
import type { Durations } from './tick.ts';

/** Mean of what was added since it was last taken. */
export class Mean {
  #sum = 0;
  #count = 0;

  /** What is not finite counts for nothing. */
  add(value: number): void {
    if (!Number.isFinite(value)) return;
    this.#sum += value;
    this.#count += 1;
  }

  /** Undefined if nothing was added. */
  take(): number | undefined {
    const mean = this.#count === 0 ? undefined : this.#sum / this.#count;
    this.#sum = 0;
    this.#count = 0;
    return mean;
  }
}

/** Durations that the quantiles of a tick are of, the last ones. */
const WINDOW = 512;

/** Durations of a whole run and of its last 512. */
export class Timings {
  readonly #all = new Latencies();
  readonly #last = new Float64Array(WINDOW);
  #count = 0;
  #sumMillis = 0;

  add(millis: number): void {
    this.#all.add(millis);
    this.#last[this.#count % WINDOW] = millis;
    this.#count += 1;
    this.#sumMillis += millis;
  }

  /** Null before the first one. */
  whole(): Durations | null {
    const [p50Millis, p99Millis] = [this.#all.quantile(0.5), this.#all.quantile(0.99)];
    if (p50Millis === null || p99Millis === null) return null;
    return { count: this.#count, sumMillis: this.#sumMillis, p50Millis, p99Millis };
  }

  last(): { readonly p50Millis?: number; readonly p99Millis?: number } {
    if (this.#count === 0) return {};
    const sorted = this.#last.slice(0, Math.min(WINDOW, this.#count)).sort();
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
    return { p50Millis: at(0.5), p99Millis: at(0.99) };
  }
}
