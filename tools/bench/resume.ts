/**
 * @file SIGKILL at random moments: a command-line run is killed and resumed until it has been killed so often, and must end as
 * a run that nobody touched. After every kill each file of the run folder is read.
 */
import { existsSync } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensureEmoji } from '../../models/datasets/emoji.ts';
import { readModelFile } from '../../models/onnx/model-file.ts';
import { readTensors } from '../../runtime/delta/safetensors.ts';
import { checkpointFiles } from '../../runtime/train/checkpoint.ts';
import { readMetrics } from '../../runtime/train/metrics.ts';
import { Random } from '../../runtime/train/random.ts';
import { commandLine, start } from './launch.ts';
import { benchFolder, benchModel, datasetCache } from './places.ts';
import { facts, factsText } from './report.ts';

export interface ResumeOptions {
  readonly kills: number;
  readonly steps: number;
  /** Of the moments of the kills, and of the run itself. */
  readonly seed: number;
  readonly json: boolean;
}

interface Ended {
  readonly killed: boolean;
  readonly seconds: number;
}

interface Summary {
  readonly kills: number;
  readonly runs: number;
  readonly differentRuns: number;
  readonly unreadableFiles: readonly string[];
  readonly steps: number;
  readonly seed: number;
}

export async function resume(options: ResumeOptions): Promise<void> {
  const folder = join(benchFolder, `resume-${process.pid}`);
  try {
    const summary = await killAndCompare(folder, options);
    if (options.json) console.log(JSON.stringify({ resume: summary, ...facts() }));
    else console.log(text(summary));
    if (summary.differentRuns + summary.unreadableFiles.length > 0) process.exitCode = 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function killAndCompare(folder: string, options: ResumeOptions): Promise<Summary> {
  const { path } = await benchModel();
  const { train, test } = await ensureEmoji(datasetCache);
  const args = trainArguments(path, train, test, options);
  const moments = new Random(options.seed, options.kills);
  const untouched = join(folder, 'untouched');
  const { seconds } = await launch(['train', ...args, '--run', untouched], null);
  const expected = await outcome(untouched);
  const unreadable: string[] = [];
  let [kills, runs, differentRuns] = [0, 0, 0];
  while (kills < options.kills) {
    const run = join(folder, `run-${++runs}`);
    for (;;) {
      // A process killed before it wrote its config has left no run to resume.
      const begun = existsSync(join(run, 'config.json'));
      const moment = kills < options.kills ? moments.uniform(0, seconds) : null;
      const { killed } = await launch(['train', ...(begun ? ['--resume'] : args), '--run', run], moment);
      if (!killed) break;
      kills += 1;
      const damaged = await unreadableFiles(run);
      unreadable.push(...damaged);
      const [newest = 'none'] = (await checkpointFiles(join(run, 'checkpoints'))).reverse();
      const note = damaged.length > 0 ? `; unreadable: ${damaged.join(', ')}` : '';
      console.error(`kill ${kills}, run ${runs}, newest checkpoint ${basename(newest)}${note}`);
    }
    if ((await outcome(run)) !== expected) differentRuns += 1;
    await rm(run, { recursive: true, force: true });
  }
  return { kills, runs, differentRuns, unreadableFiles: unreadable, steps: options.steps, seed: options.seed };
}

function trainArguments(model: string, train: string, test: string, { steps, seed }: ResumeOptions): string[] {
  const values = {
    ...{ data: train, test, limit: 96, 'test-limit': 48, 'image-size': 96, batch: 8, scheme: 'mobiletl', blocks: 2 },
    ...{ epochs: steps, 'max-steps': steps, 'checkpoint-steps': 3, augment: 'flip', budget: '1GiB', seed },
  };
  return [model, ...Object.entries(values).flatMap(([name, value]) => [`--${name}`, String(value)])];
}

/** Runs the command line to its end, or until it is killed after so many seconds. */
async function launch(args: readonly string[], killAfterSeconds: number | null): Promise<Ended> {
  const started = performance.now();
  const child = start(await commandLine(args), ['ignore', 'ignore', 'pipe']);
  let complaint = '';
  child.stderr?.on('data', (chunk) => {
    complaint = `${complaint}${chunk}`.slice(-2000);
  });
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.once('exit', (code, signal) => resolve(code ?? signal));
  });
  if (killAfterSeconds !== null) {
    const giveUp = new AbortController();
    const timer = sleep(1000 * killAfterSeconds, undefined, { signal: giveUp.signal }).then(
      () => child.kill('SIGKILL'),
      () => false,
    );
    await ended;
    giveUp.abort();
    await timer;
  }
  const end = await ended;
  if (end !== 0 && end !== 'SIGKILL') throw new Error(`${args.join(' ')} ended with ${end}:\n${complaint}`);
  return { killed: end === 'SIGKILL', seconds: (performance.now() - started) / 1000 };
}

/** Everything that must not depend on interruptions: the trajectory without its times, and what was learnt, byte for byte. */
async function outcome(run: string): Promise<string> {
  const metrics = await readMetrics(join(run, 'metrics.jsonl'));
  const trajectory = metrics.map((line) => JSON.stringify({ ...line, millis: null }));
  const learnt = await readFile(join(run, 'delta.safetensors'), 'base64');
  const exported = await readFile(join(run, 'model.onnx'), 'base64');
  return [...trajectory, learnt, exported].join('\n');
}

/** Files of a run folder that cannot be read; caches are made again, and temporary files were never finished. */
async function unreadableFiles(run: string): Promise<string[]> {
  const names = await readdir(run, { recursive: true }).catch(() => [] as string[]);
  const damaged: string[] = [];
  for (const name of names.filter((name) => !name.startsWith('cache') && !name.includes('.tmp'))) {
    const path = join(run, name);
    try {
      if (name.endsWith('.safetensors')) await readTensors(path);
      if (name.endsWith('.json')) JSON.parse(await readFile(path, 'utf8'));
      if (name.endsWith('.onnx')) await readModelFile(path);
      // The last line may be torn: it is written again.
      if (name.endsWith('.jsonl'))
        for (const line of (await readFile(path, 'utf8')).split('\n').slice(0, -1)) JSON.parse(line);
    } catch {
      damaged.push(name);
    }
  }
  return damaged;
}

function text({ kills, runs, differentRuns, unreadableFiles, steps, seed }: Summary): string {
  return [
    `${kills} SIGKILLs at random moments of ${runs} runs of ${steps} steps (seed ${seed}); ${factsText(facts())}`,
    `runs whose trajectory, delta or exported model differ from the untouched run: ${differentRuns}`,
    `unreadable files: ${unreadableFiles.length}${unreadableFiles.length > 0 ? ` (${unreadableFiles.join(', ')})` : ''}`,
  ].join('\n');
}
