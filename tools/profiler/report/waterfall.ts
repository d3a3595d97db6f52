/** @file Bars that begin where the one above ends: the planned peak of the process by category. */
import type { ProfileRecord } from '../record.ts';
import { type Part, plannedParts } from './categories.ts';
import type { Colour, Rule } from './chart-data.ts';
import type { Figure } from './figure.ts';
import { mebibytes, percentText, sizeText } from './quantities.ts';

const TOTAL_COLOUR: Colour = 6;
/** A cap further above the plan than this would leave no room for the bars. */
const HIGHEST_CAP = 3;

/** Null where nothing was planned. */
export function processWaterfall({ planned, peak, limit }: ProfileRecord): Figure | null {
  if (planned === null) return null;
  const parts = plannedParts(planned.bytes).filter(({ bytes }) => bytes > 0);
  const cap = limit.memoryBytes;
  const near = cap !== null && cap <= HIGHEST_CAP * planned.totalBytes;
  const rules: readonly Rule[] = [
    ...(near ? [{ label: 'Cap', value: mebibytes(cap), drawn: 'dashed' } as const] : []),
    ...(peak.rssBytes > 0
      ? [{ label: 'Measured peak (RSS)', value: mebibytes(peak.rssBytes), drawn: 'dotted' } as const]
      : []),
  ];
  const bars = waterfall(parts, 'Planned peak', planned.totalBytes, rules);
  return { id: 'process', title: 'Planned peak of the process', note: '', ...bars };
}

/** The parts one after the other and their total, as chart, table and sentence. */
export function waterfall(
  parts: readonly Part[],
  totalLabel: string,
  totalBytes: number,
  rules: readonly Rule[] = [],
): Pick<Figure, 'summary' | 'chart' | 'table'> {
  let end = 0;
  const spans = parts.map(({ bytes }) => {
    const start = end;
    end += bytes;
    return [mebibytes(start), mebibytes(end)] as const;
  });
  const share = (bytes: number): string => (totalBytes > 0 ? percentText(bytes / totalBytes) : '');
  const largest = parts.toSorted((a, b) => b.bytes - a.bytes)[0];
  return {
    summary:
      `Bars that add up to ${sizeText(totalBytes)} in ${parts.length} parts` +
      `${largest === undefined ? '' : `; the largest is ${largest.label} with ${sizeText(largest.bytes)}`}.`,
    chart: {
      kind: 'bars',
      x: 'Memory (MiB)',
      unit: 'MiB',
      labels: [...parts.map(({ label }) => label), totalLabel],
      bars: [
        {
          label: 'Memory',
          colour: [...parts.map(({ colour }) => colour), TOTAL_COLOUR],
          values: [...spans, [0, mebibytes(totalBytes)]],
        },
      ],
      stacked: false,
      rules,
    },
    table: {
      head: ['Part', 'Bytes', 'Share'],
      rows: [
        ...parts.map(({ label, bytes }) => [label, sizeText(bytes), share(bytes)]),
        [totalLabel, sizeText(totalBytes), share(totalBytes)],
      ],
      words: 1,
    },
  };
}
