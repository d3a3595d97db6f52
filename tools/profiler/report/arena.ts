/** @file The arena at its fullest: of each category its largest buffers, then the rest. */
import type { PlannedRun } from '../record.ts';
import { bufferCategory, type Part } from './categories.ts';
import type { Figure, Table } from './figure.ts';
import { percentText, sizeText } from './quantities.ts';
import { waterfall } from './waterfall.ts';

/** Buffers that get a bar of their own. */
const BARS = 16;
/** Buffers in the table. */
const ROWS = 100;

type Buffer = PlannedRun['atPeak'][number];

/** Null where nothing was planned, or the plan names no buffers. */
export function arenaWaterfall(planned: PlannedRun | null): Figure | null {
  if (planned === null || planned.atPeak.length === 0) return null;
  const { atPeak, arenaBytes, peakStep } = planned;
  const largest = atPeak.toSorted((a, b) => b.bytes - a.bytes);
  const named = new Set(largest.slice(0, BARS));
  const parts = byCategory(largest).flatMap(([category, buffers]) => categoryParts(category, buffers, named));
  const unlisted = arenaBytes - sum(atPeak);
  const gaps: readonly Part[] = unlisted > 0 ? [{ label: 'Gaps and others', bytes: unlisted, colour: 6 }] : [];
  return {
    ...waterfall([...parts, ...gaps], 'Arena', Math.max(arenaBytes, sum(atPeak))),
    id: 'arena',
    title: 'Arena at its fullest',
    note: `Planned step: ${peakStep}. Colours as in the categories of the process.`,
    table: bufferTable(largest, arenaBytes),
  };
}

/** A bar for each named buffer of a category and one for the others. */
function categoryParts(category: string, buffers: readonly Buffer[], named: ReadonlySet<Buffer>): readonly Part[] {
  const { label, colour } = bufferCategory(category);
  const own = buffers.filter((buffer) => named.has(buffer)).map(({ name, bytes }) => ({ label: name, bytes, colour }));
  const rest = buffers.filter((buffer) => !named.has(buffer));
  if (rest.length === 0) return own;
  const more = own.length > 0 ? `${rest.length} more` : `${rest.length}`;
  return [...own, { label: `${label}: ${more}`, bytes: sum(rest), colour }];
}

const sum = (buffers: readonly Buffer[]): number => buffers.reduce((total, { bytes }) => total + bytes, 0);

/** Largest category first; buffers keep their order. */
function byCategory(buffers: readonly Buffer[]): readonly (readonly [category: string, buffers: readonly Buffer[]])[] {
  const groups = new Map<string, Buffer[]>();
  for (const buffer of buffers) {
    const group = groups.get(buffer.category);
    if (group) group.push(buffer);
    else groups.set(buffer.category, [buffer]);
  }
  return [...groups].sort(([, a], [, b]) => sum(b) - sum(a));
}

function bufferTable(largest: readonly Buffer[], arenaBytes: number): Table {
  const share = (bytes: number): string => (arenaBytes > 0 ? percentText(bytes / arenaBytes) : '');
  const rest = largest.slice(ROWS);
  return {
    head: ['Buffer', 'Category', 'Bytes', 'Share'],
    rows: [
      ...largest
        .slice(0, ROWS)
        .map(({ name, category, bytes }) => [name, bufferCategory(category).label, sizeText(bytes), share(bytes)]),
      ...(rest.length > 0 ? [[`${rest.length} more`, '', sizeText(sum(rest)), share(sum(rest))]] : []),
    ],
    words: 2,
  };
}
