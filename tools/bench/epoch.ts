/** @file Epochs of training, data and all, against the sum of their steps and against steps that need no data. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureEmoji } from '../../models/datasets/emoji.ts';
import type { EpochRun, EpochRunOptions, EpochSetting, MeasuredEpoch } from './epoch-run.ts';
import { nodeProgram, runJson } from './launch.ts';
import { benchFolder, benchModel, datasetCache, program } from './places.ts';
import { facts, factsText, median, mib, table } from './report.ts';

/** `images`: of an epoch; `rounds`: epochs of each setting, in turns. */
export interface EpochOptions extends Omit<EpochRunOptions, 'model' | 'data' | 'run' | 'settings'> {
  readonly json: boolean;
}

const settings: Readonly<Record<string, EpochSetting>> = {
  plain: { augment: 'none', cacheFeatures: false },
  'flip, shift, crop, colour': { augment: 'flip,shift:8,crop:0.8,colour:0.2', cacheFeatures: false },
  'cached features': { augment: 'none', cacheFeatures: true },
  'cached features, 8 bits': { augment: 'none', cacheFeatures: '8bit' },
};

interface Row {
  readonly setting: string;
  readonly steps: number;
  /** Of an epoch, for each of its steps. */
  readonly millisPerStep: number;
  /** Of the epoch. */
  readonly overSteps: number;
  readonly overBareSteps: number;
}

/** Repeats each setting in turns on one engine, prints a table or JSON. */
export async function epoch(options: EpochOptions): Promise<void> {
  const { json, ...measured } = options;
  const [{ path }, { train }] = [await benchModel(), await ensureEmoji(datasetCache)];
  const run = join(benchFolder, `epoch-${process.pid}`);
  const request: EpochRunOptions = { ...measured, model: path, data: train, run, settings };
  const command = await nodeProgram(program('epoch-run'), [JSON.stringify(request)]);
  const { epochs, ...memory } = await runJson<EpochRun>(command).finally(() =>
    rm(run, { recursive: true, force: true }),
  );
  const rows = Object.entries(epochs).map(([setting, taken]) => row(setting, taken));
  if (json) console.log(JSON.stringify({ epoch: rows, ...memory, options: measured, ...facts() }));
  else console.log(text(rows, memory, options));
}

/** Ratios are medians over the rounds, each within its own round. */
function row(setting: string, epochs: readonly MeasuredEpoch[]): Row {
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const steps = epochs[0]?.stepMillis.length ?? 0;
  return {
    setting,
    steps,
    millisPerStep: median(epochs.map(({ millis }) => millis / steps)),
    overSteps: median(epochs.map(({ millis, stepMillis }) => millis / sum(stepMillis))),
    overBareSteps: median(epochs.map(({ millis, bareMillis }) => millis / bareMillis)),
  };
}

function text(rows: readonly Row[], memory: Omit<EpochRun, 'epochs'>, options: EpochOptions): string {
  const { scheme, blocks, batch, size, threads, images, rounds } = options;
  return [
    `${scheme}, ${blocks} blocks, ${size} px, batch ${batch}, ${threads} threads, ${images} images; ${factsText(facts())}`,
    `medians of ${rounds} epochs in turns; peak ${mib(memory.maxRssBytes)} MiB, planned ${mib(memory.plannedTotalBytes)}`,
    '',
    table([
      ['epoch', 'steps', 'ms a step', '/ its steps', '/ bare steps'],
      ...rows.map(({ setting, steps, millisPerStep, overSteps, overBareSteps }) => [
        setting,
        `${steps}`,
        ...[millisPerStep.toFixed(1), overSteps.toFixed(3), overBareSteps.toFixed(3)],
      ]),
    ]),
  ].join('\n');
}
