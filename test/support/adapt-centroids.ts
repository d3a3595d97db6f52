/** @file The smallest method that really adapts: nearest class mean on pixels, which follows the mean of what it sees. */
import type { Observer, Outcome } from '../../runtime/adapt/adapter.ts';
import { Random } from '../../runtime/train/random.ts';

export const side = 8;
export const classes = 4;
const bytes = side * side * 3;

/** Pictures of class prototypes with noise, which a nearest mean tells apart nearly always. */
export function pictures(seed: number, count: number): { labels: Int32Array; images: readonly Uint8Array[] } {
  const prototypes = Array.from({ length: classes }, (_, label) => {
    const random = new Random(seed, label);
    return Float64Array.from({ length: bytes }, () => random.uniform(105, 135));
  });
  const labels = Int32Array.from({ length: count }, (_, index) => new Random(seed, index, 1).integer(0, classes - 1));
  const images = Array.from(labels, (label, index) => {
    const random = new Random(seed, index, 2);
    return Uint8Array.from(prototypes[label] as Float64Array, (value) => value + random.normal(0, 24));
  });
  return { labels, images };
}

/** Darkens or brightens the upper half of an image: 14 grey values a severity, none at 0. */
export function shade(image: Uint8Array, brighter: boolean, severity: number): Uint8Array {
  const change = (brighter ? 14 : -14) * severity;
  return image.map((value, at) => (at < bytes / 2 ? Math.max(0, Math.min(255, value + change)) : value));
}

/**
 * Predicts the class whose mean is nearest, both less the mean of everything. With `rate` above 0 the latter moves towards what is
 * seen, by this share of the distance an image.
 */
export class Centroids implements Observer {
  readonly method: string;
  readonly classes = classes;
  readonly imageSize = side;
  readonly batch = 16;
  readonly #means: readonly Float64Array[];
  readonly #source: Float64Array;
  readonly #rate: number;
  #seen: Float64Array;

  constructor(method: string, { labels, images }: ReturnType<typeof pictures>, rate: number) {
    this.method = method;
    this.#rate = rate;
    this.#means = Array.from({ length: classes }, (_, label) => mean(images.filter((_, at) => labels[at] === label)));
    this.#source = mean(images);
    this.#seen = this.#source.slice();
  }

  async observe(images: Uint8Array, count: number): Promise<Outcome> {
    // As an engine on another thread would, it answers after others had their turn.
    await new Promise(setImmediate);
    const logits = new Float32Array(count * classes);
    for (let n = 0; n < count; n++) {
      const image = images.subarray(n * bytes, (n + 1) * bytes);
      for (const [label, centre] of this.#means.entries()) logits[n * classes + label] = -this.#distance(image, centre);
    }
    if (this.#rate === 0) return { logits, updated: false, reason: 'frozen' };
    for (let n = 0; n < count; n++) {
      const image = images.subarray(n * bytes, (n + 1) * bytes);
      this.#seen = this.#seen.map((value, at) => value + this.#rate * ((image[at] as number) - value));
    }
    return { logits, updated: true, reason: count === this.batch ? 'whole batch' : 'part of a batch' };
  }

  #distance(image: Uint8Array, centre: Float64Array): number {
    let sum = 0;
    for (const [at, value] of image.entries()) {
      const shifted = value - (this.#seen[at] as number) + (this.#source[at] as number);
      sum += (shifted - (centre[at] as number)) ** 2;
    }
    return sum;
  }

  async reset(): Promise<void> {
    this.#seen = this.#source.slice();
  }

  async memory() {
    const stateBytes = this.#seen.byteLength;
    return { plannedPeakBytes: 0, highWaterBytes: 0, stateBytes, plannedTotalBytes: stateBytes };
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

function mean(images: readonly Uint8Array[]): Float64Array {
  const sum = new Float64Array(bytes);
  for (const image of images) for (const [at, value] of image.entries()) sum[at] = (sum[at] as number) + value;
  return sum.map((value) => value / images.length);
}
