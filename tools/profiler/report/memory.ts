/** @file Memory over time against the cap and the plan, with what the command did meanwhile. */
import type { Mark, ProfileRecord } from '../record.ts';
import type { Moment, Rule } from './chart-data.ts';
import type { Figure } from './figure.ts';
import { mebibytes, sizeText } from './quantities.ts';
import { drawnLines, type Line, linesSummary, linesTable, measuredLines } from './time-lines.ts';

const memoryLines: readonly Line[] = [
  { label: 'Control group', colour: 1, of: ({ cgroupBytes }) => cgroupBytes },
  { label: 'Resident (RSS)', colour: 0, of: ({ rssBytes }) => rssBytes },
  { label: 'Proportional (PSS)', colour: 3, of: ({ pssBytes }) => pssBytes },
  { label: 'JavaScript heap', colour: 2, of: ({ heapBytes }) => heapBytes },
];

/** A limit further above the memory than this would press the lines to the ground; it is told in words instead. */
const HIGHEST_RULE = 3;

/** Ends of a chart's axes. Two charts that share them can be compared by eye. */
export interface Extent {
  readonly seconds: number;
  readonly bytes: number;
}

/** As far as the chart of a record needs: to its end, and to its highest line, cap or plan. */
export function memoryExtent(record: ProfileRecord): Extent {
  const { millis, samples, marks } = record;
  let highest = 0;
  for (const sample of samples) for (const { of } of memoryLines) highest = Math.max(highest, of(sample) ?? 0);
  const near = limits(record).filter(({ bytes }) => bytes <= HIGHEST_RULE * highest);
  return {
    seconds: Math.max(millis, samples.at(-1)?.at ?? 0, marks.at(-1)?.at ?? 0) / 1000,
    bytes: Math.max(highest, ...near.map(({ bytes }) => bytes)),
  };
}

/** Null if nothing was sampled. */
export function memoryFigure(
  record: ProfileRecord,
  id: string,
  title: string,
  extent: Extent = memoryExtent(record),
): Figure | null {
  const { samples, marks } = record;
  const lines = measuredLines(memoryLines, samples);
  if (lines.length === 0) return null;
  const shown = limits(record).filter(({ bytes }) => bytes <= extent.bytes);
  const above = limits(record).filter(({ bytes }) => bytes > extent.bytes);
  return {
    id,
    title,
    summary: linesSummary(samples, lines, sizeText),
    chart: {
      ...drawnLines(samples, lines, mebibytes),
      y: 'Memory (MiB)',
      unit: 'MiB',
      end: extent.seconds,
      most: mebibytes(extent.bytes),
      rules: shown.map(({ label, bytes, drawn }) => ({ label, value: mebibytes(bytes), drawn })),
      moments: moments(marks),
    },
    table: linesTable(samples, lines, sizeText),
    note: above.map(({ label, bytes }) => `${label} (${sizeText(bytes)}): above what is drawn.`).join(' '),
  };
}

interface Limit {
  readonly label: string;
  readonly bytes: number;
  readonly drawn: Rule['drawn'];
}

function limits({ limit, planned }: ProfileRecord): readonly Limit[] {
  return [
    ...(limit.memoryBytes === null ? [] : [{ label: 'Cap', bytes: limit.memoryBytes, drawn: 'dashed' } as const]),
    ...(planned === null ? [] : [{ label: 'Planned peak', bytes: planned.totalBytes, drawn: 'dotted' } as const]),
  ];
}

/** Marks of one kind that get a line; of more of them some, evenly spread. */
const MOMENTS = 12;

/** Marks worth a line: of steps the first, of others some; evaluations are those of the epochs where there are any. */
function moments(marks: readonly Mark[]): readonly Moment[] {
  const byKind = new Map<Mark['kind'], Mark[]>();
  for (const mark of marks) {
    const alike = byKind.get(mark.kind);
    if (alike) alike.push(mark);
    else byKind.set(mark.kind, [mark]);
  }
  return [...byKind]
    .filter(([kind]) => kind !== 'evaluated' || !byKind.has('epoch'))
    .flatMap(([kind, alike]) => (kind === 'step' ? alike.slice(0, 1) : spread(alike, MOMENTS)))
    .sort((a, b) => a.at - b.at)
    .map(({ at, kind, number }) => ({ at: Math.round(at) / 1000, label: number > 0 ? `${kind} ${number}` : kind }));
}

/** At most `most` of a list, evenly spread; the last is among them. */
function spread<T>(list: readonly T[], most: number): readonly T[] {
  const every = Math.ceil(list.length / most);
  return list.filter((_, place) => (list.length - 1 - place) % every === 0);
}
