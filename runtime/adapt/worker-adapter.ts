/**
 * @file An adapter in a worker: a call of onnxruntime blocks its thread, and the main one has sources, predictions and signals to
 * attend to. Frames travel through shared memory.
 */
import '../engine/no-telemetry.ts';
import { Worker } from 'node:worker_threads';
import type { DeltaFacts } from '../delta/delta.ts';
import { WorkerCalls } from '../engine/worker-calls.ts';
import { UsageError } from '../errors.ts';
import type { Parameter } from '../graph/graph.ts';
import type { Plan } from '../plan/plan.ts';
import type { Adapter, AdapterMemory, LateLabel, Outcome } from './adapter.ts';
import type { Values } from './learner.ts';
import type { MethodName } from './methods/index.ts';
import type { AdaptOptions } from './open.ts';

/** What the main thread knows of the model; plain data. */
export interface AdapterFacts {
  readonly method: MethodName;
  readonly batch: number;
  readonly plan: Plan;
  /** Class names, null if the model has none. */
  readonly classNames: readonly string[] | null;
  /** What may change, with its place in the user's file. */
  readonly changing: readonly Pick<Parameter, 'name' | 'origin'>[];
  readonly delta: Omit<DeltaFacts, 'notes'>;
}

/** Methods that the worker answers. */
export type AdapterMethod =
  | 'observe'
  | 'teach'
  | 'reset'
  | 'save'
  | 'load'
  | 'learnt'
  | 'adopt'
  | 'source'
  | 'memory'
  | 'close';

/** The answer to the start. */
export interface AdapterReady {
  readonly facts: AdapterFacts;
  /** Room for the frames of a call. */
  readonly frames: SharedArrayBuffer;
}

export class WorkerAdapter implements Adapter {
  readonly #calls: WorkerCalls<AdapterMethod>;
  readonly #ready: AdapterReady;
  /** The shared frames are one call's at a time. */
  #frames: Promise<unknown> = Promise.resolve();

  private constructor(calls: WorkerCalls<AdapterMethod>, ready: AdapterReady) {
    this.#calls = calls;
    this.#ready = ready;
  }

  /** @throws as `openAdapter` */
  static async open(options: AdaptOptions): Promise<WorkerAdapter> {
    const worker = new Worker(new URL('./adapt-worker.js', import.meta.url), {
      workerData: options,
      resourceLimits: { maxYoungGenerationSizeMb: 2 },
    });
    const calls = new WorkerCalls<AdapterMethod>(worker, 'adapter');
    return new WorkerAdapter(calls, await calls.ready());
  }

  get facts(): AdapterFacts {
    return this.#ready.facts;
  }

  get method(): string {
    return this.facts.method;
  }

  get classes(): number {
    return this.facts.plan.classes;
  }

  get imageSize(): number {
    return this.facts.plan.model.imageSize;
  }

  get batch(): number {
    return this.facts.batch;
  }

  observe(images: Uint8Array, count: number, adapt = true): Promise<Outcome> {
    if (!(Number.isInteger(count) && count > 0 && count <= this.batch)) {
      throw new UsageError(`expected 1 to ${this.batch} frames, as was planned, but got ${count}`, { count });
    }
    const call = this.#frames.then(() => {
      const bytes = count * 3 * this.imageSize ** 2;
      new Uint8Array(this.#ready.frames).set(images.subarray(0, bytes));
      return this.#calls.call<Outcome>('observe', [count, adapt]);
    });
    this.#frames = call.catch(() => undefined);
    return call;
  }

  teach(labelled: readonly LateLabel[]): Promise<boolean> {
    return this.#calls.call('teach', [labelled]);
  }

  reset(): Promise<void> {
    return this.#calls.call('reset');
  }

  save(): Promise<Values> {
    return this.#calls.call('save');
  }

  load(state: Values): Promise<void> {
    return this.#calls.call('load', [state]);
  }

  learnt(): Promise<Values> {
    return this.#calls.call('learnt');
  }

  /** As `EngineAdapter.adopt`. */
  adopt(learnt: Values): Promise<void> {
    return this.#calls.call('adopt', [learnt]);
  }

  /** As `EngineAdapter.showSource`. */
  showSource(images: Uint8Array, count: number): Promise<boolean> {
    return this.#calls.call('source', [images, count]);
  }

  memory(): Promise<AdapterMemory> {
    return this.#calls.call('memory');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#calls.close('close');
  }
}
