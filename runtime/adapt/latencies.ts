/** @file Quantiles of latencies over weeks in a few KiB. */

/** Each bucket is so much wider than the one before: what a quantile may be off by. */
const STEP = 1.02;
const BUCKETS = 1024;

/** Counts latencies in buckets that grow; the first one holds those below a tenth of a millisecond. */
export class Latencies {
  readonly #counts = new Float64Array(BUCKETS);
  #total = 0;

  /** @param millis from 0 */
  add(millis: number): void {
    const bucket = millis <= 0.1 ? 0 : Math.ceil(Math.log(millis / 0.1) / Math.log(STEP));
    const at = Math.min(BUCKETS - 1, bucket);
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
    this.#total += 1;
  }

  /** Upper end of the bucket that holds the quantile, in milliseconds; null before the first latency. */
  quantile(share: number): number | null {
    if (this.#total === 0) return null;
    let below = 0;
    const bucket = this.#counts.findIndex((count) => {
      below += count;
      return below >= share * this.#total;
    });
    return 0.1 * STEP ** bucket;
  }
}
