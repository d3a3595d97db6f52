/**
 * @file An adapter in a worker: a call of onnxruntime blocks its thread, and the main one has sources, predictions and signals to
 * attend to. Frames travel through shared memory.
 */
import '../engine/no-telemetry.ts';
import { Worker } from 'node:worker_threads';
import type { DeltaFacts } from '../delta/delta.ts';
import { reviveError, type WorkerError } from '../engine/worker-error.ts';
import { ExecutionError, UsageError } from '../errors.ts';
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

export interface AdapterCall {
  readonly id: number;
  readonly method: AdapterMethod;
  readonly args: readonly unknown[];
}

export type AdapterAnswer =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: WorkerError };

/** The answer to the start. */
export interface AdapterReady {
  readonly facts: AdapterFacts;
  /** Room for the frames of a call. */
  readonly frames: SharedArrayBuffer;
}

/** Call number of the answer that says the adapter is ready. */
export const READY = 0;

export class WorkerAdapter implements Adapter {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  #ready: AdapterReady | null = null;
  #failure: Error | null = null;
  #lastId = READY;
  /** The shared frames are one call's at a time. */
  #frames: Promise<unknown> = Promise.resolve();

  private constructor(options: AdaptOptions) {
    this.#worker = new Worker(new URL('./adapt-worker.js', import.meta.url), {
      workerData: options,
      resourceLimits: { maxYoungGenerationSizeMb: 2 },
    });
    this.#worker.on('message', (answer: AdapterAnswer) => this.#settle(answer));
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', (code) => this.#fail(new ExecutionError(`the adapter's thread ended with code ${code}`)));
  }

  /** @throws as `openAdapter` */
  static async open(options: AdaptOptions): Promise<WorkerAdapter> {
    const adapter = new WorkerAdapter(options);
    try {
      adapter.#ready = await new Promise<AdapterReady>((resolve, reject) =>
        adapter.#waiting.set(READY, { resolve, reject }),
      );
    } catch (error) {
      await adapter.#worker.terminate();
      throw error;
    }
    return adapter;
  }

  get facts(): AdapterFacts {
    return this.#opened.facts;
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
      new Uint8Array(this.#opened.frames).set(images.subarray(0, bytes));
      return this.#call<Outcome>('observe', [count, adapt]);
    });
    this.#frames = call.catch(() => undefined);
    return call;
  }

  teach(labelled: readonly LateLabel[]): Promise<boolean> {
    return this.#call('teach', [labelled]);
  }

  reset(): Promise<void> {
    return this.#call('reset', []);
  }

  save(): Promise<Values> {
    return this.#call('save', []);
  }

  load(state: Values): Promise<void> {
    return this.#call('load', [state]);
  }

  learnt(): Promise<Values> {
    return this.#call('learnt', []);
  }

  /** As `EngineAdapter.adopt`. */
  adopt(learnt: Values): Promise<void> {
    return this.#call('adopt', [learnt]);
  }

  /** As `EngineAdapter.showSource`. */
  showSource(images: Uint8Array, count: number): Promise<boolean> {
    return this.#call('source', [images, count]);
  }

  memory(): Promise<AdapterMemory> {
    return this.#call('memory', []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#worker.removeAllListeners('exit');
    if (!this.#failure) await this.#call('close', []).catch(() => undefined);
    await this.#worker.terminate();
    this.#fail(new ExecutionError('the adapter was closed'));
  }

  get #opened(): AdapterReady {
    if (this.#ready) return this.#ready;
    throw new ExecutionError('the adapter is not open');
  }

  #call<T>(method: AdapterMethod, args: readonly unknown[]): Promise<T> {
    const id = ++this.#lastId;
    return new Promise<T>((resolve, reject) => {
      if (this.#failure) throw this.#failure;
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, method, args } satisfies AdapterCall);
    });
  }

  #settle(answer: AdapterAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if ('error' in answer) waiting?.reject(reviveError(answer.error));
    else waiting?.resolve(answer.result as never);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
