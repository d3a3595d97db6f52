/**
 * @file The CPU engine in a worker: a run of onnxruntime blocks its thread, and the main one has progress, signals and files
 * to attend to.
 */
import './no-telemetry.ts';
import { Worker } from 'node:worker_threads';
import { ExecutionError } from '../errors.ts';
import type { Plan } from '../plan/plan.ts';
import type { Engine, EngineInput, EngineModel, EngineStatistics, ForwardPass, StepResult, Update } from './engine.ts';
import { type InputSlots, inputSlots, inputSlotsBytes } from './input-slots.ts';
import { WorkerCalls } from './worker-calls.ts';

/** Methods of the engine that the worker answers. */
export type EngineMethod =
  | 'read'
  | 'write'
  | 'features'
  | 'forward'
  | 'backward'
  | 'update'
  | 'gradients'
  | 'step'
  | 'statistics'
  | 'close';

/** What the worker starts with; batches travel through `shared`, which both threads see (input-slots.ts). */
export interface EngineSetup {
  readonly plan: Plan;
  readonly model: EngineModel;
  readonly shared: SharedArrayBuffer;
}

/** An input whose data lie in the shared buffer. */
export interface SharedInput {
  readonly count: number;
  readonly holds: 'images' | 'features';
  /** Byte at which it begins. */
  readonly offset: number;
}

export class WorkerEngine implements Engine {
  readonly plan: Plan;
  readonly inputs: InputSlots;
  readonly #shared: SharedArrayBuffer;
  readonly #calls: WorkerCalls<EngineMethod>;

  private constructor(setup: EngineSetup) {
    this.plan = setup.plan;
    this.#shared = setup.shared;
    this.inputs = inputSlots(setup.plan, setup.shared);
    const { parameters, prefix } = setup.model;
    const moved = [...parameters.values(), ...(prefix ? [prefix] : [])].map(({ buffer }) => buffer);
    const worker = new Worker(new URL('./engine-worker.js', import.meta.url), {
      workerData: setup,
      transferList: [...new Set(moved)] as ArrayBuffer[],
      // The young generation's spaces are the worker's largest waste; it makes few objects.
      resourceLimits: { maxYoungGenerationSizeMb: 2 },
    });
    this.#calls = new WorkerCalls(worker, 'engine');
  }

  /** Starts the engine. The arrays of `model` are moved into the worker and are empty here afterwards. */
  static async create(plan: Plan, model: EngineModel): Promise<WorkerEngine> {
    const engine = new WorkerEngine({ plan, model, shared: new SharedArrayBuffer(inputSlotsBytes(plan)) });
    await engine.#calls.ready();
    return engine;
  }

  read(buffer: string): Promise<Float32Array> {
    return this.#calls.call('read', [buffer]);
  }

  write(buffer: string, values: Float32Array): Promise<void> {
    return this.#calls.call('write', [buffer, values]);
  }

  async features(images: Uint8Array, count: number, into?: Float32Array): Promise<Float32Array> {
    const input = this.#share({ count, images });
    if (into?.buffer === this.#shared) {
      await this.#calls.call('features', [input, into.byteOffset]);
      return into;
    }
    const computed = await this.#calls.call<Float32Array>('features', [input, null]);
    if (!into) return computed;
    into.set(computed);
    return into;
  }

  forward(input: EngineInput, mode: ForwardPass = 'inference'): Promise<Float32Array> {
    return this.#calls.call('forward', [this.#share(input), mode]);
  }

  backward(dLogits: Float32Array, dLocal = 0): Promise<void> {
    return this.#calls.call('backward', [dLogits, dLocal]);
  }

  update(update: Update): Promise<void> {
    return this.#calls.call('update', [update]);
  }

  gradients(input: EngineInput, labels: Int32Array): Promise<StepResult> {
    return this.#calls.call('gradients', [this.#share(input), labels]);
  }

  step(input: EngineInput, labels: Int32Array, update: Update): Promise<StepResult> {
    return this.#calls.call('step', [this.#share(input), labels, update]);
  }

  statistics(): Promise<EngineStatistics> {
    return this.#calls.call('statistics');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#calls.close('close');
  }

  #share({ count, images, features }: EngineInput): SharedInput {
    const [first] = this.inputs;
    if (features) return { count, holds: 'features', offset: this.#place(features, first.features) };
    if (images) return { count, holds: 'images', offset: this.#place(images, first.images) };
    throw new ExecutionError('neither images nor features were given');
  }

  /** Byte of the shared memory at which the data lie: in a slot already, or copied to `room`. */
  #place<Data extends Uint8Array | Float32Array>(data: Data, room: Data): number {
    if (data.buffer === this.#shared) return data.byteOffset;
    room.set(data);
    return room.byteOffset;
  }
}
