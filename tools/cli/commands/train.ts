/** @file `edgeshift train`: progress on stderr, the result on stdout. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError, UsageError } from '../../../runtime/errors.ts';
import { bytesText } from '../../../runtime/plan/bytes-text.ts';
import type { Plan } from '../../../runtime/plan/plan.ts';
import { resumeTraining, type TrainHooks, type TrainResult, train } from '../../../runtime/train/train.ts';
import { openLive } from '../../dashboard/open-live.ts';
import { ProfileEmitter } from '../../profiler/emit.ts';
import { TrainingEmitter } from '../../profiler/emit-training.ts';
import { collectFolder } from '../collect-flags.ts';
import { choiceFlag, type Flags, governorModes, textFlag } from '../flags.ts';
import { governorCountsText } from '../governor-text.ts';
import { trainOptions } from '../plan-flags.ts';
import { asService, type ServiceStatus } from '../service-status.ts';
import { TrainProgress } from '../train-progress.ts';

export async function run([model]: readonly string[], flags: Flags): Promise<number> {
  const folder = collectFolder(flags);
  if (folder === null) return follow(flags, (hooks) => start(model, flags, hooks));
  if (model === undefined) throw new UsageError('--collect needs a model');
  if (flags.collectOnly === true) return (await import('../collect-frames.ts')).collectFrames(model, folder, flags);
  const { collectApart } = await import('../collect-apart.ts');
  const collected = { ...flags, data: folder };
  return (await collectApart(model, folder, flags)) ?? follow(flags, (hooks) => start(model, collected, hooks));
}

/** Runs a training with progress on stderr, a checkpoint at a signal, and its result on stdout. */
export function follow(flags: Flags, begin: (hooks: TrainHooks) => Promise<TrainResult>): Promise<number> {
  return asService((status) => followAs(status, flags, begin));
}

async function followAs(
  status: ServiceStatus | null,
  flags: Flags,
  begin: (hooks: TrainHooks) => Promise<TrainResult>,
): Promise<number> {
  const progress = await TrainProgress.open();
  const stop = new AbortController();
  const interrupt = (signal: NodeJS.Signals): void => {
    progress.line(`${signal}: finishing this step and writing a checkpoint`);
    status?.stopping();
    stop.abort();
  };
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  const savedPlan = textFlag(flags, 'plan');
  const emitter = ProfileEmitter.open();
  using profile = TrainingEmitter.of(emitter);
  await using live = await openLive('train', flags, emitter, (text) => progress.line(text));
  const feed = await live?.training();
  const hooks: TrainHooks = {
    onEvent: (event) => {
      if (event.kind === 'plan') status?.ready();
      if (event.kind === 'step') status?.progress({ frames: event.step, updates: event.step });
      progress.show(event);
      profile?.event(event);
      feed?.event(event);
    },
    signal: stop.signal,
    governor: choiceFlag(flags, 'governor', governorModes) !== 'off',
    ...(savedPlan !== undefined && { plan: await readPlan(savedPlan) }),
  };
  try {
    const result = await begin(hooks);
    progress.done();
    await profile?.finished(result);
    if (feed) live?.end(feed.ended(result));
    if (flags.json === true) console.log(JSON.stringify(result));
    else process.stdout.write(resultText(result));
    return 0;
  } finally {
    progress.done();
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
  }
}

function start(model: string | undefined, flags: Flags, hooks: TrainHooks): Promise<TrainResult> {
  const folder = textFlag(flags, 'run');
  if (flags.resume !== true) return train(trainOptions(model, flags, folder ?? defaultRun()), hooks);
  if (folder === undefined) throw new UsageError('--resume needs --run <folder>');
  return resumeTraining(folder, hooks);
}

export const defaultRun = (): string => join('runs', new Date().toISOString().slice(0, 19).replace(/:/g, '-'));

async function readPlan(path: string): Promise<Plan> {
  try {
    const plan = JSON.parse(await readFile(path, 'utf8')) as Plan;
    if (plan.version === 1 && Array.isArray(plan.steps)) return plan;
    throw new Error('no version 1 plan');
  } catch (cause) {
    throw new DataError(`"${path}" is not a saved plan: ${(cause as Error).message}`, { path }, { cause });
  }
}

function resultText(result: TrainResult): string {
  const percent = (share: number | null): string => (share === null ? '-' : `${(100 * share).toFixed(1)} %`);
  const rows: [string, string][] = [
    ['accuracy before', percent(result.accuracyBefore)],
    ['accuracy after', percent(result.accuracyAfter)],
    ['training accuracy', percent(result.trainAccuracy)],
    ['steps', `${result.steps}, median ${result.stepMillis.p50.toFixed(1)} ms`],
    ['arena planned', `${result.plannedPeakBytes} B`],
    ['arena high water', `${result.arenaHighWaterBytes} B`],
    ['process planned', bytesText(result.plannedTotalBytes)],
    ['process peak', bytesText(result.maxRssBytes)],
    ['delta', result.delta ?? '-'],
    ['exported model', result.export ?? '-'],
  ];
  const gave = governorCountsText(result.governor);
  if (gave !== null) rows.push(['memory was short', gave]);
  const note = result.interrupted ? `interrupted; continue with --resume --run ${result.run}\n` : '';
  return `${rows.map(([label, value]) => `${label.padEnd(18)}${value}`).join('\n')}\n${note}`;
}
