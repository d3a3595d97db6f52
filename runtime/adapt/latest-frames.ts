/** @file The latest frames of a stream, in however many calls they came: what a look at the world is taken of. */
import { packPixels, unpackPixels } from './packed-pixels.ts';

export interface LatestShape {
  /** Frames to look at. */
  readonly capacity: number;
  /** u8, RGB, channels-last. */
  readonly frameBytes: number;
}

/** Frames in no order. */
export interface Window {
  /** One after the other: a view, which the next call changes. */
  readonly images: Uint8Array;
  readonly count: number;
  /** Where the call's own frames are among them. */
  readonly places: readonly number[];
}

/** Bytes that are kept between calls. */
export const latestBytes = ({ capacity, frameBytes }: LatestShape): number => capacity * frameBytes;

export class LatestFrames {
  readonly #shape: LatestShape;
  readonly #frames: Uint8Array;
  #size = 0;
  /** Place of the next frame. */
  #next = 0;

  constructor(shape: LatestShape) {
    this.#shape = shape;
    this.#frames = new Uint8Array(latestBytes(shape));
  }

  /** Takes a call's frames and gives them with as many before them as are kept; a large call is its own window. */
  with(images: Uint8Array, count: number): Window {
    const { capacity, frameBytes } = this.#shape;
    const places: number[] = [];
    for (let n = Math.max(0, count - capacity); n < count; n++) {
      this.#frames.set(images.subarray(n * frameBytes, (n + 1) * frameBytes), this.#next * frameBytes);
      places.push(this.#next);
      this.#next = (this.#next + 1) % capacity;
      this.#size = Math.min(capacity, this.#size + 1);
    }
    if (count >= capacity) return { images, count, places: Array.from({ length: count }, (_, n) => n) };
    return { images: this.#frames.subarray(0, this.#size * frameBytes), count: this.#size, places };
  }

  clear(): void {
    [this.#size, this.#next] = [0, 0];
  }

  save(): Readonly<Record<'latest' | 'latestPlace', Float32Array>> {
    const kept = this.#frames.subarray(0, this.#size * this.#shape.frameBytes);
    return { latest: packPixels(kept), latestPlace: Float32Array.of(this.#next) };
  }

  load({ latest = new Float32Array(), latestPlace }: Readonly<Record<string, Float32Array>>): void {
    this.#frames.set(unpackPixels(latest));
    this.#size = (3 * latest.length) / this.#shape.frameBytes;
    this.#next = latestPlace?.[0] ?? 0;
  }
}
