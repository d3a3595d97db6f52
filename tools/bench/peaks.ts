/**
 * @file Planned against measured peak of the whole process: a short training run of each network, scheme and batch in a fresh
 * process, with evaluation and export as a user has them. Every row is appended to a file as soon as it is measured, and
 * a table that was interrupted goes on where it stopped.
 */
import { appendFile, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { materializeNetwork, networkNames } from '../../models/networks/networks.ts';
import type { Plan, SchemeName, TrainResult } from '../../runtime/index.ts';
import { type Command, commandLine, runToEnd } from './launch.ts';
import { type BenchNetwork, benchNetwork, benchNetworkNames } from './networks.ts';
import { drawImages } from './peak-images.ts';
import { facts, factsText, mib, table } from './report.ts';
import { LEARNING_RATE } from './step-options.ts';

export interface PeaksOptions {
  readonly networks: readonly string[];
  readonly schemes: readonly SchemeName[];
  readonly batches: readonly number[];
  readonly optimizer: string;
  readonly threads: number;
  readonly steps: number;
  /** Memory that plans may take, such as `4GiB`. */
  readonly budget: string;
  /** JSON lines, one a row; rows that are there already are not measured again. */
  readonly out: string;
  readonly json: boolean;
}

/** What a row is of; equal settings are measured once. */
type Setting = Pick<PeaksOptions, 'optimizer' | 'threads' | 'steps' | 'budget'> & {
  readonly network: string;
  readonly scheme: SchemeName;
  readonly blocks: number;
  readonly batch: number;
};

type Outcome =
  | {
      readonly microBatch: number;
      readonly plannedBytes: number;
      readonly measuredBytes: number;
      readonly plannedArenaBytes: number;
      readonly arenaHighWaterBytes: number;
      /** Parts of `plannedBytes`. */
      readonly bytes: Plan['bytes'];
    }
  /** First line of why no plan fits. */
  | { readonly refusal: string };

export interface PeakRow {
  readonly setting: Setting;
  readonly outcome: Outcome;
  readonly commit: string | null;
}

/** The plan's error as a share of the measurement: it may be too much by the first and too little by the second. */
const MOST_OVER = 0.1;
const MOST_UNDER = 0.05;

/** Two classes; enough for two steps of the largest usual batch, and a last batch that is not full. */
const IMAGES = { train: 36, test: 10, seed: 1 } as const;

export async function peaks(options: PeaksOptions): Promise<void> {
  await mkdir(dirname(options.out), { recursive: true });
  const known = await readRows(options.out);
  const folder = await mkdtemp(join(tmpdir(), 'edgeshift-peaks-'));
  try {
    const images = join(folder, 'images');
    await drawImages(images, IMAGES);
    const rows: PeakRow[] = [];
    for (const setting of await settingsOf(options)) {
      const found = known.find((row) => keyOf(row.setting) === keyOf(setting));
      const row = found ?? { setting, outcome: await measure(setting, images, folder), commit: facts().commit };
      if (!found) await appendFile(options.out, `${JSON.stringify(row)}\n`);
      console.error(cellsOf(row).join('  '));
      rows.push(row);
    }
    if (options.json) console.log(JSON.stringify({ peaks: options, ...facts(), rows }));
    else console.log(text(options, rows));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Rows measured so far; a line that an interrupted run left unfinished is not one. */
async function readRows(path: string): Promise<PeakRow[]> {
  const lines = await readFile(path, 'utf8').catch(() => '');
  return lines
    .split('\n')
    .slice(0, -1)
    .filter((line) => line.endsWith('}'))
    .map((line) => JSON.parse(line) as PeakRow);
}

const keyOf = ({ network, scheme, blocks, batch, optimizer, threads, steps, budget }: Setting): string =>
  [network, scheme, blocks, batch, optimizer, threads, steps, budget].join(' ');

async function settingsOf({ networks, schemes, batches, optimizer, threads, steps, budget }: PeaksOptions) {
  const settings: Setting[] = [];
  for (const network of networks) {
    const { blocks } = await networkOf(network);
    for (const scheme of schemes) {
      const depth = scheme === 'head' || scheme === 'full' ? 0 : blocks;
      for (const batch of batches)
        settings.push({ network, scheme, blocks: depth, batch, optimizer, threads, steps, budget });
    }
  }
  return settings;
}

/** One of the benchmarks' networks, one of models/networks, or a path. */
async function networkOf(name: string): Promise<BenchNetwork> {
  const isExported = !benchNetworkNames.includes(name) && (await networkNames()).includes(name);
  return benchNetwork(isExported ? await materializeNetwork(name) : name);
}

async function measure(setting: Setting, images: string, folder: string): Promise<Outcome> {
  const { scheme, blocks, batch, optimizer, threads, steps, budget } = setting;
  const network = await networkOf(setting.network);
  const run = join(folder, 'run');
  const values = {
    ...{ data: join(images, 'train'), test: join(images, 'test'), run, scheme, blocks, batch, optimizer, threads },
    ...{ budget, 'image-size': network.size, 'max-steps': steps, epochs: steps, augment: 'flip', lr: LEARNING_RATE },
  };
  const flags = Object.entries(values).flatMap(([option, value]) => [`--${option}`, String(value)]);
  try {
    const result = await train(await commandLine(['train', await network.path(), ...flags, '--json']));
    if ('refusal' in result) return result;
    const plan = JSON.parse(await readFile(join(run, 'plan.json'), 'utf8')) as Plan;
    return {
      microBatch: plan.microBatch,
      plannedBytes: result.plannedTotalBytes,
      measuredBytes: result.maxRssBytes,
      plannedArenaBytes: result.plannedPeakBytes,
      arenaHighWaterBytes: result.arenaHighWaterBytes,
      bytes: plan.bytes,
    };
  } finally {
    await rm(run, { recursive: true, force: true });
  }
}

/** Exit code of the command line where no plan fits. */
const NO_PLAN = 3;

/** What it says then. */
interface Refusal {
  readonly error: { readonly message: string };
}

async function train(command: Command): Promise<TrainResult | { readonly refusal: string }> {
  const { code, said } = await runToEnd<TrainResult | Refusal>(command, [0, NO_PLAN]);
  return code === NO_PLAN ? { refusal: (said as Refusal).error.message.split('\n')[0] ?? '' } : (said as TrainResult);
}

const header = ['', 'batch', 'a pass', 'planned', 'measured', 'plan is', 'arena planned B', 'high water'];

function cellsOf({ setting: { network, scheme, blocks, batch }, outcome }: PeakRow): string[] {
  const what = `${network}, ${scheme}${blocks > 0 ? ` ${blocks}` : ''}`;
  if ('refusal' in outcome) return [what, String(batch), 'no plan fits:', outcome.refusal];
  const { microBatch, plannedBytes, measuredBytes, plannedArenaBytes, arenaHighWaterBytes } = outcome;
  const error = errorOf(outcome);
  return [
    what,
    ...[String(batch), String(microBatch), mib(plannedBytes), mib(measuredBytes)],
    `${error >= 0 ? '+' : ''}${(100 * error).toFixed(1)} %${isWithin(error) ? '' : ' !'}`,
    String(plannedArenaBytes),
    arenaHighWaterBytes === plannedArenaBytes ? 'equal' : String(arenaHighWaterBytes),
  ];
}

type Measured = Exclude<Outcome, { readonly refusal: string }>;

/** Of the plan, as a share of what was measured: positive where it is too much. */
const errorOf = ({ plannedBytes, measuredBytes }: Measured): number => plannedBytes / measuredBytes - 1;
const isWithin = (error: number): boolean => error <= MOST_OVER && error >= -MOST_UNDER;

function text({ optimizer, threads, steps, budget }: PeaksOptions, rows: readonly PeakRow[]): string {
  const measured = rows.flatMap(({ outcome }) => ('refusal' in outcome ? [] : [outcome]));
  const errors = measured.map(errorOf);
  const exact = measured.filter((row) => row.arenaHighWaterBytes === row.plannedArenaBytes);
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  return [
    `Peaks of training runs, whole process, MiB: ${steps} steps with ${optimizer}, ${threads} threads, plans of up to ${budget}`,
    factsText(facts()),
    '',
    table([header, ...rows.map(cellsOf)]),
    '',
    `${errors.filter(isWithin).length} of ${errors.length} plans within +${percent(MOST_OVER)} and -${percent(MOST_UNDER)} of the ` +
      `measurement: ${percent(Math.min(...errors))} to ${percent(Math.max(...errors))}; ` +
      `arena exact in ${exact.length} of ${measured.length}`,
  ].join('\n');
}
