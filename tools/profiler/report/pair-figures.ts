/** @file Bars of two runs beside each other. */
import type { ProfileRecord } from '../record.ts';
import { plannedParts } from './categories.ts';
import type { Figure } from './figure.ts';
import { changeText, durationText, mebibytes, sizeText } from './quantities.ts';
import { timeGroups } from './time-bars.ts';

/** Names with one value of each run; a name that a run does not have counts 0. */
type Pairs = ReadonlyMap<string, readonly [a: number, b: number]>;

function pairs(a: readonly (readonly [string, number])[], b: readonly (readonly [string, number])[]): Pairs {
  const [ofA, ofB] = [new Map(a), new Map(b)];
  const names = new Set([...ofA.keys(), ...ofB.keys()]);
  return new Map([...names].map((name) => [name, [ofA.get(name) ?? 0, ofB.get(name) ?? 0] as const]));
}

export function categoryPairs(a: ProfileRecord, b: ProfileRecord): Figure | null {
  const parts = ({ planned }: ProfileRecord) =>
    planned === null ? [] : plannedParts(planned.bytes).map(({ label, bytes }) => [label, bytes] as const);
  return pairFigure('categories', 'Planned peak, by category', pairs(parts(a), parts(b)), memoryScale);
}

export function blockPairs(a: ProfileRecord, b: ProfileRecord): Figure | null {
  const blocks = ({ planned }: ProfileRecord) =>
    (planned?.blocks ?? []).map(({ name, storedBytes }) => [name, storedBytes] as const);
  return pairFigure('blocks', 'Stored for backward, by block', pairs(blocks(a), blocks(b)), memoryScale);
}

export function opPairs(a: ProfileRecord, b: ProfileRecord): Figure | null {
  const ops = ({ steps }: ProfileRecord) =>
    timeGroups(steps, 'op', Number.POSITIVE_INFINITY).map(({ name, millis }) => [name, millis] as const);
  return pairFigure('ops', 'Time of a step, by op', pairs(ops(a), ops(b)), timeScale);
}

interface Scale {
  readonly title: string;
  readonly unit: string;
  readonly drawn: (value: number) => number;
  readonly text: (value: number | null) => string;
}

const memoryScale: Scale = { title: 'Memory (MiB)', unit: 'MiB', drawn: mebibytes, text: sizeText };
const timeScale: Scale = {
  title: 'Time (ms)',
  unit: 'ms',
  drawn: (millis) => Number(millis.toPrecision(4)),
  text: durationText,
};

/** Rows of a chart: those with the highest values. */
const ROWS = 20;

/** Two bars a row; null if all are 0. */
function pairFigure(id: string, title: string, all: Pairs, { title: x, unit, drawn, text }: Scale): Figure | null {
  const some = [...all].filter(([, [a, b]]) => a > 0 || b > 0);
  if (some.length === 0) return null;
  const highest = some.toSorted(([, one], [, other]) => Math.max(...other) - Math.max(...one)).slice(0, ROWS);
  const shown = some.filter((row) => highest.includes(row));
  const sum = (which: 0 | 1): number => some.reduce((total, [, pair]) => total + pair[which], 0);
  return {
    id,
    title,
    summary: `Two bars for each of ${shown.length} rows. Together A ${text(sum(0))}, B ${text(sum(1))}.`,
    chart: {
      kind: 'bars',
      x,
      unit,
      labels: shown.map(([name]) => name),
      bars: [
        { label: 'A', colour: 0, values: shown.map(([, [a]]) => drawn(a)) },
        { label: 'B', colour: 1, values: shown.map(([, [, b]]) => drawn(b)) },
      ],
      stacked: false,
      rules: [],
    },
    table: {
      head: ['Name', 'A', 'B', 'B against A'],
      rows: some.map(([name, [a, b]]) => [name, text(a), text(b), changeText(a, b)]),
      words: 1,
    },
    note: [
      ...(shown.length < some.length ? [`The ${shown.length} highest of ${some.length}.`] : []),
      ...(['A', 'B'] as const).flatMap((name, at) => (sum(at as 0 | 1) === 0 ? [`Nothing is known of ${name}.`] : [])),
    ].join(' '),
  };
}
