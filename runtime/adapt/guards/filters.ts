/**
 * @file Which frames are worth a gradient: certain ones that are not what was learnt already (EATA; Niu et al., ICML 2022).
 *
 * A frame with entropy H weighs e^(E0 - H) if H < E0 = margin ln C and the cosine between its probabilities and the moving
 * average of those that were learnt from is below `redundancy`; else 0.
 */

export class FrameFilter {
  readonly #limit: number;
  readonly #redundancy: number;
  /** Moving average of the probabilities that were learnt from; null before the first. */
  #mean: Float32Array | null = null;

  /**
   * @param margin share of the largest entropy, above 0 up to 1
   * @param redundancy cosine from which a frame is redundant; 1: none is
   */
  constructor(classes: number, margin: number, redundancy: number) {
    this.#limit = margin * Math.log(classes);
    this.#redundancy = redundancy;
  }

  /** Weights of the frames, 0 for those left out. */
  weigh(probabilities: Float32Array, entropy: Float32Array): Float64Array {
    const classes = probabilities.length / entropy.length;
    return Float64Array.from(entropy, (h, n) => {
      const p = probabilities.subarray(n * classes, (n + 1) * classes);
      return h < this.#limit && this.#isNew(p) ? Math.exp(this.#limit - h) : 0;
    });
  }

  /** Whether some frame is certain, new or not. */
  anyCertain(entropy: Float32Array): boolean {
    return entropy.some((h) => h < this.#limit);
  }

  /** Takes note of the frames that were learnt from. */
  learnt(probabilities: Float32Array, weights: Float64Array): void {
    const classes = probabilities.length / weights.length;
    const chosen = weights.reduce((count, weight) => count + Number(weight > 0), 0);
    if (chosen === 0) return;
    const batch = new Float32Array(classes);
    probabilities.forEach((p, i) => {
      if ((weights[Math.floor(i / classes)] ?? 0) > 0) batch[i % classes] = (batch[i % classes] ?? 0) + p / chosen;
    });
    const before = this.#mean;
    this.#mean = before ? before.map((value, c) => 0.9 * value + 0.1 * (batch[c] ?? 0)) : batch;
  }

  reset(): void {
    this.#mean = null;
  }

  save(): Float32Array {
    return this.#mean ?? new Float32Array();
  }

  load(mean: Float32Array): void {
    this.#mean = mean.length > 0 ? mean.slice() : null;
  }

  #isNew(p: Float32Array): boolean {
    const mean = this.#mean;
    if (!mean || this.#redundancy >= 1) return true;
    const dot = p.reduce((sum, value, c) => sum + value * (mean[c] ?? 0), 0);
    return Math.abs(dot) < this.#redundancy * Math.hypot(...p) * Math.hypot(...mean);
  }
}
