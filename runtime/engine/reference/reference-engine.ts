/**
 * @file The reference engine: the kernels' own float64 loops, step by step as the plan says. Slow and obvious; the oracle
 * of every other engine's tests. It has no arena and runs no prefix: give it features.
 */
import { kernels, type OpName } from '../../../kernels/index.ts';
import type { ForwardMode, Kernel } from '../../../kernels/kernel.ts';
import { CODE_GROUP } from '../../autodiff/training-graph.ts';
import { ExecutionError } from '../../errors.ts';
import { elements } from '../../graph/graph.ts';
import { gradientBuffer, optimizerStates, type Plan, type PlannedStep } from '../../plan/plan.ts';
import type {
  Engine,
  EngineInput,
  EngineStatistics,
  ForwardPass,
  Preprocessing,
  StepResult,
  Update,
} from '../engine.ts';
import { countCorrect, notFinite } from '../outcome.ts';

type Values = Map<string, Float64Array>;

/** Values as 8-bit codes give them back: 256 steps between the least and the largest of an image's 16 channels. */
export function roundToCodes(x: Float64Array, batch: number, channels: number): Float64Array {
  const rounded = new Float64Array(x.length);
  const size = x.length / batch;
  for (let n = 0; n < batch; n++) {
    for (let first = 0; first < channels; first += CODE_GROUP) {
      const last = Math.min(channels, first + CODE_GROUP);
      let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
      const visit = (each: (i: number) => void): void => {
        for (let row = n * size; row < (n + 1) * size; row += channels) {
          for (let c = first; c < last; c++) each(row + c);
        }
      };
      visit((i) => {
        low = Math.min(low, x[i] ?? 0);
        high = Math.max(high, x[i] ?? 0);
      });
      const step = (high - low) / 255;
      visit((i) => {
        rounded[i] = low + step * (step > 0 ? Math.floor(((x[i] ?? 0) - low) / step + 0.5) : 0);
      });
    }
  }
  return rounded;
}

export class ReferenceEngine implements Engine {
  readonly plan: Plan;
  readonly #preprocessing: Preprocessing;
  readonly #pinned: Values;
  /** Of the last forward pass in training mode. */
  #kept: { readonly values: Values; readonly count: number } | null = null;

  constructor(plan: Plan, parameters: ReadonlyMap<string, Float32Array>, preprocessing: Preprocessing) {
    this.plan = plan;
    this.#preprocessing = preprocessing;
    const pinned = plan.buffers.filter(({ alive }) => alive === null);
    this.#pinned = new Map(
      pinned.map(({ name, bytes }) => [name, Float64Array.from(parameters.get(name) ?? new Float32Array(bytes / 4))]),
    );
  }

  async read(buffer: string): Promise<Float32Array> {
    return Float32Array.from(this.exact(buffer));
  }

  /** A pinned buffer in full precision. */
  exact(buffer: string): Float64Array {
    const values = this.#pinned.get(buffer);
    if (!values) throw new ExecutionError(`the plan has no pinned buffer "${buffer}"`, { buffer });
    return values;
  }

  async write(buffer: string, values: Float32Array): Promise<void> {
    this.exact(buffer).set(values);
  }

  async features(): Promise<Float32Array> {
    throw new ExecutionError('the reference engine runs no prefix');
  }

  async forward(input: EngineInput, mode: ForwardPass = 'inference'): Promise<Float32Array> {
    const values = this.#enter(input, new Int32Array(input.count));
    this.#runForward(values, input.count, mode === 'held' ? 'again' : mode);
    this.#kept = mode === 'inference' ? null : { values, count: input.count };
    return Float32Array.from(values.get(this.plan.values.logits) ?? []);
  }

  async backward(dLogits: Float32Array, dLocal = 0): Promise<void> {
    if (!this.#kept || this.plan.values.loss !== null) {
      throw new ExecutionError('backward() follows a forward pass in training mode of a plan without a loss');
    }
    const { values, count } = this.#kept;
    this.#kept = null;
    values.set(this.plan.values.seed, Float64Array.from(dLogits));
    for (const { seed } of this.plan.values.local) values.set(seed, new Float64Array(count).fill(dLocal));
    this.#runBackward(values, count);
  }

  async gradients(input: EngineInput, labels: Int32Array): Promise<StepResult> {
    this.#clearGradients();
    const values = this.#enter(input, labels);
    const statistics = this.plan.buffers.filter(({ category }) => category === 'statistics');
    const before = statistics.map(({ name }) => this.exact(name).slice());
    this.#runForward(values, input.count, 'training');
    const losses = values.get(this.plan.values.loss ?? '') ?? new Float64Array();
    const loss = losses.reduce((sum, value) => sum + value, 0) / input.count;
    if (!Number.isFinite(loss)) {
      for (const [i, { name }] of statistics.entries()) this.exact(name).set(before[i] ?? []);
      throw notFinite(loss);
    }
    this.#runBackward(values, input.count);
    const correct = countCorrect(Float32Array.from(values.get(this.plan.values.logits) ?? []), labels);
    return { loss, correct, prefixMillis: 0, suffixMillis: 0 };
  }

  async step(input: EngineInput, labels: Int32Array, update: Update): Promise<StepResult> {
    const result = await this.gradients(input, labels);
    await this.update(update);
    return result;
  }

  async update(update: Update): Promise<void> {
    if (optimizerStates[this.plan.optimizer] !== 1)
      throw new ExecutionError('the reference engine knows plain SGD only');
    for (const [name, values] of this.#pinned) {
      const gradient = this.#pinned.get(gradientBuffer(name));
      const momentum = this.#pinned.get(`state 0 ${name}`);
      gradient?.forEach((g, i) => {
        const velocity = update.momentum * (momentum?.[i] ?? 0) + g;
        if (momentum) momentum[i] = velocity;
        values[i] = (values[i] ?? 0) - update.learningRate.weights * velocity;
      });
    }
    this.#clearGradients();
  }

  async statistics(): Promise<EngineStatistics> {
    return { arenaBytes: 0, highWaterBytes: 0, millis: { prefix: 0, steps: [], optimizer: 0 } };
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #enter({ count, images, features }: EngineInput, labels: Int32Array): Values {
    const { cut, labels: labelName, seed } = this.plan.values;
    const { scale, bias } = this.#preprocessing;
    const entered = features
      ? Float64Array.from(features)
      : Float64Array.from(images ?? [], (pixel, i) => pixel * (scale[i % 3] ?? 1) + (bias[i % 3] ?? 0));
    const values: Values = new Map([[cut, entered]]);
    if (labelName === null) return values;
    return values.set(labelName, Float64Array.from(labels)).set(seed, new Float64Array(count).fill(1 / count));
  }

  #clearGradients(): void {
    for (const [name, gradient] of this.#pinned) if (name.startsWith(gradientBuffer(''))) gradient.fill(0);
  }

  #runBackward(values: Values, batch: number): void {
    for (const step of this.plan.steps) {
      if (step.pass === 'accumulate') this.#accumulate(step, values, batch);
      if (step.pass === 'recompute') this.#forwardStep(step, values, batch, 'again');
      if (step.pass === 'restore') this.#restore(step, values);
      if (step.pass === 'backward') this.#backward(step, values, batch);
    }
  }

  #runForward(values: Values, batch: number, mode: ForwardMode): void {
    for (const step of this.plan.steps) {
      if (step.pass === 'forward') this.#forwardStep(step, values, batch, mode);
      if (step.pass === 'compress' && mode !== 'inference') this.#compress(step, values, batch);
    }
  }

  #forwardStep(step: PlannedStep, values: Values, batch: number, mode: ForwardMode): void {
    const output = new Float64Array(batch * elements(step.shapes.output));
    values.set(step.output ?? '', output);
    const saved = Object.entries(step.saved).map(([role, name]) => {
      const array = new Float64Array(batch * (step.savedElements[role] ?? 0));
      values.set(name, array);
      return [role, array] as const;
    });
    this.#kernel(step).forward({
      batch,
      mode,
      attributes: step.attributes,
      shapes: step.shapes,
      inputs: step.inputs.map((name) => values.get(name ?? '') ?? new Float64Array()),
      parameters: this.#parameters(step.parameters),
      output,
      saved: Object.fromEntries(saved),
    });
  }

  /** Here a code is the rounded value itself. */
  #compress(step: PlannedStep, values: Values, batch: number): void {
    const channels = step.shapes.output.at(-1) ?? 1;
    const x = values.get(step.inputs[0] ?? '') ?? new Float64Array();
    values.set(step.output ?? '', roundToCodes(x, batch, channels));
  }

  #restore(step: PlannedStep, values: Values): void {
    values.set(step.output ?? '', (values.get(step.inputs[0] ?? '') ?? new Float64Array()).slice());
  }

  #backward(step: PlannedStep, values: Values, batch: number): void {
    const kernel = this.#kernel(step);
    if ('none' in kernel.backward) return;
    const dInputs = step.dInputs.map((name, index) => {
      if (name === null) return null;
      const array = new Float64Array(batch * elements(step.shapes.inputs[index] ?? []));
      values.set(name, array);
      return array;
    });
    kernel.backward.apply({
      batch,
      attributes: step.attributes,
      shapes: step.shapes,
      dOutput: values.get(step.dOutput ?? '') ?? new Float64Array(),
      inputs: step.inputs.map((name) => (name === null ? undefined : values.get(name))),
      output: step.output === null ? undefined : values.get(step.output),
      saved: Object.fromEntries(
        Object.entries(step.saved).map(([role, name]) => [role, values.get(name) ?? new Float64Array()]),
      ),
      parameters: this.#parameters(step.parameters),
      dInputs,
      dParameters: this.#parameters(step.dParameters, gradientBuffer),
    });
  }

  #accumulate(step: PlannedStep, values: Values, batch: number): void {
    const count = batch * elements(step.shapes.output);
    const sum =
      step.op === 'Copy' ? new Float64Array(count) : (values.get(step.output ?? '') ?? new Float64Array(count));
    values.get(step.inputs[0] ?? '')?.forEach((value, i) => {
      sum[i] = (sum[i] ?? 0) + value;
    });
    values.set(step.output ?? '', sum);
  }

  #parameters(names: Readonly<Record<string, string>>, rename = (name: string): string => name) {
    return Object.fromEntries(Object.entries(names).map(([role, name]) => [role, this.exact(rename(name))]));
  }

  #kernel(step: PlannedStep): Kernel {
    return kernels[step.op as OpName] as Kernel;
  }
}
