/** @file A whole training run: images, plan, engine, loop, delta, exported model. */
import { rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { learntTensor, writeDelta } from '../delta/delta.ts';
import type { EngineStatistics } from '../engine/engine.ts';
import { releaseGarbage } from '../garbage.ts';
import { GovernedEngine } from '../governor/governed-engine.ts';
import { Governor, type GovernorCounts, type GovernorEvent, type MemorySource } from '../governor/governor.ts';
import { exportBytes } from '../plan/accounting.ts';
import type { Plan } from '../plan/plan.ts';
import { loadNewest, type Progress as RunProgress } from './checkpoint.ts';
import type { Progress } from './data/store-builder.ts';
import { measureAccuracy } from './evaluate.ts';
import { openRunImages, type RunImages } from './images.ts';
import { type LoopResult, type TrainEvent, TrainingLoop } from './loop.ts';
import { peakRssBytes } from './memory.ts';
import { type CheckedModel, exportInThread, ModelThread, type PreparedModel, refitModel } from './model-thread.ts';
import { resolveConfig, type TrainConfig, type TrainOptions } from './options.ts';
import { RunFolder } from './run-folder.ts';

/** What happens before and after the loop. */
export type RunEvent =
  | TrainEvent
  | { readonly kind: 'images'; readonly done: number; readonly total: number }
  | { readonly kind: 'skipped'; readonly files: readonly { readonly path: string; readonly reason: string }[] }
  | { readonly kind: 'plan'; readonly plan: Plan }
  | GovernorEvent
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
  /** Whether the run gives way where memory gets short (governor/README.md), or what to watch in the kernel's place; default true. */
  readonly governor?: boolean | MemorySource;
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
  /** What was done about memory, how often; null where nobody watched it. */
  readonly governor: GovernorCounts | null;
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
  const model = { thread, ...(await thread.check(config)) };
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
  const model = { thread, ...(await thread.check(config)) };
  return await run(config, folder, model, plan ? { ...hooks, plan } : hooks, async () => undefined);
}

/** A model that has been checked, and the thread that reads it. */
interface OpenedModel extends CheckedModel {
  readonly thread: ModelThread;
}

async function run(
  config: TrainConfig,
  folder: RunFolder,
  { thread, ...model }: OpenedModel,
  hooks: TrainHooks,
  undo: () => Promise<void>,
): Promise<TrainResult> {
  const onEvent = hooks.onEvent ?? (() => undefined);
  const onProgress = ({ done, total }: Progress): void => onEvent({ kind: 'images', done, total });
  using watch = new Watch(hooks.governor ?? true, onEvent);
  const start = async () => {
    const images = await openRunImages(config, model, folder.cache, onProgress);
    try {
      return { images, session: await openSession(config, images, folder, thread, hooks, watch) };
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
  const finished = await trainSession(session, config, images, folder, hooks, watch, onEvent);
  releaseGarbage();
  if (finished.learnt) await watch.governor?.roomFor(exportBytes(0, plan.model.fileBytes, 0), hooks.signal);
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
    governor: watch.governor?.counts() ?? null,
    run: folder.path,
  };
}

/** Somebody who watches memory, if anybody can, and whoever is told of it. */
class Watch implements Disposable {
  readonly governor: Governor | null;
  /** Set once there is a loop that keeps notes. */
  note: (event: GovernorEvent) => void = () => undefined;

  constructor(wanted: boolean | MemorySource, onEvent: (event: GovernorEvent) => void) {
    const tell = (event: GovernorEvent): void => {
      this.note(event);
      onEvent(event);
    };
    this.governor = Governor.open(wanted, tell);
  }

  [Symbol.dispose](): void {
    this.governor?.[Symbol.dispose]();
  }
}

/** A plan being carried out. */
interface Session extends Pick<PreparedModel, 'plan' | 'learnt' | 'delta'> {
  readonly engine: GovernedEngine;
}

async function openSession(
  config: TrainConfig,
  images: RunImages,
  folder: RunFolder,
  thread: ModelThread,
  hooks: TrainHooks,
  { governor }: Watch,
): Promise<Session> {
  const { classes } = images.train.dataset;
  const prepared = await thread.prepare({ config, classes, plan: hooks.plan ?? null });
  // Its memory is gone before the engine takes any.
  await thread[Symbol.asyncDispose]();
  const { plan, learnt, delta } = prepared;
  // The plan of the run, whatever is carried out for lack of memory: who resumes begins with it.
  await folder.writePlan(plan);
  const engine = await GovernedEngine.open({
    prepared,
    governor,
    refit: (capBytes, checkpoint) => refitModel({ config, classes, whole: plan, capBytes, checkpoint }),
    signal: hooks.signal,
  });
  return { engine, plan, learnt, delta };
}

async function trainSession(
  { engine, plan, learnt, delta }: Session,
  config: TrainConfig,
  images: RunImages,
  folder: RunFolder,
  { signal }: TrainHooks,
  watch: Watch,
  onEvent: (event: RunEvent) => void,
) {
  // First of all: whatever throws from here on, the engine's thread ends and the process can.
  await using _ = engine;
  releaseGarbage();
  if (images.skipped.length > 0) onEvent({ kind: 'skipped', files: images.skipped });
  onEvent({ kind: 'plan', plan });
  const { test } = images;
  const stopped = async (progress: RunProgress, stepMillis: readonly number[] = []) => {
    const result: LoopResult = { progress, stepMillis, interrupted: true };
    return { result, accuracyAfter: null, statistics: await engine.statistics(), learnt: false };
  };
  if (!engine.isOpen) return await stopped({ ...fresh, accuracyBefore: 0 });
  const found = await loadNewest(folder.checkpoints, engine.whole);
  if (found && engine.plan !== plan) await engine.load(found.path);
  if (found) {
    engine.checkpoint = found.path;
    onEvent({ kind: 'resume', step: found.progress.step });
  }
  const start = found?.progress ?? {
    ...fresh,
    accuracyBefore: await measureAccuracy(engine, test.dataset, test.indices),
  };
  if (!engine.isOpen) return await stopped(start);
  onEvent({ kind: 'accuracy', when: 'before', accuracy: start.accuracyBefore });
  const loop = new TrainingLoop(engine, config, images, folder, start, onEvent, signal);
  watch.note = (event) => loop.note(event);
  onEvent({ kind: 'statistics', statistics: await engine.statistics() });
  const result: LoopResult = await loop.run();
  const statistics = await engine.statistics();
  onEvent({ kind: 'statistics', statistics });
  if (result.interrupted) return { result, accuracyAfter: null, statistics, learnt: false };
  const accuracyAfter = await measureAccuracy(engine, test.dataset, test.indices);
  if (!engine.isOpen) return await stopped(result.progress, result.stepMillis);
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
