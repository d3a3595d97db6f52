/** @file A method at work on an engine of this process. */
import type { Adapter, AdapterMemory, LateLabel, Outcome } from './adapter.ts';
import type { Learner, Values } from './learner.ts';
import type { Running } from './method.ts';
import { methodOf } from './methods/index.ts';
import type { PlannedAdaptation } from './open.ts';

/** Where a part of the state stands in a snapshot. */
const prefixes = { model: 'model ', optimizer: 'optimizer ', method: 'method ' } as const;

/** What of a planned adaptation is needed while it runs; the model's own bytes are not. */
type Planned = Pick<PlannedAdaptation, 'plan' | 'method' | 'settings'>;

export class EngineAdapter implements Adapter {
  readonly planned: Planned;
  readonly #learner: Learner;
  readonly #running: Running;

  constructor({ plan, method, settings }: Planned, learner: Learner, running: Running) {
    this.planned = { plan, method, settings };
    this.#learner = learner;
    this.#running = running;
  }

  get method(): string {
    return this.planned.method;
  }

  get classes(): number {
    return this.planned.plan.classes;
  }

  get imageSize(): number {
    return this.planned.plan.model.imageSize;
  }

  get batch(): number {
    return this.planned.settings.batch;
  }

  async observe(images: Uint8Array, count: number, adapt = true): Promise<Outcome> {
    if (adapt) return this.#running.observe(images, count);
    return { logits: await this.#learner.predict(images, count), updated: false, reason: 'not asked to' };
  }

  async teach(labelled: readonly LateLabel[]): Promise<boolean> {
    if (!this.#running.teach || labelled.length === 0) return false;
    await this.#running.teach(labelled);
    return true;
  }

  /** Shows it images of the source before the stream begins; false: the method has no use for them. */
  async showSource(images: Uint8Array, count: number): Promise<boolean> {
    const found = await methodOf(this.planned.method).fromSource?.(this.#learner, images, count);
    if (found) this.#running.load({ ...this.#running.save(), ...found });
    return found !== undefined;
  }

  async reset(): Promise<void> {
    await this.#learner.reset();
    this.#running.reset();
  }

  async save(): Promise<Values> {
    const { model, optimizer, method } = prefixes;
    const { steps, engine } = this.#learner;
    const state = new Map<string, Float32Array>([
      ['steps', Float32Array.of(steps)],
      // A fused network's logits are not the same to the bit.
      ['fused', Float32Array.of(engine.fused ? 1 : 0)],
    ]);
    for (const [name, values] of await this.#learner.read()) state.set(model + name, values);
    for (const [name, values] of await this.#learner.read(this.#learner.optimizerBuffers))
      state.set(optimizer + name, values);
    for (const [name, values] of Object.entries(this.#running.save())) state.set(method + name, values);
    return state;
  }

  async load(state: Values): Promise<void> {
    const part = (prefix: string): Map<string, Float32Array> =>
      new Map(
        [...state].flatMap(([name, values]) =>
          name.startsWith(prefix) ? [[name.slice(prefix.length), values] as const] : [],
        ),
      );
    await this.#learner.write(part(prefixes.model));
    await this.#learner.write(part(prefixes.optimizer));
    this.#learner.continueAt(state.get('steps')?.[0] ?? 0);
    await this.#learner.fuse(state.get('fused')?.[0] === 1);
    this.#running.load(Object.fromEntries(part(prefixes.method)));
  }

  learnt(): Promise<Values> {
    return this.#learner.read();
  }

  /** Puts what another adapter of the same options learnt in place of its own. */
  adopt(learnt: Values): Promise<void> {
    return this.#learner.write(learnt);
  }

  async memory(): Promise<AdapterMemory> {
    const { plan, engine } = this.#learner;
    const { highWaterBytes } = await engine.statistics();
    return {
      plannedPeakBytes: plan.peakBytes,
      highWaterBytes,
      stateBytes: plan.bytes.adaptation,
      plannedTotalBytes: plan.totalBytes,
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#learner.engine[Symbol.asyncDispose]() as Promise<void>;
  }
}
