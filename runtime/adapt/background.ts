/**
 * @file Prediction that does not wait for adaptation: a predictor with a small arena of its own answers at once, an adapter works
 * behind it on the newest frames, and what that learnt is written into the predictor between two predictions.
 */
import { RightOfWay } from '../engine/give-way.ts';
import { ExecutionError, UsageError } from '../errors.ts';
import type { Plan } from '../plan/plan.ts';
import { defaultThreads } from '../train/options.ts';
import type { Adapter, AdapterMemory, LateLabel, Outcome } from './adapter.ts';
import type { Values } from './learner.ts';
import { type AdaptOptions, type PlannedAdaptation, planAdaptation } from './open.ts';
import { type AdapterFacts, WorkerAdapter } from './worker-adapter.ts';

/** Another thread with its heap and its code, and another onnxruntime environment's sessions; measured on x64. */
export const THREAD_BYTES = 24 * 2 ** 20;

export interface BackgroundCounts {
  /** Frames that were adapted to, or looked at for that. */
  readonly seen: number;
  /** Frames that passed by while the adapter was busy. */
  readonly passedBy: number;
  /** Times that the predictor took what was learnt. */
  readonly taken: number;
  /** Calls of the adapter that failed; the model went back to the deployed one. */
  readonly failures: number;
}

/** Options of both sides, with the threads shared out; the adapter's budget counts the predictor. */
interface Sides<T> {
  readonly adapter: T;
  readonly predictor: T;
}

/** What the predictor takes beside the adapter, in bytes. */
export function predictorBytes({ totalBytes, bytes }: Plan): number {
  return totalBytes - bytes.base - bytes.export + THREAD_BYTES;
}

/**
 * Plans both inside one budget.
 * @throws as `planAdaptation`; UsageError if the method does not suit
 */
export async function planBackground(options: AdaptOptions): Promise<Sides<PlannedAdaptation>> {
  const { adapter, predictor } = sidesOf(options);
  const small = await planAdaptation(predictor);
  const planned = await planAdaptation(besides(adapter, small.plan));
  requireRoom(planned.plan, small.plan);
  return { adapter: planned, predictor: small };
}

const besides = (options: AdaptOptions, predictor: Plan): AdaptOptions => ({
  ...options,
  besideBytes: (options.besideBytes ?? 0) + predictorBytes(predictor),
});

function sidesOf(options: AdaptOptions): Sides<AdaptOptions> {
  const threads = options.threads ?? defaultThreads;
  const behind = Math.max(1, Math.floor(threads / 2));
  return {
    adapter: { ...options, threads: behind, predicts: false },
    // The adapter's plan decides whether both fit.
    predictor: {
      ...options,
      threads: Math.max(1, threads - behind),
      role: 'predictor',
      budgetBytes: Number.POSITIVE_INFINITY,
    },
  };
}

const changingNames = ({ buffers }: Plan): readonly string[] =>
  buffers
    .filter(({ category }) => category === 'trainableWeights' || category === 'statistics')
    .map(({ name }) => name);

/** @throws UsageError if the adapter changes what the predictor holds outside of its arena */
function requireRoom(adapter: Plan, predictor: Plan): void {
  const held = new Set(predictor.buffers.map(({ name }) => name));
  const missing = changingNames(adapter).filter((name) => !held.has(name));
  if (missing.length === 0) return;
  throw new UsageError(
    `this method changes ${missing.length} tensors that a predictor beside it cannot take, such as "${missing[0]}"\n` +
      'Hint: leave --background away, or take a method that changes norms alone',
    { tensors: missing },
  );
}

/** What is left of an adapter whose memory was given back. */
interface Paused {
  /** Null: as it was deployed. */
  readonly state: Values | null;
  readonly learnt: Values;
  readonly memory: AdapterMemory;
}

export class BackgroundAdapter implements Adapter {
  readonly facts: AdapterFacts;
  readonly #options: AdaptOptions;
  /** Null while it is paused. */
  #adapter: WorkerAdapter | null;
  #paused: Paused | null = null;
  /** Pausing and resuming, one after the other. */
  #turns: Promise<void> = Promise.resolve();
  readonly #predictor: WorkerAdapter;
  readonly #predictions: RightOfWay;
  /** The newest frames, the oldest first, in a ring of a batch. */
  readonly #fresh: Uint8Array;
  readonly #frameBytes: number;
  #waiting = 0;
  #next = 0;
  /** The call of the adapter that is under way. */
  #behind: Promise<void> | null = null;
  #lastReason = 'no call yet';
  #changed = false;
  #counts = { seen: 0, passedBy: 0, taken: 0, failures: 0 };

  private constructor({ adapter, predictor }: Sides<WorkerAdapter>, options: AdaptOptions, predictions: RightOfWay) {
    this.facts = adapter.facts;
    this.#options = options;
    this.#adapter = adapter;
    this.#predictor = predictor;
    this.#predictions = predictions;
    this.#frameBytes = 3 * adapter.imageSize ** 2;
    this.#fresh = new Uint8Array(adapter.batch * this.#frameBytes);
  }

  /** @throws as `planBackground`, ExecutionError */
  static async open(options: AdaptOptions): Promise<BackgroundAdapter> {
    const predictions = new RightOfWay();
    const sides = sidesOf(options);
    const predictor = await WorkerAdapter.open(sides.predictor);
    try {
      const behind = { ...besides(sides.adapter, predictor.facts.plan), givesWayTo: predictions.shared };
      const adapter = await WorkerAdapter.open(behind);
      try {
        requireRoom(adapter.facts.plan, predictor.facts.plan);
        return new BackgroundAdapter({ adapter, predictor }, behind, predictions);
      } catch (error) {
        await adapter[Symbol.asyncDispose]();
        throw error;
      }
    } catch (error) {
      await predictor[Symbol.asyncDispose]();
      throw error;
    }
  }

  get method(): string {
    return this.facts.method;
  }

  get classes(): number {
    return this.#predictor.classes;
  }

  get imageSize(): number {
    return this.#predictor.imageSize;
  }

  get batch(): number {
    return this.facts.batch;
  }

  /** Gives the adapter's memory back; predictions go on with what was learnt. */
  pause(): Promise<void> {
    return this.#turn(async () => {
      const adapter = this.#adapter;
      if (!adapter) return;
      // From here on nothing is taught that would not be saved.
      this.#adapter = null;
      await this.settled();
      const [state, learnt, memory] = await Promise.all([adapter.save(), adapter.learnt(), adapter.memory()]);
      this.#paused = { state, learnt, memory };
      await adapter[Symbol.asyncDispose]();
    });
  }

  /** Opens an adapter again, where the last one stood. */
  resume(): Promise<void> {
    return this.#turn(async () => {
      if (this.#adapter) return;
      const adapter = await WorkerAdapter.open(this.#options);
      const { state } = this.#paused ?? { state: null };
      if (state) await adapter.load(state);
      this.#adapter = adapter;
      this.#paused = null;
    });
  }

  counts(): BackgroundCounts {
    return { ...this.#counts };
  }

  /**
   * Predicts, and hands the frames to the adapter behind. `updated`: the predictor took something new since the last call;
   * `reason`: the adapter's last one.
   */
  async observe(images: Uint8Array, count: number, adapt = true): Promise<Outcome> {
    const predicted = this.#predictions.during(() => this.#predictor.observe(images, count, false));
    const { logits } = await predicted;
    const updated = this.#changed;
    this.#changed = false;
    if (adapt && this.#adapter) this.#offer(images, count);
    return { logits, updated, reason: this.#lastReason };
  }

  /** Resolves when nothing goes on behind. */
  async settled(): Promise<void> {
    while (this.#behind) await this.#behind;
  }

  async teach(labelled: readonly LateLabel[]): Promise<boolean> {
    const adapter = this.#adapter;
    const used = (await adapter?.teach(labelled)) ?? false;
    if (used && adapter) await this.#hand(adapter);
    return used;
  }

  async reset(): Promise<void> {
    await this.settled();
    this.#waiting = 0;
    await this.resume();
    await this.#opened().reset();
    await this.#predictor.reset();
  }

  /** Of the adapter, or as it was when it was paused. */
  async save(): Promise<Values> {
    await this.#turns;
    return this.#paused?.state ?? this.#opened().save();
  }

  async load(state: Values): Promise<void> {
    await this.resume();
    const adapter = this.#opened();
    await adapter.load(state);
    await this.#hand(adapter);
  }

  async learnt(): Promise<Values> {
    await this.#turns;
    return this.#paused?.learnt ?? this.#opened().learnt();
  }

  /** Of both together; the planned total is that of the process. */
  async memory(): Promise<AdapterMemory> {
    await this.#turns;
    const one = this.#paused?.memory ?? (await this.#opened().memory());
    const other = await this.#predictor.memory();
    return {
      plannedPeakBytes: one.plannedPeakBytes + other.plannedPeakBytes,
      highWaterBytes: one.highWaterBytes + other.highWaterBytes,
      stateBytes: one.stateBytes + other.stateBytes,
      plannedTotalBytes: one.plannedTotalBytes,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#turns;
    await this.settled();
    await this.#adapter?.[Symbol.asyncDispose]();
    await this.#predictor[Symbol.asyncDispose]();
  }

  #turn(work: () => Promise<unknown>): Promise<void> {
    const turn = this.#turns.then(work).then(() => undefined);
    this.#turns = turn.catch(() => undefined);
    return turn;
  }

  #offer(images: Uint8Array, count: number): void {
    for (let n = 0; n < count; n++) {
      const frame = images.subarray(n * this.#frameBytes, (n + 1) * this.#frameBytes);
      this.#fresh.set(frame, this.#next * this.#frameBytes);
      this.#next = (this.#next + 1) % this.batch;
      if (this.#waiting === this.batch) this.#counts.passedBy += 1;
      else this.#waiting += 1;
    }
    if (this.#waiting === this.batch && !this.#behind) this.#behind = this.#adaptBehind();
  }

  /** Until no full batch of new frames waits. */
  async #adaptBehind(): Promise<void> {
    for (let adapter = this.#adapter; adapter && this.#waiting === this.batch; adapter = this.#adapter) {
      try {
        const { updated, reason } = await adapter.observe(this.#takeFresh(), this.batch);
        this.#lastReason = reason;
        if (updated) await this.#hand(adapter);
      } catch (error) {
        // Nothing that goes wrong here may stop predictions.
        this.#counts.failures += 1;
        this.#lastReason = `failed: ${(error as Error).message.split('\n')[0]}`;
        await this.#backToDeployed(adapter);
      }
    }
    this.#behind = null;
  }

  /** The ring's frames in their order; it is empty afterwards. */
  #takeFresh(): Uint8Array {
    const at = this.#next * this.#frameBytes;
    const frames = new Uint8Array(this.#fresh.length);
    frames.set(this.#fresh.subarray(at));
    frames.set(this.#fresh.subarray(0, at), this.#fresh.length - at);
    this.#counts.seen += this.#waiting;
    this.#waiting = 0;
    return frames;
  }

  #opened(): WorkerAdapter {
    if (this.#adapter) return this.#adapter;
    throw new ExecutionError('the adapter is paused');
  }

  async #hand(adapter: WorkerAdapter): Promise<void> {
    await this.#predictor.adopt(await adapter.learnt());
    this.#counts.taken += 1;
    this.#changed = true;
  }

  async #backToDeployed(adapter: WorkerAdapter): Promise<void> {
    await adapter.reset().catch(() => undefined);
    await this.#predictor.reset().catch(() => undefined);
    this.#changed = true;
  }
}
