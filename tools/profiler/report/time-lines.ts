/** @file Lines over time from a record's samples: the chart's part of them, their table, and a sentence. */
import type { Sample } from '../record.ts';
import type { Colour, LineChart } from './chart-data.ts';
import type { Table } from './figure.ts';
import { durationText } from './quantities.ts';
import { type Row, thinned } from './thin.ts';

export interface Line {
  readonly label: string;
  readonly colour: Colour;
  readonly of: (sample: Sample) => number | null;
}

/** How a value is written; null: not measured. */
export type ValueText = (value: number | null) => string;

/** Rows of the table behind a chart. */
const TABLE_ROWS = 30;

/** Lines of which at least one value was measured. */
export function measuredLines(lines: readonly Line[], samples: readonly Sample[]): readonly Line[] {
  return lines.filter(({ of }) => samples.some((sample) => of(sample) !== null));
}

/** @param rounded a value as it is drawn; what is not needed makes the page larger */
export function drawnLines(
  samples: readonly Sample[],
  lines: readonly Line[],
  rounded: (value: number) => number,
): Pick<LineChart, 'kind' | 'x' | 'at' | 'lines'> {
  const rows = thinned(rowsOf(samples, lines));
  const value = (row: Row, line: number): number | null => {
    const measured = row.values[line] ?? null;
    return measured === null ? null : rounded(measured);
  };
  return {
    kind: 'lines',
    x: 'Time (s)',
    at: rows.map(({ at }) => at / 1000),
    lines: lines.map(({ label, colour }, line) => ({ label, colour, values: rows.map((row) => value(row, line)) })),
  };
}

/** The highest value of each line, as a sentence. */
export function linesSummary(samples: readonly Sample[], lines: readonly Line[], text: ValueText): string {
  const rows = rowsOf(samples, lines);
  const peaks = lines.map(({ label }, line) => `${label} ${text(highest(rows, line))}`);
  return `Lines over ${durationText(samples.at(-1)?.at ?? 0)}. Highest: ${peaks.join(', ')}.`;
}

/** The highest value of each line in equal stretches of the samples. */
export function linesTable(samples: readonly Sample[], lines: readonly Line[], text: ValueText): Table {
  const rows = rowsOf(samples, lines);
  const stretch = Math.max(1, Math.ceil(rows.length / TABLE_ROWS));
  const starts = rows.flatMap((_, place) => (place % stretch === 0 ? [place] : []));
  const whole = stretch === 1;
  return {
    head: [whole ? 'Second' : 'From second', ...lines.map(({ label }) => (whole ? label : `${label}, highest`))],
    rows: starts.map((start) => {
      const part = rows.slice(start, start + stretch);
      const second = ((part[0]?.at ?? 0) / 1000).toFixed(1);
      return [second, ...lines.map((_, line) => text(highest(part, line)))];
    }),
    words: 1,
  };
}

const rowsOf = (samples: readonly Sample[], lines: readonly Line[]): readonly Row[] =>
  samples.map((sample) => ({ at: Math.round(sample.at), values: lines.map(({ of }) => of(sample)) }));

function highest(rows: readonly Row[], line: number): number | null {
  let most: number | null = null;
  for (const { values } of rows) {
    const value = values[line] ?? null;
    if (value !== null && (most === null || value > most)) most = value;
  }
  return most;
}
