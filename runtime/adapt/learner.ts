/** @file The model while it adapts: an engine, what changes in it, and the way back to the model as it was deployed. */
import type { Engine } from '../engine/engine.ts';
import { optimizerStates, type Plan, stateBuffer } from '../plan/plan.ts';

/** Values of changing tensors by name. */
export type Values = ReadonlyMap<string, Float32Array>;

/** Of the optimizer's step. */
export interface Rates {
  readonly learningRate: number;
  /** SGD's; default 0.9. */
  readonly momentum?: number;
  readonly weightDecay?: number;
}

export class Learner {
  readonly engine: Engine;
  readonly plan: Plan;
  /** Tensors with a gradient, and running statistics. */
  readonly trained: readonly string[];
  readonly statistics: readonly string[];
  #steps = 0;
  readonly #deployed: Values;

  private constructor(engine: Engine, trained: readonly string[], statistics: readonly string[], deployed: Values) {
    this.engine = engine;
    this.plan = engine.plan;
    this.trained = trained;
    this.statistics = statistics;
    this.#deployed = deployed;
  }

  static async open(engine: Engine): Promise<Learner> {
    const of = (category: string): string[] =>
      engine.plan.buffers.filter((buffer) => buffer.category === category).map(({ name }) => name);
    const [trained, statistics] = [of('trainableWeights'), of('statistics')];
    const deployed = await readAll(engine, [...trained, ...statistics]);
    return new Learner(engine, trained, statistics, deployed);
  }

  get classes(): number {
    return this.plan.classes;
  }

  /** Names of the optimizer's states. */
  get optimizerBuffers(): readonly string[] {
    const states = optimizerStates[this.plan.optimizer];
    return this.trained.flatMap((name) => Array.from({ length: states }, (_, state) => stateBuffer(name, state)));
  }

  /** Everything that changes, as it was deployed. */
  get deployed(): Values {
    return this.#deployed;
  }

  /** Optimizer steps so far. */
  get steps(): number {
    return this.#steps;
  }

  /** Takes the step count of a stopped run; its values and optimizer states are written beside. */
  continueAt(steps: number): void {
    this.#steps = steps;
  }

  /** Logits with the statistics as they are; nothing changes. */
  predict(images: Uint8Array, count: number): Promise<Float32Array> {
    return this.engine.forward({ count, images });
  }

  /** Makes predictions faster until something changes, or ends that; does nothing where the plan has no room for it. */
  async fuse(wanted = true): Promise<void> {
    await this.engine.fuse?.(wanted);
  }

  /** Logits as in a training step: norms follow the frames, and `descend` may come next. */
  forward(images: Uint8Array, count: number): Promise<Float32Array> {
    return this.engine.forward({ count, images }, 'training');
  }

  /** The same with the statistics as they are. */
  forwardHeld(images: Uint8Array, count: number): Promise<Float32Array> {
    return this.engine.forward({ count, images }, 'held');
  }

  /** Adds to the gradients; `update` takes the step. `dLocal`: as in `Engine.backward`. */
  descend(dLogits: Float32Array, dLocal = 0): Promise<void> {
    return this.engine.backward(dLogits, dLocal);
  }

  async update({ learningRate, momentum = 0.9, weightDecay = 0 }: Rates): Promise<void> {
    this.#steps++;
    await this.engine.update({
      learningRate: { head: learningRate, weights: learningRate, norms: learningRate },
      momentum,
      weightDecay,
      step: this.#steps,
    });
  }

  /** Values of the named tensors; default: of everything that changes. */
  read(names: readonly string[] = [...this.trained, ...this.statistics]): Promise<Values> {
    return readAll(this.engine, names);
  }

  async write(values: Values): Promise<void> {
    for (const [name, array] of values) await this.engine.write(name, array);
  }

  /** Back to the deployed model, the optimizer's state included. */
  async reset(): Promise<void> {
    await this.write(this.#deployed);
    await this.resetOptimizer();
  }

  async resetOptimizer(): Promise<void> {
    this.#steps = 0;
    for (const [name, values] of await this.read(this.optimizerBuffers)) await this.engine.write(name, values.fill(0));
  }
}

async function readAll(engine: Engine, names: readonly string[]): Promise<Values> {
  const values = new Map<string, Float32Array>();
  for (const name of names) values.set(name, await engine.read(name));
  return values;
}
