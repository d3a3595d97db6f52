/** @file Asks short-lived threads for what a run needs of its model (model-worker.ts) and writes the exported one (export-worker.ts). */
import { Worker } from 'node:worker_threads';
import type { DeltaFacts } from '../delta/delta.ts';
import type { EngineModel } from '../engine/engine.ts';
import { reviveError, type WorkerError } from '../engine/worker-error.ts';
import { ExecutionError } from '../errors.ts';
import type { Parameter } from '../graph/graph.ts';
import type { Plan } from '../plan/plan.ts';
import type { TrainConfig } from './options.ts';

/** Whether the model can be trained as asked, and what images must suit, before these are opened. */
export interface CheckTask {
  readonly kind: 'check';
  readonly config: TrainConfig;
}

/** What a model says of its images. */
export interface CheckedModel {
  /** Side in pixels. */
  readonly imageSize: number;
  /** Names of its classes; null if the file holds none. */
  readonly classes: readonly string[] | null;
}

export interface PrepareTask {
  readonly kind: 'prepare';
  readonly config: TrainConfig;
  readonly classes: readonly string[];
  /** Replayed instead of searching one. */
  readonly plan: Plan | null;
}

/** Another plan for a run that has begun: the first of `whole` and those below it (governor/rungs.ts) that takes no more. */
export interface RefitTask {
  readonly kind: 'refit';
  readonly config: TrainConfig;
  readonly classes: readonly string[];
  readonly whole: Plan;
  /** Of `runBytes`. */
  readonly capBytes: number;
  /** Holds the values of what stops learning; null: nothing has been learnt yet. */
  readonly checkpoint: string | null;
}

export interface Refit {
  /** Null if no plan takes so little. */
  readonly prepared: PreparedModel | null;
  /** As `FoundRung.passed`. */
  readonly passed: readonly number[];
  /** Values of what does not learn by this plan, where no checkpoint holds them. */
  readonly initial: ReadonlyMap<string, Float32Array>;
}

export interface ExportTask {
  readonly model: string;
  readonly delta: string;
  readonly path: string;
}

export type ModelTask = CheckTask | PrepareTask | RefitTask;

/** What the threads answer. */
export type ModelAnswer = { readonly result: unknown } | { readonly error: WorkerError };

/** A model ready to train, without anything that is not needed for that. */
export interface PreparedModel {
  readonly plan: Plan;
  readonly engine: EngineModel;
  /** What will be learnt, with its place in the user's file. */
  readonly learnt: readonly Pick<Parameter, 'name' | 'origin'>[];
  readonly delta: Omit<DeltaFacts, 'notes'>;
}

/**
 * The thread that reads the model: once before the images are opened, once when their classes are known. It keeps its code
 * in between, which takes longer to load than a model, and nothing of the model.
 */
export class ModelThread implements AsyncDisposable {
  readonly #worker = new Worker(new URL('./model-worker.js', import.meta.url));
  #waiting: { readonly resolve: (answer: ModelAnswer) => void; readonly reject: (error: Error) => void } | null = null;
  #failure: Error | null = null;

  constructor() {
    this.#worker.on('message', (answer: ModelAnswer) => this.#waiting?.resolve(answer));
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', (code) => this.#fail(new ExecutionError(`the model's thread ended with code ${code}`)));
  }

  /** Whether the model can be trained as asked. */
  check(config: TrainConfig): Promise<CheckedModel> {
    return this.#ask({ kind: 'check', config });
  }

  /** Plans for the classes of the images and takes out of the model what the engine needs. */
  prepare(task: Omit<PrepareTask, 'kind'>): Promise<PreparedModel> {
    return this.#ask({ kind: 'prepare', ...task });
  }

  refit(task: Omit<RefitTask, 'kind'>): Promise<Refit> {
    return this.#ask({ kind: 'refit', ...task });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }

  async #ask<T>(task: ModelTask): Promise<T> {
    const answer = await new Promise<ModelAnswer>((resolve, reject) => {
      if (this.#failure) throw this.#failure;
      this.#waiting = { resolve, reject };
      this.#worker.postMessage(task);
    });
    return resultOf(answer);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#waiting?.reject(error);
  }
}

/** Prepares in a thread of its own. */
export async function prepareModel(task: Omit<PrepareTask, 'kind'>): Promise<PreparedModel> {
  await using thread = new ModelThread();
  return await thread.prepare(task);
}

/** Plans anew in a thread of its own. */
export async function refitModel(task: Omit<RefitTask, 'kind'>): Promise<Refit> {
  await using thread = new ModelThread();
  return await thread.refit(task);
}

export async function exportInThread(task: ExportTask): Promise<void> {
  const worker = new Worker(new URL('./export-worker.js', import.meta.url), { workerData: task });
  try {
    const answer = await new Promise<ModelAnswer>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
      worker.once('exit', (code) => reject(new ExecutionError(`the exporting thread ended with code ${code}`)));
    });
    resultOf(answer);
  } finally {
    await worker.terminate();
  }
}

function resultOf<T>(answer: ModelAnswer): T {
  if ('error' in answer) throw reviveError(answer.error);
  return answer.result as T;
}
