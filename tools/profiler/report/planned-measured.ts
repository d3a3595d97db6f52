/** @file Planned beside measured bytes by category, as far as both are known apart. */
import type { ProfileRecord, Sample } from '../record.ts';
import { plannedParts } from './categories.ts';
import type { Table } from './figure.ts';
import { changeText, durationText, sizeText } from './quantities.ts';

export interface PlannedMeasured {
  readonly label: string;
  /** Null: not planned as such, or not planned at all. */
  readonly planned: number | null;
  /** Null: not measured apart. */
  readonly measured: number | null;
}

export interface PlannedMeasuredGroup {
  readonly title: string;
  readonly rows: readonly PlannedMeasured[];
}

/**
 * What was planned and measured as the same quantity, then the plan's categories, then what the system tells apart in the sample
 * with the highest RSS. Groups without rows are left out.
 */
export function plannedMeasured(record: ProfileRecord): readonly PlannedMeasuredGroup[] {
  const sample = highestSample(record.samples);
  const parts = record.planned === null ? [] : plannedParts(record.planned.bytes);
  const groups: readonly PlannedMeasuredGroup[] = [
    { title: 'Compared', rows: comparedRows(record) },
    {
      title: 'Parts of the plan',
      rows: parts
        .filter(({ bytes }) => bytes > 0)
        .map(({ label, bytes }) => ({ label, planned: bytes, measured: null })),
    },
    {
      title: `Parts of the highest sample${sample === null ? '' : `, at ${durationText(sample.at)}`}`,
      rows: measuredParts(sample, record.peak.arenaBytes).map(({ label, bytes }) => ({
        label,
        planned: null,
        measured: bytes,
      })),
    },
  ];
  return groups.filter(({ rows }) => rows.length > 0);
}

function comparedRows({ planned, peak }: ProfileRecord): readonly PlannedMeasured[] {
  const rss = peak.rssBytes > 0 ? peak.rssBytes : null;
  const rest = (whole: number | null, arena: number | null): number | null =>
    whole === null || arena === null ? null : whole - arena;
  return [
    { label: 'Whole process (RSS)', planned: planned?.totalBytes ?? null, measured: rss },
    { label: 'Arena', planned: planned?.arenaBytes ?? null, measured: peak.arenaBytes },
    {
      label: 'Outside the arena',
      planned: rest(planned?.totalBytes ?? null, planned?.arenaBytes ?? null),
      measured: rest(rss, peak.arenaBytes),
    },
  ].filter((row) => row.planned !== null || row.measured !== null);
}

interface MeasuredPart {
  readonly label: string;
  readonly bytes: number;
}

/** The arena is anonymous memory, as is the heap. */
function measuredParts(sample: Sample | null, arenaBytes: number | null): readonly MeasuredPart[] {
  if (sample === null) return [];
  const { anonymousBytes, fileBytes, heapBytes, pageCacheBytes } = sample;
  const others = [...(heapBytes === null ? [] : ['heap']), ...(arenaBytes === null ? [] : ['arena'])];
  return [
    ...(heapBytes === null ? [] : [{ label: 'JavaScript heap', bytes: heapBytes }]),
    {
      label: others.length > 0 ? `Anonymous but ${others.join(' and ')}` : 'Anonymous memory',
      bytes: Math.max(0, anonymousBytes - (heapBytes ?? 0) - (arenaBytes ?? 0)),
    },
    { label: 'Code and mapped files', bytes: fileBytes },
    ...(pageCacheBytes === null ? [] : [{ label: 'Page cache of the group', bytes: pageCacheBytes }]),
  ];
}

/** Null if there are none. */
function highestSample(samples: readonly Sample[]): Sample | null {
  let highest: Sample | null = null;
  for (const sample of samples) if (highest === null || sample.rssBytes > highest.rssBytes) highest = sample;
  return highest;
}

export function plannedMeasuredTable(record: ProfileRecord): Table {
  return {
    head: ['Category', 'Planned', 'Measured', 'Difference'],
    rows: plannedMeasured(record).flatMap(({ title, rows }) => [
      [title],
      ...rows.map(({ label, planned, measured }) => [
        label,
        sizeText(planned),
        sizeText(measured),
        changeText(planned, measured),
      ]),
    ]),
    words: 1,
  };
}
