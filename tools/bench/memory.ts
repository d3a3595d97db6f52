/**
 * @file Memory of whole training runs: the command line in a fresh process against what its plan predicted. What is left of
 * the peak when everything else planned is taken off is the process base, a constant of runtime/plan/accounting.ts.
 */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureEmoji } from '../../models/datasets/emoji.ts';
import type { Plan, TrainResult } from '../../runtime/index.ts';
import { processBaseBytes } from '../../runtime/plan/accounting.ts';
import { commandLine, runJson } from './launch.ts';
import { benchFolder, benchModel, datasetCache } from './places.ts';
import { facts, factsText, median, mib, table } from './report.ts';

export interface MemoryOptions {
  readonly size: number;
  readonly batch: number;
  readonly threads: number;
  readonly optimizer: string;
  readonly steps: number;
  /** Runs of each setting; the largest peak counts. */
  readonly repeat: number;
  /** Part of a setting's name; null: all of them. */
  readonly only: string | null;
  readonly json: boolean;
}

interface Row {
  readonly setting: string;
  readonly maxRssBytes: number;
  readonly plannedTotalBytes: number;
  /** Part of it that only writing the exported model takes. */
  readonly exportBytes: number;
  readonly plannedPeakBytes: number;
  readonly arenaHighWaterBytes: number;
  readonly impliedBaseBytes: number;
  readonly stepMillis: number;
}

/** Emoji in four styles: enough for two epochs of the largest batch. */
const TRAIN_IDS = 64;
const TEST_IDS = 32;

export async function memory(options: MemoryOptions): Promise<void> {
  const baseBytes = processBaseBytes(process.versions.node, options.threads);
  const { path } = await benchModel();
  const { train, test } = await ensureEmoji(datasetCache, {
    size: options.size,
    trainIds: TRAIN_IDS,
    testIds: TEST_IDS,
  });
  const rows: Row[] = [];
  for (const [setting, args] of settings(options)) {
    if (options.only !== null && !setting.includes(options.only)) continue;
    const runs: Row[] = [];
    for (let n = 0; n < options.repeat; n++)
      runs.push(await measure(setting, path, baseBytes, ['--data', train, '--test', test, ...args]));
    const row = runs.reduce((most, run) => (run.maxRssBytes > most.maxRssBytes ? run : most));
    rows.push(row);
    console.error(`${setting}: ${mib(row.maxRssBytes)} MiB`);
  }
  if (options.json) console.log(JSON.stringify({ memory: options, ...facts(), baseBytes, rows }));
  else console.log(text(options, baseBytes, rows));
}

function settings({ size, batch, threads, optimizer, steps }: MemoryOptions): [name: string, args: string[]][] {
  const setting = (
    name: string,
    changes: Readonly<Record<string, string | number>>,
    ...more: string[]
  ): [string, string[]] => {
    const values = {
      ...{
        'image-size': size,
        batch,
        threads,
        optimizer,
        'max-steps': steps,
        epochs: steps,
        augment: 'flip',
        lr: 1e-3,
      },
      ...changes,
    };
    return [name, [...Object.entries(values).flatMap(([option, value]) => [`--${option}`, String(value)]), ...more]];
  };
  const mobiletl = (blocks: number): Record<string, string | number> => ({ scheme: 'mobiletl', blocks });
  return [
    setting('head', { scheme: 'head', blocks: 0 }),
    setting('head, no cache', { scheme: 'head', blocks: 0 }, '--no-cache'),
    setting('shifts 17', { scheme: 'shifts', blocks: 17 }),
    ...[1, 3, 5, 17].map((blocks) => setting(`mobiletl ${blocks}`, mobiletl(blocks))),
    setting('mobiletl 5, no cache', mobiletl(5), '--no-cache'),
    setting('mobiletl 5, shift and colour', { ...mobiletl(5), augment: 'flip,shift:8,crop:0.8,colour:0.2' }),
    setting('mobiletl 5, batch 1', { ...mobiletl(5), batch: 1 }),
    setting('mobiletl 5, batch 32', { ...mobiletl(5), batch: 32 }),
    setting('mobiletl 5, Adam', { ...mobiletl(5), optimizer: 'adam' }),
  ];
}

async function measure(setting: string, model: string, baseBytes: number, args: readonly string[]): Promise<Row> {
  const run = join(benchFolder, `memory-${process.pid}`);
  await rm(run, { recursive: true, force: true });
  const command = await commandLine(['train', model, '--run', run, '--budget', '4GiB', ...args, '--json']);
  const result = await runJson<TrainResult>(command);
  const { totalBytes, bytes } = JSON.parse(await readFile(join(run, 'plan.json'), 'utf8')) as Plan;
  await rm(run, { recursive: true, force: true });
  const { maxRssBytes, plannedPeakBytes, arenaHighWaterBytes, stepMillis } = result;
  return {
    setting,
    maxRssBytes,
    plannedTotalBytes: totalBytes,
    exportBytes: bytes.export,
    plannedPeakBytes,
    arenaHighWaterBytes,
    impliedBaseBytes: maxRssBytes - (totalBytes - baseBytes),
    stepMillis: stepMillis.p50,
  };
}

function text(
  { size, batch, optimizer, steps, repeat }: MemoryOptions,
  baseBytes: number,
  rows: readonly Row[],
): string {
  const bases = rows.map(({ impliedBaseBytes }) => impliedBaseBytes);
  const lines = rows.map((row) => [
    row.setting,
    row.exportBytes > 0 ? 'writing' : 'training',
    mib(row.plannedTotalBytes),
    mib(row.maxRssBytes),
    mib(row.maxRssBytes - row.plannedTotalBytes),
    mib(row.impliedBaseBytes),
    String(row.plannedPeakBytes),
    row.arenaHighWaterBytes === row.plannedPeakBytes ? 'equal' : String(row.arenaHighWaterBytes),
    row.stepMillis.toFixed(0),
  ]);
  return [
    `Training MobileNetV2 at ${size} px, batch ${batch}, ${optimizer}, ${steps} steps; MiB of the whole process` +
      `${repeat > 1 ? `, the largest of ${repeat} runs` : ''}`,
    factsText(facts()),
    '',
    table([
      ['', 'peak in', 'planned', 'max RSS', 'over', 'base', 'arena planned B', 'high water', 'ms a step'],
      ...lines,
    ]),
    '',
    `base = max RSS less everything else that was planned: ${mib(Math.min(...bases))} to ${mib(Math.max(...bases))}, ` +
      `median ${mib(median(bases))}; the plan's base is ${mib(baseBytes)}`,
  ].join('\n');
}
