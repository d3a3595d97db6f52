/**
 * @file The engine for processors: the frozen prefix as one onnxruntime session, matrix products through onnxruntime on
 * arena views, everything else in SIMD kernels, all on one arena of the planned size. A plan without onnxruntime has no prefix, its
 * products are SIMD kernels too, and the native library is never loaded.
 */

import type { OpName } from '../../../kernels/index.ts';
import type { ForwardMode } from '../../../kernels/kernel.ts';
import { loadSimd, type SimdKernels } from '../../../kernels/simd/simd.ts';
import { SLICE_IMAGES, sliceRuns } from '../../autodiff/slices.ts';
import { ExecutionError } from '../../errors.ts';
import { freeNow } from '../../garbage.ts';
import { elements } from '../../graph/graph.ts';
import { PIXELS } from '../../plan/lifetimes.ts';
import type { Plan, PlannedStep } from '../../plan/plan.ts';
import type { Engine, EngineInput, EngineModel, EngineStatistics, ForwardPass, StepResult, Update } from '../engine.ts';
import { countCorrect, notFinite } from '../outcome.ts';
import { evenParts, parts } from '../parts.ts';
import { Arena } from './arena.ts';
import { bind, type Machine } from './operands.ts';
import { cpuOps } from './ops.ts';
import { optimize } from './optimize.ts';
import { Prefix } from './prefix.ts';
import type { Products } from './products.ts';
import { SimdProducts } from './simd-products.ts';
import { canShareMemory, SimdThreads } from './simd-threads.ts';
import type { WholeSession } from './whole-session.ts';

interface Parts {
  readonly prefix: Prefix;
  /** Null where the model has none. */
  readonly whole: WholeSession | null;
  /** Null where the SIMD kernels have one thread. */
  readonly threads: SimdThreads | null;
  /** Called between steps. */
  readonly giveWay: () => void;
}

export class CpuEngine implements Engine {
  readonly plan: Plan;
  readonly #machine: Machine;
  readonly #parts: Parts;
  /** Values of one image at the cut. */
  readonly #featureElements: number;
  /** Names of the running statistics that a step moves. */
  readonly #statistics: readonly string[];
  /** Whether all gradients are zero. */
  #cleared = true;
  /** Images of the last forward pass in training mode; 0 once its memory has been used again. */
  #kept = 0;
  /** Steps that run together for a few images at a time. */
  readonly #sliceRuns: ReturnType<typeof sliceRuns>;
  /** As in EngineMillis. */
  readonly #stepMillis: Float64Array;
  #prefixMillis = 0;
  #optimizerMillis = 0;

  private constructor(plan: Plan, machine: Machine, parts: Parts) {
    this.plan = plan;
    this.#machine = machine;
    this.#parts = parts;
    this.#statistics = plan.buffers.flatMap(({ name, category }) => (category === 'statistics' ? [name] : []));
    this.#featureElements = machine.arena.buffer(plan.values.cut).bytesPerImage / 4;
    this.#sliceRuns = sliceRuns(plan.steps);
    this.#stepMillis = new Float64Array(plan.steps.length);
  }

  /**
   * Allocates the arena, loads the parameters into it and opens the sessions.
   * @param consume whether the arrays of `model.parameters` are freed on the way, so that sessions open in their place
   * @param giveWay called between steps; may block (give-way.ts)
   */
  static async create(
    plan: Plan,
    model: EngineModel,
    { consume = false, giveWay = () => {} }: { readonly consume?: boolean; readonly giveWay?: () => void } = {},
  ): Promise<CpuEngine> {
    const helpers = canShareMemory(plan.products) ? plan.threads - 1 : 0;
    const arena = new Arena(plan, helpers > 0);
    const local = await loadSimd(arena.memory);
    const threads = helpers > 0 ? await SimdThreads.start(local, arena.memory, helpers) : null;
    for (const { name, category } of plan.buffers) {
      if (category !== 'frozenWeights' && category !== 'trainableWeights' && category !== 'statistics') continue;
      const values = model.parameters.get(name);
      if (!values) throw new ExecutionError(`the plan wants parameter "${name}", which the model lacks`, { name });
      arena.view(name, 1).set(values);
    }
    if (consume) for (const values of model.parameters.values()) freeNow(values);
    const simd = threads?.kernels ?? local;
    const machine = { arena, simd, products: await openProducts(plan, model, arena, simd) };
    const whole = await wholeSession(plan, model, machine);
    const prefix = await Prefix.open(plan, model, machine);
    return new CpuEngine(plan, machine, { prefix, whole, threads, giveWay });
  }

  async read(buffer: string): Promise<Float32Array> {
    return this.#machine.arena.view(buffer, 1).slice();
  }

  async write(buffer: string, values: Float32Array): Promise<void> {
    this.#machine.arena.view(buffer, 1).set(values);
  }

  async features(
    images: Uint8Array,
    count: number,
    features: Float32Array = new Float32Array(count * this.#featureElements),
  ): Promise<Float32Array> {
    const { microBatch, values } = this.plan;
    for (const [from, n] of parts(count, microBatch)) {
      await this.#enter({ count, images }, from, n);
      features.set(this.#machine.arena.view(values.cut, n), from * this.#featureElements);
    }
    return features;
  }

  async forward(input: EngineInput, mode: ForwardPass = 'inference'): Promise<Float32Array> {
    const { microBatch, values, classes } = this.plan;
    const training = mode !== 'inference';
    if (training && input.count > microBatch) {
      throw new ExecutionError(`expected at most ${microBatch} images, a micro-batch, but got ${input.count}`);
    }
    if (!training && input.images && this.#parts.whole?.isCurrent)
      return this.#parts.whole.run(input.images, input.count);
    const unread = new Set([values.loss, ...(training ? [] : values.local.map(({ loss }) => loss))]);
    const wanted = (step: PlannedStep): boolean =>
      (step.pass === 'forward' || (training && step.pass === 'compress')) && !unread.has(step.output);
    const logits = new Float32Array(input.count * classes);
    for (const [from, n] of evenParts(input.count, microBatch)) {
      await this.#enter(input, from, n);
      await this.#run(wanted, n, mode === 'held' ? 'again' : mode);
      logits.set(this.#machine.arena.view(values.logits, n), from * classes);
    }
    this.#kept = training ? input.count : 0;
    return logits;
  }

  async backward(dLogits: Float32Array, dLocal = 0): Promise<void> {
    const { values, classes } = this.plan;
    const n = this.#kept;
    if (values.loss !== null) throw new ExecutionError('the plan has a loss of its own: use gradients()');
    if (n === 0) throw new ExecutionError('backward() follows a forward pass in training mode');
    if (dLogits.length !== n * classes) {
      throw new ExecutionError(`expected ${n * classes} gradients of logits but got ${dLogits.length}`);
    }
    this.#kept = 0;
    this.#cleared = false;
    // Nothing trains where the steps end here, and the gradient has no place.
    if (!this.plan.buffers.some(({ name }) => name === values.seed)) return;
    this.#machine.arena.view(values.seed, n).set(dLogits);
    for (const { seed } of values.local) this.#machine.arena.view(seed, n).fill(dLocal);
    await this.#run((step) => !isForward(step) && step.pass !== 'prefix', n, 'again');
  }

  async update(update: Update): Promise<void> {
    this.#optimizerMillis += timed(() => optimize(this.#machine.simd, this.plan, update));
    this.#cleared = true;
  }

  async gradients(input: EngineInput, labels: Int32Array): Promise<StepResult> {
    const { plan } = this;
    const { arena, simd } = this.#machine;
    const { labels: labelsName, loss: lossName, seed } = plan.values;
    if (labelsName === null || lossName === null) throw new ExecutionError('the plan has no loss: use backward()');
    this.#kept = 0;
    this.#optimizerMillis += timed(() => {
      // An update leaves them zero.
      if (!this.#cleared) for (const { gradients, bytes } of plan.spans) simd.fill(gradients, bytes);
    });
    this.#cleared = false;
    // They move in the forward pass, before anybody knows whether the loss is finite.
    const before = this.#statistics.map((name) => arena.view(name, 1).slice());
    let [loss, correct, prefixMillis, suffixMillis] = [0, 0, 0, 0];
    for (const [from, n] of parts(input.count, plan.microBatch)) {
      const started = performance.now();
      await this.#enter(input, from, n);
      const entered = performance.now();
      arena.view(labelsName, n).set(labels.subarray(from, from + n));
      arena.view(seed, n).fill(1 / input.count);
      await this.#run(isForward, n, 'training');
      for (const value of arena.view(lossName, n)) loss += value / input.count;
      correct += countCorrect(arena.view(plan.values.logits, n), labels.subarray(from, from + n));
      if (!Number.isFinite(loss)) {
        for (const [i, name] of this.#statistics.entries()) arena.view(name, 1).set(before[i] ?? []);
        throw notFinite(loss);
      }
      await this.#run((step) => !isForward(step) && step.pass !== 'prefix', n, 'again');
      prefixMillis += entered - started;
      suffixMillis += performance.now() - entered;
    }
    return { loss, correct, prefixMillis, suffixMillis };
  }

  async step(input: EngineInput, labels: Int32Array, update: Update): Promise<StepResult> {
    const result = await this.gradients(input, labels);
    const millis = timed(() => optimize(this.#machine.simd, this.plan, update));
    this.#optimizerMillis += millis;
    this.#cleared = true;
    return { ...result, suffixMillis: result.suffixMillis + millis };
  }

  get fused(): boolean {
    return this.#parts.whole?.isCurrent ?? false;
  }

  async fuse(wanted: boolean): Promise<void> {
    await (wanted ? this.#parts.whole?.open() : this.#parts.whole?.release());
  }

  async statistics(): Promise<EngineStatistics> {
    const { bytes, highWaterBytes } = this.#machine.arena;
    const millis = { prefix: this.#prefixMillis, steps: [...this.#stepMillis], optimizer: this.#optimizerMillis };
    return { arenaBytes: bytes, highWaterBytes, millis };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#machine.products.release();
    await this.#parts.prefix.release();
    await this.#parts.whole?.release();
    await this.#parts.threads?.release();
  }

  /** Brings images `from` to `from + n` to the cut. */
  async #enter({ images, features }: EngineInput, from: number, n: number): Promise<void> {
    const { arena } = this.#machine;
    const started = performance.now();
    if (features) {
      const size = this.#featureElements;
      arena.view(this.plan.values.cut, n).set(features.subarray(from * size, (from + n) * size));
    } else if (images) {
      const bytes = arena.buffer(PIXELS).bytes;
      await this.#parts.prefix.run(images.subarray(from * bytes, (from + n) * bytes), n, this.#parts.giveWay);
    } else throw new ExecutionError('neither images nor features were given');
    this.#prefixMillis += performance.now() - started;
  }

  async #run(wanted: (step: PlannedStep) => boolean, n: number, mode: ForwardMode): Promise<void> {
    const { steps } = this.plan;
    for (let index = 0; index < steps.length; index++) {
      const run = this.#sliceRuns.find(([first]) => first === index);
      const last = run ? run[1] : index;
      for (const [from, images] of parts(n, run ? SLICE_IMAGES : n)) {
        for (const [offset, step] of steps.slice(index, last + 1).entries()) {
          if (!wanted(step)) continue;
          this.#parts.giveWay();
          const started = performance.now();
          await this.#execute(step, images, mode, from);
          this.#stepMillis[index + offset] = (this.#stepMillis[index + offset] ?? 0) + performance.now() - started;
        }
      }
      index = last;
    }
  }

  async #execute(step: PlannedStep, n: number, mode: ForwardMode, from: number): Promise<void> {
    const operands = bind(step, n, mode, this.#machine.arena, from);
    const { simd } = this.#machine;
    try {
      if (step.pass === 'accumulate') {
        const count = n * elements(step.shapes.output);
        if (step.op === 'Copy') simd.fill(operands.output, 4 * count);
        simd.add(operands.output, operands.input(0), operands.output, count);
        return;
      }
      if (step.pass === 'compress' || step.pass === 'restore') {
        const channels = step.shapes.output.at(-1) ?? 1;
        const pixels = elements(step.shapes.output) / channels;
        const move = step.pass === 'compress' ? simd.encodeBytes : simd.decodeBytes;
        move(operands.input(0), operands.output, n, pixels, channels);
        return;
      }
      const op = cpuOps[step.op as OpName];
      // The reverse pass of an op that runs synchronously costs no turn of the event loop.
      const run = step.pass === 'backward' ? op.backward : op.forward;
      const done = run(operands, this.#machine);
      if (done) await done;
    } catch (cause) {
      const what = `${step.op} "${step.node}" (${step.pass})`;
      throw new ExecutionError(
        `${what} failed: ${cause instanceof Error ? cause.message : cause}`,
        { node: step.node },
        { cause },
      );
    }
  }
}

async function openProducts(plan: Plan, model: EngineModel, arena: Arena, simd: SimdKernels): Promise<Products> {
  if (plan.products === 'simd') return new SimdProducts(simd);
  const { MatrixProducts } = await import('./matrix-products.ts');
  return MatrixProducts.create(arena.memory, model.products, plan.threads);
}

async function wholeSession(plan: Plan, model: EngineModel, machine: Machine): Promise<WholeSession | null> {
  if (!model.whole) return null;
  const { WholeSession } = await import('./whole-session.ts');
  return new WholeSession(plan, model.whole, model, machine);
}

function timed(work: () => void): number {
  const started = performance.now();
  work();
  return performance.now() - started;
}

const isForward = ({ pass }: PlannedStep): boolean => pass === 'forward' || pass === 'compress';
