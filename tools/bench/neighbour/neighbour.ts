/**
 * @file A training beside a neighbour that eats memory in the same control group, at random speeds, again and again: nobody may be
 * killed, and where the plan was not changed the result must be that of a run without a neighbour.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureEmoji } from '../../../models/datasets/emoji.ts';
import { type Command, nodeProgram } from '../launch.ts';
import { benchFolder, benchModel, datasetCache, program } from '../places.ts';
import { facts, factsText } from '../report.ts';
import { type BesideRun, trainBeside } from './beside.ts';

const MIB = 2 ** 20;

export interface NeighbourOptions {
  readonly runs: number;
  /** Of the first run's neighbour; each next one has the next number. */
  readonly seed: number;
  readonly steps: number;
  readonly limitMebibytes: number;
  /** Most that the neighbour holds besides its own process. */
  readonly mostMebibytes: number;
  /** MiB a second. */
  readonly slowest: number;
  readonly fastest: number;
  readonly holdMillis: number;
  readonly governor: 'auto' | 'off';
  readonly json: boolean;
}

interface Summary {
  readonly runs: number;
  readonly oomKills: number;
  readonly failed: number;
  readonly pauses: number;
  readonly replans: number;
  /** Runs whose plan was never changed, and those of them that came to another result. */
  readonly samePlan: number;
  readonly samePlanDifferent: number;
  readonly undisturbedSeconds: number;
  readonly medianSeconds: number;
}

export async function neighbour(options: NeighbourOptions): Promise<void> {
  const folder = join(benchFolder, `neighbour-${process.pid}`);
  try {
    const { runs, seed, mostMebibytes, slowest, fastest, holdMillis } = options;
    const limitBytes = options.limitMebibytes * MIB;
    const alone = await trainBeside(await training(folder, 'alone', options), 4 * limitBytes, null);
    if (alone.outcome === null) throw new Error(`the undisturbed run ended with ${alone.ended}:\n${alone.complaint}`);
    const done: BesideRun[] = [];
    for (let run = 0; run < runs; run++) {
      const hunger = { seed: seed + run, mostMebibytes, speeds: [slowest, fastest], holdMillis } as const;
      const beside = await trainBeside(await training(folder, `${run}`, options), limitBytes, hunger);
      done.push(beside);
      console.error(lineOf(hunger.seed, beside, alone));
      if (beside.outcome === null) console.error(beside.complaint);
    }
    const summary = summarise(done, alone);
    if (options.json) console.log(JSON.stringify({ neighbour: { ...options, ...summary }, ...facts() }));
    else console.log(text(options, summary));
    if (summary.oomKills + summary.failed + summary.samePlanDifferent > 0) process.exitCode = 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function training(folder: string, name: string, { steps, governor }: NeighbourOptions): Promise<Command> {
  const { path } = await benchModel();
  const { train, test } = await ensureEmoji(datasetCache);
  const values = {
    ...{ data: train, test, limit: 128, 'test-limit': 32, 'image-size': 96, batch: 32, scheme: 'mobiletl', blocks: 17 },
    ...{ epochs: steps, 'max-steps': steps, device: 'jetson-nano-4gb', budget: '1GiB', seed: 1, governor },
    run: join(folder, name),
  };
  const words = Object.entries(values).flatMap(([key, value]) => [`--${key}`, String(value)]);
  // Not by way of tools/run.mjs: where sources have changed that starts a compiler, which has no place in the group.
  return nodeProgram(program('../cli/main'), ['train', path, ...words, '--no-export', '--json']);
}

const changedPlan = ({ governor }: BesideRun): boolean => governor.shrink + governor.grow > 0;

function summarise(done: readonly BesideRun[], alone: BesideRun): Summary {
  const sum = (of: (run: BesideRun) => number): number => done.reduce((total, run) => total + of(run), 0);
  const same = done.filter((run) => run.outcome !== null && !changedPlan(run));
  const seconds = done.map((run) => run.seconds).sort((a, b) => a - b);
  return {
    runs: done.length,
    oomKills: sum(({ oomKills }) => oomKills),
    failed: sum(({ outcome }) => (outcome === null ? 1 : 0)),
    pauses: sum(({ governor }) => governor.pause),
    replans: sum(({ governor }) => governor.shrink + governor.grow),
    samePlan: same.length,
    samePlanDifferent: same.filter(({ outcome }) => outcome !== alone.outcome).length,
    undisturbedSeconds: alone.seconds,
    medianSeconds: seconds[seconds.length >> 1] ?? 0,
  };
}

function lineOf(seed: number, run: BesideRun, alone: BesideRun): string {
  const { pause, shrink, grow, trim } = run.governor;
  const result = run.outcome === null ? 'no result' : run.outcome === alone.outcome ? 'same result' : 'another result';
  return (
    `seed ${seed}: ended with ${run.ended} after ${run.seconds.toFixed(1)} s, ${run.oomKills} killed, ${trim} trims, ${shrink} smaller ` +
    `and ${grow} larger plans, ${pause} pauses, neighbour up to ${run.neighbourMebibytes ?? '?'} MiB, ${result}`
  );
}

function text(options: NeighbourOptions, summary: Summary): string {
  const { limitMebibytes, mostMebibytes, slowest, fastest, steps, seed, governor } = options;
  return [
    `${summary.runs} runs of ${steps} steps beside a neighbour of up to ${mostMebibytes} MiB at ${slowest} to ${fastest} MiB/s in a ` +
      `control group of ${limitMebibytes} MiB, seeds from ${seed}, governor ${governor}; ${factsText(facts())}`,
    `killed for memory: ${summary.oomKills}; runs without a result: ${summary.failed}`,
    `pauses: ${summary.pauses}; changes of plan: ${summary.replans}`,
    `runs whose plan was never changed: ${summary.samePlan}, of these with another result than undisturbed: ${summary.samePlanDifferent}`,
    `seconds: ${summary.undisturbedSeconds.toFixed(1)} undisturbed, ${summary.medianSeconds.toFixed(1)} at the median`,
  ].join('\n');
}
