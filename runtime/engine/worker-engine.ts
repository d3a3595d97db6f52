/**
 * @file The CPU engine in a worker: a run of onnxruntime blocks its thread, and the main one has progress, signals and files
 * to attend to.
 */
import { Worker } from 'node:worker_threads';
import { ExecutionError } from '../errors.ts';
import type { Plan } from '../plan/plan.ts';
import type { Engine, EngineInput, EngineModel, EngineStatistics, StepResult, Update } from './engine.ts';
import { reviveError, type WorkerError } from './worker-error.ts';

/** Methods of the engine that the worker answers. */
export type EngineMethod = 'read' | 'write' | 'features' | 'forward' | 'gradients' | 'step' | 'statistics' | 'close';

export interface EngineCall {
  readonly id: number;
  readonly method: EngineMethod;
  readonly args: readonly unknown[];
}

export type EngineAnswer =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: WorkerError };

/** What the worker starts with; pixels travel through `pixels`, shared between both threads. */
export interface EngineSetup {
  readonly plan: Plan;
  readonly model: EngineModel;
  readonly pixels: SharedArrayBuffer;
}

/** Call number of the answer that says the engine is ready. */
export const READY = 0;

export class WorkerEngine implements Engine {
  readonly plan: Plan;
  readonly #worker: Worker;
  readonly #pixels: Uint8Array;
  readonly #waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  #lastId = READY;

  private constructor(setup: EngineSetup) {
    this.plan = setup.plan;
    this.#pixels = new Uint8Array(setup.pixels);
    const { parameters, prefix } = setup.model;
    const moved = [...parameters.values(), ...(prefix ? [prefix] : [])].map(({ buffer }) => buffer);
    this.#worker = new Worker(new URL('./engine-worker.js', import.meta.url), {
      workerData: setup,
      transferList: [...new Set(moved)] as ArrayBuffer[],
      // The young generation's spaces are the worker's largest waste; it makes few objects.
      resourceLimits: { maxYoungGenerationSizeMb: 2 },
    });
    this.#worker.on('message', (answer: EngineAnswer) => this.#settle(answer));
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', (code) => this.#fail(new ExecutionError(`the engine's thread ended with code ${code}`)));
  }

  /** Starts the engine. The arrays of `model` are moved into the worker and are empty here afterwards. */
  static async create(plan: Plan, model: EngineModel): Promise<WorkerEngine> {
    const size = plan.model.imageSize;
    const engine = new WorkerEngine({ plan, model, pixels: new SharedArrayBuffer(plan.batch * 3 * size * size) });
    await new Promise<void>((resolve, reject) => engine.#waiting.set(READY, { resolve, reject }));
    return engine;
  }

  read(buffer: string): Promise<Float32Array> {
    return this.#call('read', [buffer]);
  }

  write(buffer: string, values: Float32Array): Promise<void> {
    return this.#call('write', [buffer, values]);
  }

  features(images: Uint8Array, count: number): Promise<Float32Array> {
    this.#pixels.set(images);
    return this.#call('features', [count]);
  }

  forward(input: EngineInput): Promise<Float32Array> {
    return this.#call('forward', [this.#share(input)]);
  }

  gradients(input: EngineInput, labels: Int32Array): Promise<StepResult> {
    return this.#call('gradients', [this.#share(input), labels]);
  }

  step(input: EngineInput, labels: Int32Array, update: Update): Promise<StepResult> {
    return this.#call('step', [this.#share(input), labels, update]);
  }

  statistics(): Promise<EngineStatistics> {
    return this.#call('statistics', []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#worker.removeAllListeners('exit');
    await this.#call('close', []).catch(() => undefined);
    await this.#worker.terminate();
  }

  /** Images go into the shared buffer, everything else is copied into the message. */
  #share({ count, images, features }: EngineInput): EngineInput {
    if (features) return { count, features };
    if (images) this.#pixels.set(images);
    return { count };
  }

  #call<T>(method: EngineMethod, args: readonly unknown[]): Promise<T> {
    const id = ++this.#lastId;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, method, args } satisfies EngineCall);
    });
  }

  #settle(answer: EngineAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if ('error' in answer) waiting?.reject(reviveError(answer.error));
    else waiting?.resolve(answer.result as never);
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
