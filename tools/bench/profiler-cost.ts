/**
 * @file What `profile` costs: the same training with it and without it in turns, and what the profiler holds meanwhile. The step
 * times are those that the run itself wrote down, whoever watched it.
 */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureEmoji } from '../../models/datasets/emoji.ts';
import { readMetrics } from '../../runtime/train/metrics.ts';
import type { ProfileRecord } from '../profiler/record.ts';
import { type Command, commandLine, start } from './launch.ts';
import { benchFolder, benchModel, datasetCache } from './places.ts';
import { facts, factsText, median, mib, table } from './report.ts';

export interface ProfilerCostOptions {
  readonly pairs: number;
  readonly steps: number;
  readonly batch: number;
  readonly threads: number;
  readonly json: boolean;
}

interface Pair {
  /** Medians of a run's steps. */
  readonly aloneMillis: number;
  readonly profiledMillis: number;
  /** Of the profiler: its share of a core, what its heap gained, and its whole resident memory. */
  readonly cpuShare: number;
  readonly gainedBytes: number;
  readonly rssBytes: number;
}

/** Steps that compile code and write features. */
const WARMUP = 10;

export async function profilerCost(options: ProfilerCostOptions): Promise<void> {
  const train = await trainArguments(options);
  const pairs: Pair[] = [];
  for (let n = 0; n < options.pairs; n++) {
    const profiledFirst = n % 2 === 1;
    const before = profiledFirst ? await profiled(train) : null;
    const aloneMillis = (await stepsOf(['train', ...train])).millis;
    pairs.push({ aloneMillis, ...(before ?? (await profiled(train))) });
    console.error(`pair ${n + 1}: ${pairText(pairs.at(-1) as Pair).join(', ')}`);
  }
  if (options.json) console.log(JSON.stringify({ profilerCost: options, ...facts(), pairs }));
  else console.log(text(options, pairs));
}

async function trainArguments({ steps, batch, threads }: ProfilerCostOptions): Promise<string[]> {
  const { path } = await benchModel();
  const { train, test } = await ensureEmoji(datasetCache, { size: 224, trainIds: 32, testIds: 32 });
  const values = {
    ...{ data: train, test, 'image-size': 224, scheme: 'mobiletl', blocks: 5, batch, threads, optimizer: 'sgd' },
    ...{ 'max-steps': steps, epochs: steps, augment: 'flip', budget: '1GiB' },
  };
  return [path, ...Object.entries(values).flatMap(([option, value]) => [`--${option}`, String(value)])];
}

async function profiled(train: readonly string[]): Promise<Omit<Pair, 'aloneMillis'>> {
  const out = join(benchFolder, `profile-${process.pid}`);
  try {
    const { millis, rssBytes } = await stepsOf(['profile', '--out', out, '--', 'train', ...train]);
    const { profiler } = JSON.parse(await readFile(join(out, 'record.json'), 'utf8')) as ProfileRecord;
    if (!profiler) throw new Error('the run was too short to tell what its profiler takes: more --steps');
    return { profiledMillis: millis, cpuShare: profiler.cpuShare, gainedBytes: profiler.bytes, rssBytes };
  } finally {
    await rm(out, { recursive: true, force: true });
  }
}

/** Median step of a run, and median resident memory of the process that was started for it. */
async function stepsOf(args: readonly string[]): Promise<{ readonly millis: number; readonly rssBytes: number }> {
  const run = join(benchFolder, `profiled-${process.pid}`);
  try {
    const rssBytes = await watched(await commandLine([...args, '--run', run]));
    const steps = (await readMetrics(join(run, 'metrics.jsonl'))).flatMap((row) =>
      row.kind === 'step' ? [row.millis] : [],
    );
    return { millis: median(steps.slice(WARMUP)), rssBytes };
  } finally {
    await rm(run, { recursive: true, force: true });
  }
}

/** Between two looks at a process. */
const LOOK_MILLIS = 250;

async function watched(command: Command): Promise<number> {
  const child = start(command, ['ignore', 'ignore', 'pipe']);
  let complaint = '';
  child.stderr?.on('data', (chunk) => {
    complaint = `${complaint}${chunk}`.slice(-4000);
  });
  const looks: number[] = [];
  const timer = setInterval(async () => {
    const status = await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '');
    const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
    if (kibibytes !== undefined) looks.push(1024 * Number(kibibytes));
  }, LOOK_MILLIS);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  }).finally(() => clearInterval(timer));
  if (code !== 0) throw new Error(`${command.args.join(' ')} ended with code ${code}:\n${complaint}`);
  return median(looks);
}

const header = ['step alone ms', 'profiled ms', 'cost', 'CPU of a core', 'gained MiB', 'its process MiB'];

const pairText = ({ aloneMillis, profiledMillis, cpuShare, gainedBytes, rssBytes }: Pair): string[] => [
  aloneMillis.toFixed(1),
  profiledMillis.toFixed(1),
  percent(profiledMillis / aloneMillis - 1),
  percent(cpuShare),
  mib(gainedBytes),
  mib(rssBytes),
];

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

function text({ pairs: count, steps, batch, threads }: ProfilerCostOptions, pairs: readonly Pair[]): string {
  const costs = pairs.map(({ aloneMillis, profiledMillis }) => profiledMillis / aloneMillis - 1);
  const most = Math.max(...pairs.map(({ gainedBytes }) => gainedBytes));
  return [
    `Training with and without \`profile\`, ${count} pairs of ${steps} steps: MobileNetV2, 224 px, mobiletl 5, batch ${batch}, ` +
      `${threads} threads`,
    factsText(facts()),
    '',
    table([['', ...header], ...pairs.map((pair, n) => [`pair ${n + 1}`, ...pairText(pair)])]),
    '',
    `median cost of a step ${percent(median(costs))} (${percent(Math.min(...costs))} to ${percent(Math.max(...costs))}); ` +
      `the profiler gained ${mib(most)} MiB at the most`,
  ].join('\n');
}
