/** @file edgeshift's step at several batches, in turns within one run: is its time a straight line over the batch? */
import { type Linearity, linearity } from './breakdown.ts';
import { Contender } from './contender.ts';
import { benchNetwork } from './networks.ts';
import { facts, factsText, median, mib, table } from './report.ts';
import { compare } from './rounds.ts';
import { oursCommand, type StepOptions } from './step.ts';
import type { StepServerReady } from './step-options.ts';

export interface BatchesOptions extends Omit<StepOptions, 'batch' | 'against' | 'cached'> {
  readonly batches: readonly number[];
}

export interface BatchesReport {
  readonly title: string;
  readonly points: readonly {
    readonly batch: number;
    readonly millis: number;
    readonly maxRssBytes: number;
    readonly plannedTotalBytes: number;
  }[];
  readonly line: Linearity;
}

export async function batches(options: BatchesOptions & { readonly json: boolean }): Promise<void> {
  const before = facts();
  const report = await measureBatches(options);
  if (options.json) console.log(JSON.stringify({ batches: options, ...before, ...report }));
  else console.log([batchesText(report), factsText(before)].join('\n\n'));
}

export async function measureBatches(options: BatchesOptions): Promise<BatchesReport> {
  const network = await benchNetwork(options.model);
  const path = await network.path();
  const settings = { ...options, blocks: options.blocks ?? network.blocks, size: options.size ?? network.size };
  const running: Contender[] = [];
  try {
    for (const batch of options.batches) {
      const command = await oursCommand({ ...settings, batch, path }, false);
      running.push(await Contender.start(String(batch), command));
    }
    const { measured } = await compare(running, options.rounds, options.steps);
    const points = measured.map(({ name, rounds, maxRssBytes, ready }) => ({
      batch: Number(name),
      millis: median(rounds.flat()),
      maxRssBytes,
      plannedTotalBytes: (ready as unknown as StepServerReady).plannedTotalBytes,
    }));
    return { title: network.title, points, line: linearity(points) };
  } finally {
    for (const contender of running) contender.kill();
  }
}

export function batchesText({ title, points, line }: BatchesReport): string {
  const { fixedMillis, imageMillis, deviation, smallestToLargest } = line;
  const rows = points.map(({ batch, millis, maxRssBytes, plannedTotalBytes }) => [
    ...[String(batch), millis.toFixed(1), (millis / batch).toFixed(2)],
    ...[(millis / (fixedMillis + imageMillis * batch)).toFixed(3), mib(maxRssBytes), mib(plannedTotalBytes)],
  ]);
  return [
    `${title}: time of a step over the batch`,
    '',
    table([['batch', 'median ms', 'ms an image', 'of the line', 'max RSS MiB', 'planned MiB'], ...rows]),
    '',
    `The line is ${fixedMillis.toFixed(1)} ms and ${imageMillis.toFixed(2)} ms an image; no batch is further from it than ` +
      `${(100 * deviation).toFixed(1)} %. An image takes ${smallestToLargest.toFixed(2)} times as long in the smallest batch ` +
      'as in the largest.',
  ].join('\n');
}
