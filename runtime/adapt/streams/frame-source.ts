/** @file Where frames come from: the interface of every source, its counts, and how what it finds becomes frames. */

import type { Arrival, Frame } from './frame.ts';
import type { FrameDecoder, FrameImage } from './frame-decoder.ts';
import type { Prediction } from './prediction-lines.ts';

/** A stream of frames, read once. Disposing of it ends the iteration and frees what it holds: files, processes, ports. */
export interface FrameSource extends AsyncIterable<Frame>, AsyncDisposable {
  /** What it reads, for messages. */
  readonly name: string;
  /** Frames come at their own pace, whether they are read or not: what is not read in time is late or lost. */
  readonly live: boolean;
  /** Of a source whose frames are requests: every frame must be answered or refused. */
  readonly replies: FrameReplies | null;
  counts(): SourceCounts;
}

export interface FrameReplies {
  answer(prediction: Prediction): void;
  /** @param reason Why it was not predicted, in a few words. */
  refuse(frame: Frame, reason: string): void;
}

export interface SourceCounts {
  /** Frames that were found; the next one's index. */
  readonly seen: number;
  /** Those of them that could not be decoded; their index is left out. */
  readonly skipped: number;
  /** Skipped frames by reason. */
  readonly reasons: Readonly<Record<string, number>>;
  /** Bytes between the images of a stream that belong to none. */
  readonly garbageBytes: number;
  /** How often the source had to be started again. */
  readonly restarts: number;
}

/** Most reasons that are told apart, so that a stream of ever new messages takes no memory. */
const mostReasons = 32;

export class SourceCounter {
  #seen = 0;
  #skipped = 0;
  readonly #reasons = new Map<string, number>();
  garbageBytes = 0;
  restarts = 0;

  /** Frames so far. */
  get seen(): number {
    return this.#seen;
  }

  /** Counts a frame and gives its index. */
  see(): number {
    this.#seen += 1;
    return this.#seen - 1;
  }

  skip(reason: string): void {
    this.#skipped += 1;
    const key = this.#reasons.has(reason) || this.#reasons.size < mostReasons ? reason : 'other';
    this.#reasons.set(key, (this.#reasons.get(key) ?? 0) + 1);
  }

  counts(): SourceCounts {
    return {
      seen: this.#seen,
      skipped: this.#skipped,
      reasons: Object.fromEntries(this.#reasons),
      garbageBytes: this.garbageBytes,
      restarts: this.restarts,
    };
  }
}

/** What a source found: an image, or the reason why there is none. */
export interface FoundFrame {
  readonly name: string;
  readonly arrival: Arrival;
  readonly image: FrameImage | { readonly kind: 'damaged'; readonly reason: string };
}

/** Decodes one image after the other; those that cannot be are counted and left out. */
export async function* decodeFrames(
  found: AsyncIterable<FoundFrame>,
  decoder: FrameDecoder,
  counter: SourceCounter,
): AsyncGenerator<Frame> {
  for await (const { name, arrival, image } of found) {
    const index = counter.see();
    const decoded = image.kind === 'damaged' ? image : await decoder.decode(image);
    if (decoded.kind === 'damaged') counter.skip(decoded.reason);
    else yield { index, name, arrival, pixels: decoded.pixels };
  }
}
