/** @file Where energy is measured: sensors of the board, counters of the processor, or a meter in the supply line. */
import type { Found } from '../../../device-profiles/probes/probe.ts';

/** What a source measured. */
export interface PowerReading {
  /** At this moment, or since the reading before. */
  readonly watts: number;
  /** Since the first reading, which has 0. */
  readonly joules: number;
}

export interface PowerSource {
  /** What it measures and how, such as `INA3221 VDD_IN`. */
  readonly name: string;
  /** Null if it does not answer; a later reading may succeed. */
  read(): Promise<PowerReading | null>;
  /** What its energy leaves out, a sentence each. */
  missing?(): readonly string[];
  close(): void;
}

/** Adds up energy between readings of a sensor that shows power alone: the trapezoid rule. */
export class EnergySum {
  #last: { readonly watts: number; readonly atMillis: number } | null = null;
  #joules = 0;

  /** @param atMillis by any clock that does not jump */
  add(watts: number, atMillis: number): PowerReading {
    if (this.#last !== null) {
      this.#joules += (((watts + this.#last.watts) / 2) * (atMillis - this.#last.atMillis)) / 1000;
    }
    this.#last = { watts, atMillis };
    return { watts, joules: this.#joules };
  }
}

/** The first source that is there, in order; the reasons of all together if none is. */
export function firstSource(sources: readonly Found<PowerSource>[]): Found<PowerSource> {
  const found = sources.find((source) => 'probe' in source);
  const missing = sources.flatMap((source) => ('missing' in source ? [source.missing] : []));
  return found ?? { missing: missing.join('; ') };
}
