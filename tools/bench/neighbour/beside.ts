/** @file A training and a neighbour that eats memory, in one control group with one limit. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type GovernorCounts, governorActions } from '../../../runtime/governor/governor.ts';
import { readMetrics } from '../../../runtime/train/metrics.ts';
import type { TrainResult } from '../../../runtime/train/train.ts';
import { chooseLimit } from '../../profiler/limits/choose.ts';
import { type Command, nodeProgram } from '../launch.ts';
import { program } from '../places.ts';

/** How a neighbour behaves; the same seed, the same neighbour. */
export interface Hunger {
  readonly seed: number;
  /** Most that it holds besides its own process. */
  readonly mostMebibytes: number;
  /** MiB a second, slowest and fastest; speeds between are as likely by their logarithm. */
  readonly speeds: readonly [number, number];
  /** Longest that it holds what it has. */
  readonly holdMillis: number;
}

export interface BesideRun {
  /** Exit code or signal of the training. */
  readonly ended: number | NodeJS.Signals;
  /** Processes of the group that the kernel killed, the neighbour among them. */
  readonly oomKills: number;
  readonly seconds: number;
  readonly governor: GovernorCounts;
  /** What must not depend on a neighbour as long as the plan is the same: trajectory and delta; null without a delta. */
  readonly outcome: string | null;
  /** What it says of itself at its end: null if it was killed, or there was none. */
  readonly neighbourMebibytes: number | null;
  /** Last of its standard error. */
  readonly complaint: string;
}

/** A control group of the kernel's; nothing less kills for memory. @throws Refused where none can be had */
export async function trainBeside(
  training: Command,
  limitBytes: number,
  hunger: Hunger | null,
  onText: (text: string) => void = () => undefined,
): Promise<BesideRun> {
  const { holder } = await chooseLimit({ memoryBytes: limitBytes, cpus: null }, '/', ['cgroup v2', 'cgroup v1']);
  await using held = holder;
  const started = performance.now();
  const main = startHeld(training, held.wrap, {}, onText);
  await held.started(main.child.pid ?? 0);
  const neighbour =
    hunger && startHeld(await nodeProgram(program('neighbour/hungry'), [JSON.stringify(hunger)]), held.wrap, hungryEnv);
  const ended = await main.ended;
  const seconds = (performance.now() - started) / 1000;
  neighbour?.child.kill('SIGTERM');
  await neighbour?.ended;
  const result = lastJson<TrainResult>(main.out());
  const none = Object.fromEntries(governorActions.map((action) => [action, 0])) as Record<keyof GovernorCounts, number>;
  return {
    ended,
    oomKills: held.oomKills() ?? 0,
    seconds,
    governor: result?.governor ?? none,
    outcome: result?.delta ? await outcomeOf(result.run, result.delta) : null,
    neighbourMebibytes: lastJson<{ mostMebibytes: number }>(neighbour?.out() ?? '')?.mostMebibytes ?? null,
    complaint: main.err().slice(-2000),
  };
}

/** Large pieces go back to the system when they are freed; malloc would raise its threshold otherwise. */
const hungryEnv = { MALLOC_MMAP_THRESHOLD_: '131072' };

interface Held {
  readonly child: ChildProcess;
  readonly ended: Promise<number | NodeJS.Signals>;
  out(): string;
  err(): string;
}

function startHeld(
  { file, args, env }: Command,
  wrap: (command: readonly string[]) => readonly string[],
  more: Readonly<Record<string, string>>,
  onText: (text: string) => void = () => undefined,
): Held {
  const [shell = '', ...words] = wrap([file, ...args]);
  const child = spawn(shell, words, { env: { ...process.env, ...env, ...more }, stdio: ['ignore', 'pipe', 'pipe'] });
  const text = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text.out += chunk;
  });
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    text.err += chunk;
    onText(chunk);
  });
  const ended = new Promise<number | NodeJS.Signals>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(code ?? signal ?? 0));
  });
  return { child, ended, out: () => text.out, err: () => text.err };
}

function lastJson<T>(text: string): T | null {
  try {
    return JSON.parse(text.trimEnd().split('\n').at(-1) ?? '') as T;
  } catch {
    return null;
  }
}

async function outcomeOf(run: string, delta: string): Promise<string> {
  const metrics = await readMetrics(join(run, 'metrics.jsonl'));
  const measured = metrics.filter(({ kind }) => kind !== 'governor');
  const trajectory = measured.map((line) => JSON.stringify({ ...line, millis: null }));
  return [...trajectory, await readFile(delta, 'base64')].join('\n');
}
