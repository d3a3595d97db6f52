/**
 * @file Energy from power that is sampled at a fixed rate, by the trapezoidal rule. What was not sampled is not
 * guessed.
 */

export interface EnergyCounts {
  /** Of the time that is covered. */
  readonly joules: number;
  /** Time between samples that follow each other. */
  readonly coveredMillis: number;
  /** Places where samples are missing. */
  readonly gaps: number;
}

export class EnergyIntegral {
  readonly #periodMillis: number;
  /** Power at the sample before; null at the beginning and after a gap. */
  #watts: number | null = null;
  #joules = 0;
  #intervals = 0;
  #gaps = 0;

  /** @param periodMillis Time from one sample to the next, by the clock of what samples. */
  constructor(periodMillis: number) {
    this.#periodMillis = periodMillis;
  }

  /** Adds the sample that comes one period after the one before. @param watts Finite. */
  add(watts: number): void {
    if (this.#watts !== null) {
      this.#joules += ((this.#watts + watts) / 2) * (this.#periodMillis / 1000);
      this.#intervals += 1;
    }
    this.#watts = watts;
  }

  /** One or more samples are missing here. */
  skip(): void {
    if (this.#watts !== null) this.#gaps += 1;
    this.#watts = null;
  }

  counts(): EnergyCounts {
    return { joules: this.#joules, coveredMillis: this.#intervals * this.#periodMillis, gaps: this.#gaps };
  }
}
