/** @file Asks a short-lived thread for what a run needs of its model (model-worker.ts). */
import { Worker } from 'node:worker_threads';
import type { DeltaFacts } from '../delta/delta.ts';
import type { EngineModel } from '../engine/engine.ts';
import { reviveError, type WorkerError } from '../engine/worker-error.ts';
import { ExecutionError } from '../errors.ts';
import type { Parameter } from '../graph/graph.ts';
import type { Plan } from '../plan/plan.ts';
import type { TrainConfig } from './options.ts';

/** Whether the model can be trained as asked, and the side of its images, before these are opened. */
export interface CheckTask {
  readonly kind: 'check';
  readonly config: TrainConfig;
}

export interface PrepareTask {
  readonly kind: 'prepare';
  readonly config: TrainConfig;
  readonly classes: readonly string[];
  /** Replayed instead of searching one. */
  readonly plan: Plan | null;
}

export interface ExportTask {
  readonly kind: 'export';
  readonly model: string;
  readonly delta: string;
  readonly path: string;
}

export type ModelTask = CheckTask | PrepareTask | ExportTask;

/** A model ready to train, without anything that is not needed for that. */
export interface PreparedModel {
  readonly plan: Plan;
  readonly engine: EngineModel;
  /** What will be learnt, with its place in the user's file. */
  readonly learnt: readonly Pick<Parameter, 'name' | 'origin'>[];
  readonly delta: Omit<DeltaFacts, 'notes'>;
}

/** @returns side of the images in pixels */
export const checkModel = (config: TrainConfig): Promise<number> => ask({ kind: 'check', config });
export const prepareModel = (task: Omit<PrepareTask, 'kind'>): Promise<PreparedModel> =>
  ask({ kind: 'prepare', ...task });
export const exportInThread = (task: Omit<ExportTask, 'kind'>): Promise<null> => ask({ kind: 'export', ...task });

async function ask<T>(task: ModelTask): Promise<T> {
  const worker = new Worker(new URL('./model-worker.js', import.meta.url), { workerData: task });
  try {
    const answer = await new Promise<{ result: T } | { error: WorkerError }>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
      worker.once('exit', (code) => reject(new ExecutionError(`the model's thread ended with code ${code}`)));
    });
    if ('error' in answer) throw reviveError(answer.error);
    return answer.result;
  } finally {
    await worker.terminate();
  }
}
