/**
 * @file SIGKILL at random moments: a command-line run is killed and resumed until it has been killed so often, and must end as
 * a run that nobody touched. After every kill each file of the run folder is read.
 */
import { existsSync } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensureEmoji } from '../../models/datasets/emoji.ts';
import { readModelFile } from '../../models/onnx/model-file.ts';
import { readTensors } from '../../runtime/delta/safetensors.ts';
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

export async function resume(options: ResumeOptions): Promise<void> {
  const { path } = await benchModel();
  const { train, test } = await ensureEmoji(datasetCache);
  const folder = join(benchFolder, `resume-${process.pid}`);
  const args = trainArguments(path, train, test, options);
  const moments = new Random(options.seed, options.kills);
  try {
    const untouched = join(folder, 'untouched');
    const { seconds } = await launch(['train', ...args, '--run', untouched], null);
    const expected = await outcome(untouched);
    const [unreadable, different]: [string[], string[]] = [[], []];
    let [kills, runs] = [0, 0];
    while (kills < options.kills) {
      const run = join(folder, `run-${++runs}`);
      const result = await runToTheEnd(
        run,
        args,
        async () => {
          if (kills >= options.kills) return null;
          return moments.uniform(0, seconds);
        },
        async () => {
          kills += 1;
          const damaged = await unreadableFiles(run);
          unreadable.push(...damaged);
          const newest = (await readdir(join(run, 'checkpoints')).catch(() => []))
            .filter((name) => name.startsWith('step-'))
            .sort()
            .at(-1);
          console.error(
            `kill ${kills}: newest checkpoint ${newest ?? 'none'}${damaged.length > 0 ? `, unreadable: ${damaged}` : ''}`,
          );
        },
      );
      if (result !== expected) different.push(run);
      await rm(run, { recursive: true, force: true });
    }
    const summary = {
      kills,
      runs,
      differentRuns: different.length,
      unreadableFiles: unreadable,
      steps: options.steps,
      seed: options.seed,
    };
    if (options.json) console.log(JSON.stringify({ resume: summary, ...facts() }));
    else console.log(text(summary));
    if (different.length + unreadable.length > 0) process.exitCode = 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function trainArguments(model: string, train: string, test: string, { steps, seed }: ResumeOptions): string[] {
  const values = {
    ...{ data: train, test, limit: 96, 'test-limit': 48, 'image-size': 96, batch: 8, scheme: 'mobiletl', blocks: 2 },
    ...{ epochs: steps, 'max-steps': steps, 'checkpoint-steps': 3, augment: 'flip', budget: '1GiB', seed },
  };
  return [model, ...Object.entries(values).flatMap(([name, value]) => [`--${name}`, String(value)])];
}

/** Starts, is killed after as many seconds as `moment` says (null: not at all), and goes on until the run is whole. */
async function runToTheEnd(
  run: string,
  args: readonly string[],
  moment: () => Promise<number | null>,
  onKill: () => Promise<void>,
): Promise<string> {
  for (;;) {
    // A process killed before it wrote its config has left no run to resume.
    const begun = existsSync(join(run, 'config.json'));
    const command = begun ? ['train', '--resume', '--run', run] : ['train', ...args, '--run', run];
    const { killed } = await launch(command, await moment());
    if (!killed) return outcome(run);
    await onKill();
  }
}

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

function text(summary: {
  kills: number;
  runs: number;
  differentRuns: number;
  unreadableFiles: readonly string[];
  steps: number;
  seed: number;
}): string {
  const { kills, runs, differentRuns, unreadableFiles, steps, seed } = summary;
  return [
    `${kills} SIGKILLs at random moments of ${runs} runs of ${steps} steps (seed ${seed}); ${factsText(facts())}`,
    `runs whose trajectory, delta or exported model differ from the untouched run: ${differentRuns}`,
    `unreadable files: ${unreadableFiles.length}${unreadableFiles.length > 0 ? ` (${unreadableFiles.join(', ')})` : ''}`,
  ].join('\n');
}
