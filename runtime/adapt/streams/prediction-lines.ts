/** @file Predictions as they leave: one JSON object a frame and line. */

import type { Writable } from 'node:stream';
import type { Outcome } from '../adapter.ts';
import { type Frame, millisSince } from './frame.ts';

/** What is said of a frame; the keys stand in this order. */
export interface Prediction {
  readonly frame: number;
  readonly name: string;
  /** When the frame arrived, ISO 8601 in UTC. */
  readonly time: string;
  /** Name of the class, or its number where names are not known; null if the logits are not finite. */
  readonly class: string | number | null;
  /** One a class, rounded to 4 digits after the point; left out unless asked for. */
  readonly probabilities?: readonly number[];
  /** Of the probabilities, in nats, 0 to ln(classes), rounded to 4 digits; null if the logits are not finite. */
  readonly entropy: number | null;
  /** Whether the model changed with this frame's batch. */
  readonly updated: boolean;
  readonly reason: string;
  /** From the frame's arrival to its prediction, to a hundredth. */
  readonly latencyMillis: number;
}

export interface PredictionOptions {
  /** Name of each class, null if they are not known. */
  readonly classes: readonly string[] | null;
  readonly probabilities: boolean;
}

/** @param logits The frame's own, one a class. */
export function predictionOf(
  { index, name, arrival }: Frame,
  logits: Float32Array,
  { updated, reason }: Pick<Outcome, 'updated' | 'reason'>,
  { classes, probabilities }: PredictionOptions,
): Prediction {
  const shares = softmax(logits);
  const best = shares ? shares.indexOf(Math.max(...shares)) : null;
  return {
    frame: index,
    name,
    time: new Date(arrival.epochMillis).toISOString(),
    class: best === null ? null : (classes?.[best] ?? best),
    ...(probabilities && shares && { probabilities: Array.from(shares, rounded) }),
    entropy: shares && rounded(entropyOf(shares)),
    updated,
    reason,
    latencyMillis: millisSince(arrival),
  };
}

/** Null if a logit is not finite. */
function softmax(logits: Float32Array): Float64Array | null {
  if (!logits.every(Number.isFinite)) return null;
  const most = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const powers = Float64Array.from(logits, (logit) => Math.exp(logit - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

function entropyOf(shares: Float64Array): number {
  return shares.reduce((sum, share) => (share > 0 ? sum - share * Math.log(share) : sum), 0);
}

const rounded = (value: number) => Math.round(value * 1e4) / 1e4;

/**
 * Writes predictions to a stream, no faster than it takes them.
 *
 * A reader that goes away, or a disk that is full, ends the lines and not the predictions: what cannot be written is counted.
 */
export class PredictionLines implements AsyncDisposable {
  readonly #output: Writable;
  readonly #onError = (error: Error) => {
    this.#failure ??= error;
  };
  #failure: Error | null = null;
  #written = 0;
  #lost = 0;

  constructor(output: Writable) {
    this.#output = output.on('error', this.#onError);
  }

  /** Why nothing is written any more; `EPIPE` is its code if the reader went away. */
  get failure(): Error | null {
    return this.#failure;
  }

  counts(): { readonly written: number; readonly lost: number } {
    return { written: this.#written, lost: this.#lost };
  }

  /** Resolves when the stream has room for the next line. */
  async write(prediction: Prediction): Promise<void> {
    if (this.#failure || this.#output.destroyed || this.#output.writableEnded) {
      this.#lost += 1;
      return;
    }
    const room = this.#output.write(`${JSON.stringify(prediction)}\n`, (error) => {
      if (error) this.#lost += 1;
      else this.#written += 1;
    });
    if (!room) await this.#drained();
  }

  /** Resolves when every line was handed to the system; the stream itself stays open. */
  async flush(): Promise<void> {
    if (this.#failure || this.#output.destroyed) return;
    await new Promise<void>((resolve) => this.#output.write('', () => resolve()));
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        for (const event of endings) this.#output.removeListener(event, done);
        resolve();
      };
      for (const event of endings) this.#output.once(event, done);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.flush();
    // A failed stream may report once more, and nobody else listens.
    if (!this.#failure) this.#output.removeListener('error', this.#onError);
  }
}

const endings = ['drain', 'error', 'close'] as const;
