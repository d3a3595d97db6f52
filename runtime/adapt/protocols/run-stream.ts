/** @file Runs a method over a stream and measures what it got wrong, changed, took and kept. */

import { setImmediate as turn } from 'node:timers/promises';
import { countCorrect } from '../../engine/outcome.ts';
import { ExecutionError, UsageError } from '../../errors.ts';
import { ahead } from '../../train/data/batches.ts';
import type { AdapterMemory, Observer, Outcome } from '../adapter.ts';
import type { ImageProvider } from './images.ts';
import { type Segment, type Stream, sampleAt } from './stream.ts';

export interface RunStreamOptions {
  /** Frames a call; a stream of batch 1 takes one. */
  readonly batch: number;
  /**
   * Makes the images of the next call while the adapter works on this one. Default true. False makes them between the calls, so
   * that the machine is the adapter's alone while it is timed.
   */
  readonly prefetch?: boolean;
  readonly onProgress?: (progress: StreamProgress) => void;
}

export interface StreamProgress {
  readonly segment: string;
  /** Frames done so far, of `frames`. */
  readonly frame: number;
  readonly frames: number;
  /** Share of them that was misclassified. */
  readonly error: number;
}

/** What one method did with one stream; plain data. */
export interface StreamRun {
  readonly method: string;
  /** Frames a call. */
  readonly batch: number;
  /** One entry a frame, in the order of the stream: 1 if it was misclassified. */
  readonly wrong: Uint8Array;
  /** Frames done after each call. */
  readonly callEnds: Uint32Array;
  /** Milliseconds of each call, prediction and adaptation. */
  readonly callMillis: Float64Array;
  /** Frames of calls that changed the model. */
  readonly updatedFrames: number;
  /** Frames by the reason that the method gave, the most frequent first. */
  readonly reasons: Readonly<Record<string, number>>;
  readonly memory: AdapterMemory;
}

/** A call's frames: some of one segment. */
interface Call {
  readonly segment: Segment;
  readonly from: number;
  readonly count: number;
}

/**
 * Shows the stream to the adapter, `batch` frames a call, and scores what it predicts. A call never crosses a boundary, as the
 * data loaders of published results don't, so the last call of a segment may hold fewer. Two batches of images are held.
 *
 * @throws UsageError if the stream or the batch does not suit the adapter
 * @throws ExecutionError if an image or an answer has the wrong size
 */
export async function runStream(
  adapter: Observer,
  stream: Stream,
  images: ImageProvider,
  options: RunStreamOptions,
): Promise<StreamRun> {
  const batch = callSize(adapter, stream, options.batch);
  const calls = callsOf(stream, batch);
  const tally = new Tally(adapter, batch, stream.frames, calls.length);
  const load = imageLoader(adapter, stream, images, batch, calls);
  const loads = options.prefetch === false ? inTurn(calls.length, load) : ahead(0, calls.length, load);
  for await (const { segment, from, count, pixels } of loads) {
    if (from === 0 && segment.reset) await adapter.reset();
    const started = performance.now();
    const outcome = await adapter.observe(pixels, count);
    tally.add(outcome, segment.labels.subarray(from, from + count), performance.now() - started);
    options.onProgress?.({ segment: segment.name, ...tally.progress() });
  }
  return tally.result(await adapter.memory());
}

/** Frames a call, after a check that the adapter takes them. */
function callSize(adapter: Observer, stream: Stream, batch: number): number {
  if (!(Number.isInteger(batch) && batch > 0 && batch <= adapter.batch)) {
    throw new UsageError(
      `batch: expected 1 to ${adapter.batch}, as "${adapter.method}" was planned, but got ${batch}`,
      {
        batch,
        planned: adapter.batch,
      },
    );
  }
  if (stream.classes !== adapter.classes) {
    throw new UsageError(
      `stream: expected ${adapter.classes} classes, as the model has, but the data set has ${stream.classes}`,
      { expected: adapter.classes, found: stream.classes },
    );
  }
  return Math.min(batch, stream.batchLimit ?? batch);
}

function callsOf(stream: Stream, batch: number): readonly Call[] {
  return stream.segments.flatMap((segment) =>
    Array.from({ length: Math.ceil(segment.images.length / batch) }, (_, call) => {
      const from = call * batch;
      return { segment, from, count: Math.min(batch, segment.images.length - from) };
    }),
  );
}

/** Fills two buffers in turn. */
function imageLoader(
  { imageSize, method }: Observer,
  stream: Stream,
  images: ImageProvider,
  batch: number,
  calls: readonly Call[],
): (position: number) => Promise<Call & { readonly pixels: Uint8Array }> {
  const bytes = imageSize ** 2 * 3;
  const buffers = [new Uint8Array(batch * bytes), new Uint8Array(batch * bytes)] as const;
  return async (position) => {
    const call = calls[position] as Call;
    const pixels = (buffers[position % 2] as Uint8Array).subarray(0, call.count * bytes);
    const fill = async (place: number): Promise<void> => {
      const sample = sampleAt(stream, call.segment, call.from + place);
      const image = await images(sample);
      if (image.length !== bytes) {
        throw new ExecutionError(
          `image ${sample.image}: expected ${bytes} bytes (${imageSize} x ${imageSize} RGB, as "${method}" takes) ` +
            `but got ${image.length}`,
          { image: sample.image, expected: bytes, found: image.length },
        );
      }
      pixels.set(image, place * bytes);
    };
    for (let place = 0; place < call.count; place++) {
      await fill(place);
      // The adapter's answer may have come meanwhile, and its time is taken.
      await turn();
    }
    return { ...call, pixels };
  };
}

async function* inTurn<Loaded>(end: number, load: (position: number) => Promise<Loaded>): AsyncGenerator<Loaded> {
  for (let position = 0; position < end; position++) yield await load(position);
}

/** Adds up a run. */
class Tally {
  readonly #adapter: Observer;
  readonly #batch: number;
  readonly #wrong: Uint8Array;
  readonly #callEnds: Uint32Array;
  readonly #callMillis: Float64Array;
  readonly #reasons = new Map<string, number>();
  #calls = 0;
  #frame = 0;
  #errors = 0;
  #updatedFrames = 0;

  constructor(adapter: Observer, batch: number, frames: number, calls: number) {
    this.#adapter = adapter;
    this.#batch = batch;
    this.#wrong = new Uint8Array(frames);
    this.#callEnds = new Uint32Array(calls);
    this.#callMillis = new Float64Array(calls);
  }

  add({ logits, updated, reason }: Outcome, labels: Int32Array, millis: number): void {
    const { classes, method } = this.#adapter;
    if (logits.length !== labels.length * classes) {
      throw new ExecutionError(
        `"${method}": expected ${labels.length} x ${classes} logits but got ${logits.length} values`,
        { method, expected: labels.length * classes, found: logits.length },
      );
    }
    for (let place = 0; place < labels.length; place++) {
      const row = logits.subarray(place * classes, (place + 1) * classes);
      const wrong = 1 - countCorrect(row, labels.subarray(place, place + 1));
      this.#wrong[this.#frame + place] = wrong;
      this.#errors += wrong;
    }
    this.#frame += labels.length;
    this.#callEnds[this.#calls] = this.#frame;
    this.#callMillis[this.#calls] = millis;
    this.#calls += 1;
    this.#updatedFrames += updated ? labels.length : 0;
    this.#reasons.set(reason, (this.#reasons.get(reason) ?? 0) + labels.length);
  }

  progress(): Omit<StreamProgress, 'segment'> {
    return { frame: this.#frame, frames: this.#wrong.length, error: this.#errors / this.#frame };
  }

  result(memory: AdapterMemory): StreamRun {
    return {
      method: this.#adapter.method,
      batch: this.#batch,
      wrong: this.#wrong,
      callEnds: this.#callEnds,
      callMillis: this.#callMillis,
      updatedFrames: this.#updatedFrames,
      reasons: Object.fromEntries([...this.#reasons].sort(([, one], [, other]) => other - one)),
      memory,
    };
  }
}
