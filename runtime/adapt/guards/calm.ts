/**
 * @file When frames are worth a look. A look at what the norms say costs more than predicting the same frames; where looks find no
 * drift they become rarer, until predictions are no longer as sure as they were.
 */

/** A look is due after so many memories of frames at most, however calm it has been. */
const LONGEST = 8;
/** Standard errors by which the mean entropy must have moved for a look before its time. */
const SURPRISE = 3;
/** Frames below which means say nothing. */
const FEW = 8;

/** Count, mean and sum of squared distances of a sample (Welford), in float32 as they are saved. */
interface Sample {
  readonly n: number;
  readonly mean: number;
  readonly squares: number;
}

const nothing: Sample = { n: 0, mean: 0, squares: 0 };

function joined(a: Sample, b: Sample): Sample {
  const n = a.n + b.n;
  if (n === 0) return nothing;
  const between = b.mean - a.mean;
  const mean = a.mean + (between * b.n) / n;
  const squares = a.squares + b.squares + (between ** 2 * a.n * b.n) / n;
  return { n, mean: Math.fround(mean), squares: Math.fround(squares) };
}

/** Of the mean, squared. */
const meanVariance = ({ n, squares }: Sample): number => squares / Math.max(1, n - 1) / Math.max(1, n);

export class Calm {
  readonly #memory: number;
  /** Looks in a row that found no drift. */
  #still = 0;
  /** Entropies while nothing drifted, and since the last look. */
  #before = nothing;
  #since = nothing;

  /** @param memory frames of a look */
  constructor(memory: number) {
    this.#memory = memory;
  }

  /** Frames that must have come since the last look for another: the memory, more the longer nothing has drifted. */
  get patience(): number {
    return this.#isSurprised() ? this.#memory : this.#memory * Math.min(LONGEST, 2 ** this.#still);
  }

  /** Takes note of predictions. */
  saw(entropies: Float32Array): void {
    const n = entropies.length;
    const mean = entropies.reduce((sum, value) => sum + value / n, 0);
    const squares = entropies.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    this.#since = joined(this.#since, { n, mean, squares });
  }

  /** Takes note of what a look at the frames so far has found. */
  looked(drifted: boolean): void {
    this.#still = drifted ? 0 : this.#still + 1;
    this.#before = drifted ? nothing : joined(this.#before, this.#since);
    this.#since = nothing;
  }

  reset(): void {
    this.load(new Float32Array(7));
  }

  save(): Float32Array {
    const flat = ({ n, mean, squares }: Sample): readonly number[] => [n, mean, squares];
    return Float32Array.of(this.#still, ...flat(this.#before), ...flat(this.#since));
  }

  load(state: Float32Array): void {
    const sample = (from: number): Sample => ({
      n: state[from] ?? 0,
      mean: state[from + 1] ?? 0,
      squares: state[from + 2] ?? 0,
    });
    this.#still = state[0] ?? 0;
    this.#before = sample(1);
    this.#since = sample(4);
  }

  #isSurprised(): boolean {
    const [before, since] = [this.#before, this.#since];
    if (before.n < FEW || since.n < FEW) return false;
    return Math.abs(since.mean - before.mean) > SURPRISE * Math.sqrt(meanVariance(before) + meanVariance(since));
  }
}
