/** @file Pressure, power, temperature and clock over time, a chart for each that was measured and not 0 throughout. */
import type { ProfileRecord } from '../record.ts';
import type { Figure } from './figure.ts';
import { memoryExtent } from './memory.ts';
import { fewDigits, UNKNOWN } from './quantities.ts';
import { drawnLines, type Line, linesSummary, linesTable, measuredLines } from './time-lines.ts';

interface Quantity {
  readonly id: string;
  readonly title: string;
  readonly unit: string;
  readonly line: Line;
}

const quantities: readonly Quantity[] = [
  {
    id: 'pressure',
    title: 'Waiting for memory (PSI)',
    unit: '%',
    line: { label: 'Some, last 10 s', colour: 1, of: ({ pressure }) => (pressure === null ? null : 100 * pressure) },
  },
  { id: 'power', title: 'Power', unit: 'W', line: { label: 'Power', colour: 0, of: ({ watts }) => watts } },
  {
    id: 'temperature',
    title: 'Temperature',
    unit: '°C',
    line: { label: 'Hottest zone', colour: 1, of: ({ celsius }) => celsius },
  },
  { id: 'clock', title: 'Clock', unit: 'MHz', line: { label: 'Mean', colour: 2, of: ({ megahertz }) => megahertz } },
];

export function boardFigures(record: ProfileRecord): readonly Figure[] {
  const { samples } = record;
  const end = memoryExtent(record).seconds;
  return quantities.flatMap(({ id, title, unit, line }) => {
    const lines = measuredLines([line], samples);
    if (lines.length === 0 || samples.every((sample) => (line.of(sample) ?? 0) === 0)) return [];
    const text = (value: number | null): string => (value === null ? UNKNOWN : `${fewDigits(value)} ${unit}`);
    return [
      {
        id,
        title,
        summary: linesSummary(samples, lines, text),
        chart: {
          ...drawnLines(samples, lines, (value) => Number(value.toPrecision(4))),
          y: unit,
          unit,
          end,
          most: 0,
          rules: [],
          moments: [],
        },
        table: linesTable(samples, lines, text),
        note: '',
      },
    ];
  });
}
