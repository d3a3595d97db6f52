/**
 * @file An engine that gives way: between two batches it is closed, and opened again with a plan that fits what memory is left, or
 * once one fits. What was learnt goes through a checkpoint; the old engine is gone before the new one takes any memory.
 */
import { type NamedTensor, readTensors } from '../delta/safetensors.ts';
import type { EngineInput, EngineStatistics, ForwardPass, StepResult, Update } from '../engine/engine.ts';
import type { InputSlots } from '../engine/input-slots.ts';
import { WorkerEngine } from '../engine/worker-engine.ts';
import { ExecutionError } from '../errors.ts';
import { releaseGarbage } from '../garbage.ts';
import { describe } from '../plan/describe.ts';
import { type Plan, runBytes } from '../plan/plan.ts';
import { loadCheckpoint, type Trained } from '../train/checkpoint.ts';
import type { PreparedModel, Refit } from '../train/model-thread.ts';
import { Footprint } from './footprint.ts';
import type { Governor } from './governor.ts';
import type { Verdict } from './policy.ts';
import type { RenewableEngine } from './renewable.ts';
import { StatisticsSum } from './statistics-sum.ts';

export interface GovernedOptions {
  /** As it was planned; opened unless there is no room for it. */
  readonly prepared: PreparedModel;
  /** Null: it never gives way. */
  readonly governor: Governor | null;
  /** Plans anew, with what stopped learning as it is in the checkpoint; null: nothing has been learnt yet. */
  readonly refit: (capBytes: number, checkpoint: string | null) => Promise<Refit>;
  readonly signal: AbortSignal | undefined;
}

/** A pause so long makes what was measured before it count for less. */
const FORGET_MILLIS = 20_000;

const nothing: Refit = { prepared: null, passed: [], initial: new Map() };

export class GovernedEngine implements RenewableEngine {
  readonly whole: Trained;
  keep: (() => Promise<unknown>) | null = null;
  readonly #options: GovernedOptions;
  readonly #statistics: StatisticsSum;
  readonly #footprint: Footprint;
  #engine: WorkerEngine | null = null;
  #plan: Plan;
  #checkpoint: string | null = null;
  /** What the checkpoint holds, while it is being read. */
  #kept: ReadonlyMap<string, NamedTensor> | null = null;
  /** Values of what the engine's plan leaves alone, until a checkpoint holds them. */
  #initial: ReadonlyMap<string, Float32Array> = new Map();
  /** Bytes of the plans between the whole one and the engine's. */
  #passed: readonly number[] = [];
  #paused = false;
  /** No plan fits the limit, and nobody else is there who could make room: it goes on as it would without a governor. */
  #resigned = false;

  private constructor(options: GovernedOptions) {
    const { plan } = options.prepared;
    this.#options = options;
    this.#plan = plan;
    this.#statistics = new StatisticsSum(plan);
    this.#footprint = new Footprint(plan, options.governor?.ownBytes ?? 0);
    this.whole = { plan, read: (name) => this.read(name), write: (name, values) => this.write(name, values) };
  }

  /** @throws as `WorkerEngine.create` */
  static async open(options: GovernedOptions): Promise<GovernedEngine> {
    const governed = new GovernedEngine(options);
    const { governor, prepared } = options;
    // The speed that is seen now is that of the processes that decoded the images, most of all.
    governor?.react({ reactionMillis: 0, usualMillis: governed.#footprint.usualMillis });
    if (!governor || governed.#fits(governor.look(), prepared.plan)) await governed.#start({ ...nothing, prepared });
    else await governed.#reopen(governor, governor.verdict.reason);
    return governed;
  }

  get plan(): Plan {
    return this.#plan;
  }

  get inputs(): InputSlots {
    return this.#opened.inputs;
  }

  get isOpen(): boolean {
    return this.#engine !== null;
  }

  get takesCached(): boolean {
    return this.#plan.values.cut === this.whole.plan.values.cut;
  }

  get checkpoint(): string | null {
    return this.#checkpoint;
  }

  set checkpoint(path: string | null) {
    this.#checkpoint = path;
    this.#kept = null;
  }

  /** Memory is short, or there has been room for a larger plan for a while. */
  isDue(): boolean {
    const { governor } = this.#options;
    if (!governor) return false;
    const { verdict } = governor;
    if (verdict.level === 'shrink') return !(this.#resigned && verdict.alone);
    return verdict.level === 'calm' && this.#passed.some((bytes) => bytes <= this.#lastingCap(verdict));
  }

  async renew(): Promise<void> {
    const { governor } = this.#options;
    if (!governor) return;
    const { reason } = governor.verdict;
    const started = performance.now();
    await this.keep?.();
    await this.#close();
    this.#footprint.closed(performance.now() - started, governor.ownBytes);
    governor.react(this.#footprint, this.#footprint.openMillis);
    await this.#reopen(governor, reason);
  }

  async load(checkpoint: string): Promise<void> {
    this.checkpoint = checkpoint;
    if (this.#plan === this.whole.plan) {
      await loadCheckpoint(checkpoint, this.whole);
      return;
    }
    // What stopped learning stands in the engine's frozen part.
    const passed = this.#passed;
    await this.#close();
    const found = await this.#options.refit(runBytes(this.#plan), checkpoint);
    await this.#start({ ...found, passed });
  }

  async read(buffer: string): Promise<Float32Array> {
    if (this.#trains(buffer)) return this.#opened.read(buffer);
    if (this.#checkpoint === null) return this.#initialValues(buffer);
    this.#kept ??= (await readTensors(this.#checkpoint)).tensors;
    return this.#kept.get(buffer)?.data.slice() ?? this.#opened.read(buffer);
  }

  async write(buffer: string, values: Float32Array): Promise<void> {
    if (this.#trains(buffer)) await this.#opened.write(buffer, values);
  }

  features(images: Uint8Array, count: number, into?: Float32Array): Promise<Float32Array> {
    return this.#timed('forward', (engine) => engine.features(images, count, into));
  }

  forward(input: EngineInput, mode?: ForwardPass): Promise<Float32Array> {
    return this.#timed('forward', (engine) => engine.forward(input, mode));
  }

  backward(dLogits: Float32Array, dLocal?: number): Promise<void> {
    return this.#opened.backward(dLogits, dLocal);
  }

  update(update: Update): Promise<void> {
    return this.#opened.update(update);
  }

  gradients(input: EngineInput, labels: Int32Array): Promise<StepResult> {
    return this.#opened.gradients(input, labels);
  }

  step(input: EngineInput, labels: Int32Array, update: Update): Promise<StepResult> {
    return this.#timed('step', (engine) => engine.step(input, labels, update));
  }

  /** Of the whole plan, over all engines that carried it out. */
  async statistics(): Promise<EngineStatistics> {
    return this.#statistics.with(this.#engine && { plan: this.#plan, now: await this.#engine.statistics() });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#engine?.[Symbol.asyncDispose]();
    this.#engine = null;
  }

  /** Of what the engine's plan leaves alone and no checkpoint holds yet: the optimizer has no state of it. */
  #initialValues(buffer: string): Float32Array {
    const bytes = this.whole.plan.buffers.find(({ name }) => name === buffer)?.bytes ?? 0;
    return this.#initial.get(buffer)?.slice() ?? new Float32Array(bytes / 4);
  }

  get #opened(): WorkerEngine {
    if (this.#engine) return this.#engine;
    throw new ExecutionError('the engine is closed while memory is short');
  }

  #trains(buffer: string): boolean {
    const found = this.#plan.buffers.find(({ name }) => name === buffer);
    return found !== undefined && found.category !== 'frozenWeights';
  }

  async #timed<T>(what: 'step' | 'forward', work: (engine: WorkerEngine) => Promise<T>): Promise<T> {
    const { governor } = this.#options;
    const started = performance.now();
    const result = await work(this.#opened);
    if (!governor) return result;
    this.#footprint.worked(this.#plan, performance.now() - started, what, governor.ownBytes);
    governor.react(this.#footprint);
    governor.expect(this.#footprint.isWarm ? 0 : this.#footprint.ownBytes(this.#plan));
    return result;
  }

  async #close(): Promise<void> {
    if (!this.#engine) return;
    this.#statistics.add({ plan: this.#plan, now: await this.#engine.statistics() });
    await this[Symbol.asyncDispose]();
    this.#kept = null;
    releaseGarbage();
    this.#options.governor?.expect(0);
    this.#options.governor?.look();
  }

  /** With the first plan that fits, as soon as one does. */
  async #reopen(governor: Governor, cause: string): Promise<void> {
    const { signal } = this.#options;
    const before = this.#passed.length;
    let cap = this.#footprint.planBytes(governor.verdict.allowedBytes);
    for (let [least, reason] = [0, cause]; ; reason = governor.verdict.reason) {
      const found = cap >= least || governor.verdict.alone ? await this.#refit(cap) : null;
      least = Math.max(least, found?.prepared === null ? Math.min(...found.passed) : 0);
      const verdict = governor.look();
      this.#resigned = found?.prepared === null && verdict.alone;
      const fitting = this.#resigned ? await this.#refit(Number.POSITIVE_INFINITY) : (found ?? nothing);
      const { prepared, passed } = fitting;
      // Time has passed, and memory may have gone.
      if (prepared && (this.#resigned || this.#fits(verdict, prepared.plan))) {
        const action = passed.length > before ? 'shrink' : passed.length < before ? 'grow' : 'resume';
        await this.#start(fitting);
        governor.did(action, this.#resigned ? `${reason}; no plan takes so little` : reason, describe(this.#plan));
        return;
      }
      if (!this.#paused) governor.did('pause', reason);
      this.#paused = true;
      await this.#waitFor(least, governor);
      if (signal?.aborted) return;
      cap = this.#lastingCap(governor.verdict);
    }
  }

  /** Until a plan of so many bytes has had room for a while, or nobody is there to wait for, or the signal aborts. */
  async #waitFor(planBytes: number, governor: Governor): Promise<void> {
    const { signal } = this.#options;
    const enough = (now: Verdict): boolean => now.alone || this.#lastingCap(now) >= planBytes;
    while (!signal?.aborted && !enough(governor.verdict)) {
      const began = performance.now();
      await governor.until((now) => enough(now) || performance.now() - began >= FORGET_MILLIS, signal);
      if (enough(governor.verdict)) return;
      this.#footprint.waited();
      governor.react(this.#footprint, this.#footprint.openMillis);
    }
  }

  #refit(capBytes: number): Promise<Refit> {
    return this.#options.refit(capBytes, this.#checkpoint);
  }

  async #start({ prepared, passed, initial }: Refit): Promise<void> {
    const { governor } = this.#options;
    if (!prepared) throw new ExecutionError('a plan that was carried out cannot be made again');
    const plan = passed.length === 0 ? this.whole.plan : prepared.plan;
    governor?.expect(this.#footprint.ownBytes(plan));
    const started = performance.now();
    this.#engine = await WorkerEngine.create(plan, prepared.engine);
    this.#footprint.opened(performance.now() - started);
    this.#plan = plan;
    this.#passed = passed;
    this.#initial = initial;
    this.#paused = false;
    if (this.#checkpoint !== null) await loadCheckpoint(this.#checkpoint, this.whole);
  }

  #fits({ allowedBytes }: Verdict, plan: Plan): boolean {
    return this.#footprint.ownBytes(plan) <= allowedBytes;
  }

  #lastingCap({ lastingBytes }: Verdict): number {
    return lastingBytes === null ? Number.NEGATIVE_INFINITY : this.#footprint.planBytes(lastingBytes);
  }
}
