/** @file Bars for each block of the network: what it keeps for its backward pass. */
import type { PlannedRun } from '../record.ts';
import type { Figure } from './figure.ts';
import { mebibytes, percentText, sizeText } from './quantities.ts';

/** Bars at most: those that store the most, in the network's order. */
const BARS = 32;

/** Null where no block stores anything. */
export function blocksFigure(planned: PlannedRun | null): Figure | null {
  const storing = (planned?.blocks ?? []).filter(({ storedBytes }) => storedBytes > 0);
  if (planned === null || storing.length === 0) return null;
  const largest = new Set(storing.toSorted((a, b) => b.storedBytes - a.storedBytes).slice(0, BARS));
  const shown = storing.filter((block) => largest.has(block));
  const others = storing.filter((block) => !largest.has(block));
  const total = stored(storing);
  const rows = [
    ...shown.map(({ name, storedBytes }) => ({ label: name, bytes: storedBytes })),
    ...(others.length > 0 ? [{ label: `${others.length} others`, bytes: stored(others) }] : []),
  ];
  const nothing = planned.blocks.length - storing.length;
  return {
    id: 'blocks',
    title: 'Stored for backward, by block',
    summary: `A bar for each of ${rows.length} blocks; together ${sizeText(total)}.`,
    chart: {
      kind: 'bars',
      x: 'Memory (MiB)',
      unit: 'MiB',
      labels: rows.map(({ label }) => label),
      bars: [{ label: 'Stored', colour: 1, values: rows.map(({ bytes }) => mebibytes(bytes)) }],
      stacked: false,
      rules: [],
    },
    table: {
      head: ['Block', 'Stored', 'Share'],
      rows: rows.map(({ label, bytes }) => [label, sizeText(bytes), percentText(bytes / total)]),
      words: 1,
    },
    note:
      `Together ${sizeText(total)} at micro-batch ${planned.microBatch}.` +
      (nothing > 0 ? ` ${nothing === 1 ? '1 block stores' : `${nothing} blocks store`} nothing.` : ''),
  };
}

const stored = (blocks: PlannedRun['blocks']): number => blocks.reduce((sum, { storedBytes }) => sum + storedBytes, 0);
