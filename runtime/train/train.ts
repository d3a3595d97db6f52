/** @file A whole training run: images, plan, engine, loop, delta, exported model. */
import { rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { learntTensor, writeDelta } from '../delta/delta.ts';
import type { Engine, EngineStatistics } from '../engine/engine.ts';
import { WorkerEngine } from '../engine/worker-engine.ts';
import { releaseGarbage } from '../garbage.ts';
import type { Plan } from '../plan/plan.ts';
import { loadNewest, type Progress as RunProgress } from './checkpoint.ts';
import type { Progress } from './data/store-builder.ts';
import { measureAccuracy } from './evaluate.ts';
import { openRunImages, type RunImages } from './images.ts';
import { type LoopResult, type TrainEvent, TrainingLoop } from './loop.ts';
import { peakRssBytes } from './memory.ts';
import { exportInThread, ModelThread, type PreparedModel } from './model-thread.ts';
import { resolveConfig, type TrainConfig, type TrainOptions } from './options.ts';
import { RunFolder } from './run-folder.ts';

/** What happens before and after the loop. */
export type RunEvent =
  | TrainEvent
  | { readonly kind: 'images'; readonly done: number; readonly total: number }
  | { readonly kind: 'skipped'; readonly files: readonly { readonly path: string; readonly reason: string }[] }
  | { readonly kind: 'plan'; readonly plan: Plan }
  | { readonly kind: 'resume'; readonly step: number }
  /** Before the first step and after the last one. */
  | { readonly kind: 'statistics'; readonly statistics: EngineStatistics }
  | { readonly kind: 'accuracy'; readonly when: 'before' | 'after'; readonly accuracy: number };

export interface TrainHooks {
  readonly onEvent?: (event: RunEvent) => void;
  /** Ends the run after the step it is in, with a checkpoint. */
  readonly signal?: AbortSignal;
  /** Replays a saved plan instead of searching one. */
  readonly plan?: Plan;
}

/** The result; field names are a stable interface (`train --json`). */
export interface TrainResult {
  /** On the test images (or the validation split), 0 to 1. */
  readonly accuracyBefore: number;
  /** Null if the run was interrupted. */
  readonly accuracyAfter: number | null;
  /** Of the last whole epoch. */
  readonly trainAccuracy: number;
  /** Optimizer steps in all, those before a resume included. */
  readonly steps: number;
  readonly plannedPeakBytes: number;
  readonly arenaBytes: number;
  readonly arenaHighWaterBytes: number;
  /** Peak resident memory of this process. */
  readonly maxRssBytes: number;
  /** What the plan predicted for it. */
  readonly plannedTotalBytes: number;
  /** Of the steps of this process, images to update. */
  readonly stepMillis: { readonly p50: number; readonly p95: number };
  /** Path of the delta; null if the run was interrupted. */
  readonly delta: string | null;
  readonly export: string | null;
  readonly interrupted: boolean;
  readonly run: string;
}

/**
 * Trains a model inside a memory budget and leaves a run folder.
 * @throws UsageError, ModelError, DataError, BudgetError (nothing fits), ExecutionError (the loss is not finite)
 */
export async function train(options: TrainOptions, hooks: TrainHooks = {}): Promise<TrainResult> {
  const given = resolveConfig(options);
  // Absolute, so that a run can be resumed from any folder.
  const config = {
    ...given,
    model: resolve(given.model),
    data: resolve(given.data),
    test: given.test && resolve(given.test),
  };
  const folder = new RunFolder(config.run);
  // Read before anything is written, so that a wrong model leaves no run folder behind.
  await using thread = new ModelThread();
  const model = { thread, imageSize: await thread.check(config) };
  await folder.begin(config);
  return await run(config, folder, model, hooks, () => folder.discard());
}

/** Continues the run in a folder; the loss trajectory is that of a run that never stopped. */
export async function resumeTraining(runFolder: string, hooks: TrainHooks = {}): Promise<TrainResult> {
  const folder = new RunFolder(runFolder);
  const config = { ...(await folder.config()), run: runFolder };
  await folder.clean();
  const plan = hooks.plan ?? (await folder.plan());
  await using thread = new ModelThread();
  const model = { thread, imageSize: await thread.check(config) };
  return await run(config, folder, model, plan ? { ...hooks, plan } : hooks, async () => undefined);
}

/** A model that has been checked, and the thread that reads it. */
interface CheckedModel {
  readonly thread: ModelThread;
  /** Side of the images in pixels. */
  readonly imageSize: number;
}

async function run(
  config: TrainConfig,
  folder: RunFolder,
  { thread, imageSize }: CheckedModel,
  hooks: TrainHooks,
  undo: () => Promise<void>,
): Promise<TrainResult> {
  const onEvent = hooks.onEvent ?? (() => undefined);
  const onProgress = ({ done, total }: Progress): void => onEvent({ kind: 'images', done, total });
  const start = async () => {
    const images = await openRunImages(config, imageSize, folder.cache, onProgress);
    try {
      return { images, session: await openSession(config, images, folder, thread, hooks) };
    } catch (error) {
      await images[Symbol.asyncDispose]();
      throw error;
    }
  };
  const started = await start().catch(async (error: unknown) => {
    await undo();
    throw error;
  });
  const { session } = started;
  await using images = started.images;
  const { plan } = session;
  const finished = await trainSession(session, config, images, folder, hooks, onEvent);
  releaseGarbage();
  const exported = finished.learnt ? await writeExport(config, folder) : null;
  const { result, accuracyAfter, statistics } = finished;
  return {
    accuracyBefore: result.progress.accuracyBefore,
    accuracyAfter,
    trainAccuracy: result.progress.trainAccuracy,
    steps: result.progress.step,
    plannedPeakBytes: plan.peakBytes,
    arenaBytes: statistics.arenaBytes,
    arenaHighWaterBytes: statistics.highWaterBytes,
    maxRssBytes: await peakRssBytes(),
    plannedTotalBytes: plan.totalBytes,
    stepMillis: percentiles(result.stepMillis),
    delta: finished.learnt ? folder.delta : null,
    export: exported,
    interrupted: result.interrupted,
    run: folder.path,
  };
}

/** A plan being carried out. */
interface Session extends Pick<PreparedModel, 'plan' | 'learnt' | 'delta'> {
  readonly engine: Engine;
}

async function openSession(
  config: TrainConfig,
  images: RunImages,
  folder: RunFolder,
  thread: ModelThread,
  hooks: TrainHooks,
): Promise<Session> {
  const { classes } = images.train.dataset;
  const { plan, engine, learnt, delta } = await thread.prepare({ config, classes, plan: hooks.plan ?? null });
  // Its memory is gone before the engine takes any.
  await thread[Symbol.asyncDispose]();
  await folder.writePlan(plan);
  return { engine: await WorkerEngine.create(plan, engine), plan, learnt, delta };
}

async function trainSession(
  { engine, plan, learnt, delta }: Session,
  config: TrainConfig,
  images: RunImages,
  folder: RunFolder,
  { signal }: TrainHooks,
  onEvent: (event: RunEvent) => void,
) {
  // First of all: whatever throws from here on, the engine's thread ends and the process can.
  await using _ = engine;
  releaseGarbage();
  if (images.skipped.length > 0) onEvent({ kind: 'skipped', files: images.skipped });
  onEvent({ kind: 'plan', plan });
  const { test } = images;
  const found = await loadNewest(folder.checkpoints, engine);
  if (found) onEvent({ kind: 'resume', step: found.step });
  const start = found ?? { ...fresh, accuracyBefore: await measureAccuracy(engine, test.dataset, test.indices) };
  onEvent({ kind: 'accuracy', when: 'before', accuracy: start.accuracyBefore });
  const loop = new TrainingLoop(engine, config, images, folder, start, onEvent, signal);
  onEvent({ kind: 'statistics', statistics: await engine.statistics() });
  const result: LoopResult = await loop.run();
  const statistics = await engine.statistics();
  onEvent({ kind: 'statistics', statistics });
  if (result.interrupted) return { result, accuracyAfter: null, statistics, learnt: false };
  const accuracyAfter = await measureAccuracy(engine, test.dataset, test.indices);
  onEvent({ kind: 'accuracy', when: 'after', accuracy: accuracyAfter });
  const notes = {
    scheme: `${plan.scheme.name} --blocks ${plan.scheme.blocks}`,
    steps: String(result.progress.step),
    accuracyBefore: String(start.accuracyBefore),
    accuracyAfter: String(accuracyAfter),
  };
  const tensors = learnt.map((parameter) => learntTensor(parameter, (name) => engine.read(name)));
  await writeDelta(folder.delta, { ...delta, notes }, tensors);
  return { result, accuracyAfter, statistics: await engine.statistics(), learnt: true };
}

/** Writes the exported model; the run's caches are not needed any more. */
async function writeExport(config: TrainConfig, folder: RunFolder): Promise<string | null> {
  await rm(folder.cache, { recursive: true, force: true });
  if (!config.exportModel) return null;
  await exportInThread({ model: config.model, delta: folder.delta, path: folder.exported });
  return folder.exported;
}

const fresh: Omit<RunProgress, 'accuracyBefore'> = {
  step: 0,
  epoch: 0,
  position: 0,
  epochCorrect: 0,
  epochSeen: 0,
  trainAccuracy: 0,
  bestAccuracy: 0,
  epochsSinceBest: 0,
};

function percentiles(values: readonly number[]): { p50: number; p95: number } {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  return { p50: at(0.5), p95: at(0.95) };
}
