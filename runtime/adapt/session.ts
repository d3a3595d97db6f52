/** @file A stream from its source to its predictions: frames wait, are predicted and adapted to, and the state is saved now and then. */
import { GarbageMeter } from '../garbage.ts';
import type { GovernorCounts } from '../governor/governor.ts';
import type { AdaptRun } from './adapt-run.ts';
import type { Adapter, AdapterMemory, Outcome } from './adapter.ts';
import type { BackgroundCounts } from './background.ts';
import { Latencies } from './latencies.ts';
import type { StreamPosition } from './snapshot-file.ts';
import type { Frame } from './streams/frame.ts';
import { type FrameBatch, FrameQueue, fillQueue, type QueueCounts, type QueuePolicy } from './streams/frame-queue.ts';
import type { FrameSource, SourceCounts } from './streams/frame-source.ts';
import type { LabelCounts, LateLabels } from './streams/late-labels.ts';
import { type Prediction, type PredictionLines, predictionOf } from './streams/prediction-lines.ts';

export interface SessionOptions {
  readonly source: FrameSource;
  /** Opened before the source, whose frames have its size; disposed of by whoever opened it. */
  readonly adapter: Adapter;
  /** Of a `BackgroundAdapter`: saving and teaching go on behind, too. Null: predictions and adaptation take turns. */
  readonly background: { counts(): BackgroundCounts } | null;
  readonly lines: PredictionLines;
  readonly labels: LateLabels;
  /** Names of the classes, null if they are not known. */
  readonly classNames: readonly string[] | null;
  /** Whether predictions say the probability of each class. */
  readonly probabilities: boolean;
  readonly policy: QueuePolicy;
  /** Most frames that wait. */
  readonly capacity: number;
  /** How long a frame may wait for others of its batch, in milliseconds; infinite: for a full one. */
  readonly deadlineMillis: number;
  /** Null: nothing is saved. */
  readonly run: AdaptRun | null;
  /** Whether memory allows adaptation at the moment; absent: always. */
  readonly governor?: { mayAdapt(): boolean; counts(): GovernorCounts };
  /** Frames, and seconds, from one snapshot to the next, whichever is over first. */
  readonly snapshotFrames: number;
  readonly snapshotSeconds: number;
  /** Ends the session: frames that wait are predicted still, or left to the next start where they can be read again. */
  readonly signal: AbortSignal;
  /** Told of each frame when its prediction is known and it is kept for its label; `logits` hold for the call alone. */
  readonly onPredicted?: (frame: Frame, prediction: Prediction, logits: Float32Array) => void;
  /** Awaited after the last frame, before the last labels are learnt from. */
  readonly onDrained?: () => Promise<void>;
  readonly onEvent: (event: SessionEvent) => void;
}

export type SessionEvent =
  | { readonly kind: 'batch'; readonly counts: SessionCounts }
  | { readonly kind: 'snapshot'; readonly path: string }
  /** What went wrong without stopping anything. */
  | { readonly kind: 'trouble'; readonly text: string };

export interface SessionCounts {
  /** Frames predicted since the start, not counting those before a resume. */
  readonly predicted: number;
  /** Predicted frames of calls after which the model was another. */
  readonly updated: number;
  /** Predicted frames by the reason that was given, at most 64 told apart. */
  readonly reasons: Readonly<Record<string, number>>;
  readonly queue: QueueCounts;
  readonly source: SourceCounts;
}

export interface SessionResult extends SessionCounts {
  readonly interrupted: boolean;
  /** Why the source ended, if it failed. */
  readonly failure: unknown;
  /** Calls of the adapter that failed; each time the model went back to the deployed one. */
  readonly failures: number;
  readonly labels: LabelCounts & { readonly taught: number };
  readonly lines: { readonly written: number; readonly lost: number };
  readonly snapshots: { readonly written: number; readonly failed: number };
  readonly background: BackgroundCounts | null;
  /** From arrival to prediction; null if nothing was predicted. */
  readonly latencyMillis: { readonly p50: number; readonly p99: number } | null;
  readonly memory: AdapterMemory;
  /** What was done about memory, how often; null where nobody watched it. */
  readonly governor: GovernorCounts | null;
  readonly position: StreamPosition;
}

const MOST_REASONS = 64;

/** Pixels of handled frames that may wait to be collected; V8 would let many more of them come together. */
const GARBAGE_BYTES = 4 * 2 ** 20;

/** Runs until the source ends or the signal comes. @throws ExecutionError if nothing can be predicted any more */
export function runSession(options: SessionOptions): Promise<SessionResult> {
  return new Session(options).run();
}

class Session {
  readonly #options: SessionOptions;
  readonly #queue: FrameQueue;
  readonly #pixels: Uint8Array;
  readonly #latencies = new Latencies();
  readonly #garbage = new GarbageMeter(GARBAGE_BYTES);
  readonly #reasons = new Map<string, number>();
  #position: StreamPosition;
  #saved: { readonly predicted: number; readonly atMillis: number };
  #saving: Promise<void> | null = null;
  #predicted = 0;
  #updated = 0;
  #failures = 0;
  #taught = 0;
  #snapshots = { written: 0, failed: 0 };
  #linesEnded = false;
  #logEnded = false;

  constructor(options: SessionOptions) {
    const { adapter, source, policy, capacity, run } = options;
    this.#options = options;
    this.#queue = new FrameQueue({
      policy,
      capacity,
      batch: adapter.batch,
      onDropped: (frame) => source.replies?.refuse(frame, 'frames come faster than they can be predicted'),
    });
    this.#pixels = new Uint8Array(adapter.batch * 3 * adapter.imageSize ** 2);
    this.#position = run?.begun ?? { next: 0, predicted: 0, updates: 0 };
    this.#saved = { predicted: this.#position.predicted, atMillis: performance.now() };
  }

  async run(): Promise<SessionResult> {
    const { source, signal, adapter, deadlineMillis } = this.#options;
    const stop = (): void => this.#stop();
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    const filled = fillQueue(this.#queue, source);
    let failure: unknown = null;
    try {
      const next = () =>
        this.#queue.take(adapter.batch, deadlineMillis).catch((error: unknown) => {
          failure = error;
          return null;
        });
      for (let batch = await next(); batch; batch = await next()) await this.#handle(batch);
    } finally {
      signal.removeEventListener('abort', stop);
      this.#queue.close();
      await source[Symbol.asyncDispose]();
      await filled;
    }
    await this.#finish();
    return this.#result(failure);
  }

  /** What can be read again is left to the run that continues this one: with batches cut elsewhere it would be another. */
  #stop(): void {
    const { source, run } = this.#options;
    if (run && !source.live) this.#queue.close();
    else this.#queue.end();
  }

  async #handle({ frames, adapt }: FrameBatch): Promise<void> {
    const { adapter, source, lines, labels, classNames, probabilities, onPredicted } = this.#options;
    const frameBytes = 3 * adapter.imageSize ** 2;
    for (const [n, { pixels }] of frames.entries()) this.#pixels.set(pixels, n * frameBytes);
    const short = this.#options.governor?.mayAdapt() === false;
    const observed = await this.#observe(frames.length, adapt && !short);
    const outcome = short ? { ...observed, reason: 'memory is short' } : observed;
    for (const [n, frame] of frames.entries()) {
      const logits = outcome.logits.subarray(n * adapter.classes, (n + 1) * adapter.classes);
      const prediction = predictionOf(frame, logits, outcome, { classes: classNames, probabilities });
      this.#latencies.add(prediction.latencyMillis);
      labels.remember(frame);
      onPredicted?.(frame, prediction, logits);
      source.replies?.answer(prediction);
      await lines.write(prediction);
    }
    this.#garbage.drop(frames.length * frameBytes);
    await this.#account(frames, outcome);
    await this.#teach();
    if (this.#isDue()) await this.#snapshot();
    this.#options.onEvent({ kind: 'batch', counts: this.#counts() });
  }

  /** A call that fails costs what was learnt, not the prediction. */
  async #observe(count: number, adapt: boolean): Promise<Outcome> {
    const { adapter } = this.#options;
    const pixels = this.#pixels.subarray(0, count * 3 * adapter.imageSize ** 2);
    try {
      return await adapter.observe(pixels, count, adapt);
    } catch (error) {
      if (!adapt) throw error;
      this.#failures += 1;
      this.#trouble('adaptation failed, back to the deployed model', error);
      await adapter.reset();
      const { logits } = await adapter.observe(pixels, count, false);
      return { logits, updated: true, reason: 'failed, back to deployed' };
    }
  }

  async #account(frames: readonly Frame[], { updated, reason }: Outcome): Promise<void> {
    const { run, lines } = this.#options;
    const last = frames.at(-1)?.index ?? 0;
    this.#predicted += frames.length;
    this.#updated += updated ? frames.length : 0;
    const key = this.#reasons.has(reason) || this.#reasons.size < MOST_REASONS ? reason : 'other';
    this.#reasons.set(key, (this.#reasons.get(key) ?? 0) + frames.length);
    const { predicted, updates } = this.#position;
    this.#position = {
      next: last + 1,
      predicted: predicted + frames.length,
      updates: updates + (updated ? 1 : 0),
    };
    await run?.decisions.add({ frame: last, reason, updated });
    if (run?.decisions.failure && !this.#logEnded) {
      this.#logEnded = true;
      this.#trouble('decisions are no longer logged', run.decisions.failure);
    }
    if (lines.failure && !this.#linesEnded) {
      this.#linesEnded = true;
      this.#trouble('predictions are no longer written', lines.failure);
    }
  }

  async #teach(): Promise<void> {
    const { labels, adapter, background } = this.#options;
    const labelled = labels.take();
    if (labelled.length === 0) return;
    const taught = adapter.teach(labelled).then(
      (used) => {
        this.#taught += used ? labelled.length : 0;
      },
      (error: unknown) => this.#trouble('labels could not be learnt from', error),
    );
    if (!background) await taught;
  }

  #isDue(): boolean {
    const { run, snapshotFrames, snapshotSeconds } = this.#options;
    if (!run || this.#saving) return false;
    const { predicted, atMillis } = this.#saved;
    const frames = this.#position.predicted - predicted;
    return frames >= snapshotFrames || performance.now() - atMillis >= 1000 * snapshotSeconds;
  }

  /** Waits for the disk only where predictions and adaptation take turns anyway. */
  async #snapshot(): Promise<void> {
    this.#saving = this.#save().finally(() => {
      this.#saving = null;
    });
    if (!this.#options.background) await this.#saving;
  }

  async #save(): Promise<void> {
    const { run, adapter, onEvent } = this.#options;
    if (!run) return;
    this.#saved = { predicted: this.#position.predicted, atMillis: performance.now() };
    try {
      const path = await run.save(this.#position, adapter);
      this.#snapshots.written += 1;
      onEvent({ kind: 'snapshot', path });
    } catch (error) {
      this.#snapshots.failed += 1;
      this.#trouble('no snapshot could be saved', error);
    }
  }

  async #finish(): Promise<void> {
    await this.#options.lines.flush();
    await this.#options.onDrained?.();
    await this.#teach();
    await this.#saving;
    await this.#save();
  }

  #trouble(what: string, error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    this.#options.onEvent({ kind: 'trouble', text: `${what}: ${text}` });
  }

  #counts(): SessionCounts {
    return {
      predicted: this.#predicted,
      updated: this.#updated,
      reasons: Object.fromEntries(this.#reasons),
      queue: this.#queue.counts(),
      source: this.#options.source.counts(),
    };
  }

  async #result(failure: unknown): Promise<SessionResult> {
    const { adapter, labels, lines, background, signal } = this.#options;
    const [p50, p99] = [this.#latencies.quantile(0.5), this.#latencies.quantile(0.99)];
    return {
      ...this.#counts(),
      interrupted: signal.aborted,
      failure,
      failures: this.#failures,
      labels: { ...labels.counts(), taught: this.#taught },
      lines: lines.counts(),
      snapshots: this.#snapshots,
      background: background?.counts() ?? null,
      latencyMillis: p50 === null || p99 === null ? null : { p50, p99 },
      memory: await adapter.memory(),
      governor: this.#options.governor?.counts() ?? null,
      position: this.#position,
    };
  }
}
