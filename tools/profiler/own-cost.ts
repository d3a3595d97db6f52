/** @file What the profiler itself takes while it watches. */
import type { ProfilerCost } from './record.ts';

/** Over less than this the first looks, which compile the code, would be all there is. */
const LEAST_MILLIS = 500;

/** Resident memory falls while the watching begins, as what the start left behind is given back; the heap tells what is added. */
function heldBytes(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Counts from its making on. */
export class OwnCost {
  readonly #beganMillis = performance.now();
  readonly #cpu = process.cpuUsage();
  readonly #heldBytes = heldBytes();
  #bytes = 0;

  /** Looks at this process's memory; the most of all looks counts. */
  look(): void {
    this.#bytes = Math.max(this.#bytes, heldBytes() - this.#heldBytes);
  }

  /** Until now; null where that is too short to tell. */
  value(): ProfilerCost | null {
    const millis = performance.now() - this.#beganMillis;
    if (millis < LEAST_MILLIS) return null;
    const { user, system } = process.cpuUsage(this.#cpu);
    return { cpuShare: (user + system) / 1000 / millis, bytes: this.#bytes };
  }
}
