/**
 * @file The whole comparison: every network, batch and scheme beside everybody else, then the stages of its step and its time
 * over the batch. Hours long; every part can be left out.
 */

import { readFile } from 'node:fs/promises';
import { freemem } from 'node:os';
import type { SchemeName } from '../../runtime/index.ts';
import { prepareTraining } from '../../runtime/train/prepare.ts';
import { type BatchesReport, batchesText, measureBatches } from './batches.ts';
import { benchNetwork } from './networks.ts';
import { facts, factsText, mib, table } from './report.ts';
import { measureStages, type StagesReport, stagesText } from './stages.ts';
import {
  type Against,
  CLASSES,
  measureStep,
  type StepOptions,
  type StepReport,
  stepCells,
  stepHeader,
  TFJS,
  verdicts,
} from './step.ts';
import { stepConfig } from './step-options.ts';

export interface TableOptions {
  readonly networks: readonly string[];
  readonly batches: readonly number[];
  readonly schemes: readonly SchemeName[];
  readonly against: readonly Against[];
  readonly threads: number;
  readonly rounds: number;
  readonly steps: number;
  /** Whether the stages of each network's step follow, and its time over the batch. */
  readonly stages: boolean;
  readonly json: boolean;
}

/** A comparison that would take more memory than there is. */
interface Skipped {
  readonly batch: number;
  readonly scheme: SchemeName;
  readonly neededBytes: number;
  readonly freeBytes: number;
}

interface NetworkReport {
  readonly model: string;
  readonly title: string;
  readonly size: number;
  readonly blocks: number;
  readonly comparisons: readonly StepReport[];
  readonly skipped: readonly Skipped[];
  readonly stages: StagesReport | null;
  readonly overBatch: BatchesReport | null;
}

/** What the stages and the cached features are shown for. */
const STAGES = { scheme: 'mobiletl', batch: 8 } as const;

/** Prints each network's table as soon as it is measured, or everything as JSON at the end. */
export async function compareAll(options: TableOptions): Promise<void> {
  const before = facts();
  if (!options.json) console.log(factsText(before));
  const networks: NetworkReport[] = [];
  for (const model of options.networks) {
    const report = await measureNetwork(model, options);
    networks.push(report);
    if (!options.json) console.log(`\n${networkText(report, options)}`);
  }
  if (options.json) console.log(JSON.stringify({ table: options, ...before, networks }));
}

async function measureNetwork(model: string, options: TableOptions): Promise<NetworkReport> {
  const { threads, rounds, steps, against, batches } = options;
  const { title, size, blocks } = await benchNetwork(model);
  const common = { model, blocks: null, size: null, threads, rounds, steps };
  const comparisons: StepReport[] = [];
  const skipped: Skipped[] = [];
  // Schemes that were too much for TensorFlow.js at a smaller batch.
  const beaten = new Set<SchemeName>();
  for (const batch of batches.toSorted((a, b) => a - b)) {
    for (const scheme of options.schemes) {
      console.error(`${title}, batch ${batch}, ${scheme}`);
      const cached = scheme === STAGES.scheme && batch === STAGES.batch;
      const able = against.filter((name) => name !== 'tfjs' || !beaten.has(scheme));
      const asked: StepOptions = { ...common, scheme, batch, against: able, cached };
      const [neededBytes, freeBytes] = [await memoryNeeded(asked), await memoryFree()];
      if (neededBytes > freeBytes) {
        skipped.push({ batch, scheme, neededBytes, freeBytes });
        continue;
      }
      const report = await measureStep(asked);
      comparisons.push(report);
      if (report.rows.some(({ name, millis }) => name === TFJS && !millis)) beaten.add(scheme);
    }
  }
  const shown = options.stages && options.schemes.includes(STAGES.scheme);
  const [smallest, largest] = [Math.min(...batches), Math.max(...batches)];
  return {
    ...{ model, title, size, blocks, comparisons, skipped },
    stages: shown && batches.includes(STAGES.batch) ? await measureStages({ ...common, ...STAGES }) : null,
    overBatch:
      shown && largest > smallest
        ? await measureBatches({ ...common, ...STAGES, batches: powersBetween(smallest, largest) })
        : null,
  };
}

/** Powers of two from the first batch to the last, both included. */
export function powersBetween(smallest: number, largest: number): number[] {
  const powers: number[] = [];
  for (let batch = smallest; batch < largest; batch *= 2) powers.push(batch);
  return [...powers, largest];
}

/** An interpreter with its libraries and a model beside what a step takes. */
const PROCESS_BYTES = 400 << 20;

/** Plain fine-tuning elsewhere holds gradients beside what it keeps: measured 1.4 times that (EfficientNet-B0, batch 32). */
const PLAIN_FACTOR = 1.5;

/** What all contenders together will hold, at the most: from plans, since none of them has run. */
async function memoryNeeded(options: StepOptions): Promise<number> {
  const { model, scheme, batch, threads, against, cached } = options;
  const network = await benchNetwork(model);
  const plans: { readonly ours: number; readonly plain: number }[] = [];
  for (const planned of [scheme, 'full'] as const) {
    const { size, blocks } = network;
    const parts = { model: await network.path(), size, blocks, batch, threads, cached, classes: CLASSES };
    const { plan } = await prepareTraining(stepConfig({ ...parts, scheme: planned }), CLASSES);
    const plain = plan.blocks.reduce((sum, { plainStoredBytes }) => sum + plainStoredBytes, 0);
    plans.push({ ours: plan.totalBytes, plain: PROCESS_BYTES + PLAIN_FACTOR * plain });
  }
  const [same, full] = plans as [(typeof plans)[number], (typeof plans)[number]];
  const torch = against.includes('torch') ? 2 * same.plain + (scheme === 'full' ? 0 : 2 * full.plain) : 0;
  const tfjs = against.includes('tfjs') ? same.plain : 0;
  const bare = against.includes('onnxruntime') ? PROCESS_BYTES : 0;
  return (cached ? 2 : 1) * same.ours + torch + tfjs + bare;
}

/** Bytes that processes can take without swapping. */
async function memoryFree(): Promise<number> {
  const text = await readFile('/proc/meminfo', 'utf8').catch(() => '');
  const [, kibibytes] = /^MemAvailable:\s+(\d+) kB$/m.exec(text) ?? [];
  return kibibytes === undefined ? freemem() : 1024 * Number(kibibytes);
}

function networkText(report: NetworkReport, { threads }: TableOptions): string {
  const { title, size, blocks, comparisons, skipped, stages, overBatch } = report;
  const rows = comparisons.flatMap(({ options: { batch, scheme }, rows }) =>
    rows.map((row) => {
      const [name = '', ...cells] = stepCells(row);
      return [`batch ${batch}, ${scheme}: ${name}`, ...cells];
    }),
  );
  return [
    `${title}, ${size} px, ${threads} threads, SGD with momentum; shifts and mobiletl with the top ${blocks} blocks`,
    '',
    table([stepHeader, ...rows]),
    '',
    ...comparisons.flatMap((comparison) => {
      const { batch, scheme } = comparison.options;
      return verdicts(comparison).map((line) => `batch ${batch}, ${scheme}: ${line}`);
    }),
    ...skipped.map(
      ({ batch, scheme, neededBytes, freeBytes }) =>
        `batch ${batch}, ${scheme}: left out, since all together may take ${mib(neededBytes)} MiB of ${mib(freeBytes)}`,
    ),
    ...(stages ? ['', stagesText(stages)] : []),
    ...(overBatch ? ['', batchesText(overBatch)] : []),
  ].join('\n');
}
