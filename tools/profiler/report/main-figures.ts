/** @file The figures by which runs are known and compared. */
import type { ProfileRecord, Sample } from '../record.ts';
import { durationText, joulesText, median, percentText, sizeText } from './quantities.ts';

/** One of the main figures. */
export interface MainFigure {
  /** Its name for programs, which ends in the unit. */
  readonly key: string;
  readonly label: string;
  /** Null: not known. */
  readonly value: number | null;
  readonly text: (value: number | null) => string;
}

function mainFigure(key: string, label: string, text: MainFigure['text'], value: number | null): MainFigure {
  return { key, label, value, text };
}

function highestPressure(samples: readonly Sample[]): number | null {
  return samples.reduce<number | null>(
    (most, { pressure }) => (pressure === null ? most : Math.max(most ?? 0, pressure)),
    null,
  );
}

/** Of every record the same figures in the same order. */
export function mainFigures(record: ProfileRecord): readonly MainFigure[] {
  const { limit, planned, peak, marks, millis, energy, samples } = record;
  const steps = marks.filter(({ kind }) => kind === 'step');
  return [
    mainFigure('capBytes', 'Cap', sizeText, limit.memoryBytes),
    mainFigure('plannedPeakBytes', 'Planned peak', sizeText, planned?.totalBytes ?? null),
    mainFigure('peakRssBytes', 'Measured peak, RSS', sizeText, peak.rssBytes > 0 ? peak.rssBytes : null),
    mainFigure('peakPssBytes', 'Measured peak, PSS', sizeText, peak.pssBytes),
    mainFigure('peakGroupBytes', 'Measured peak, control group', sizeText, peak.cgroupBytes),
    mainFigure('plannedArenaBytes', 'Arena, planned', sizeText, planned?.arenaBytes ?? null),
    mainFigure('touchedArenaBytes', 'Arena, touched', sizeText, peak.arenaBytes),
    mainFigure('peakPressureShare', 'Highest memory pressure (PSI)', percentText, highestPressure(samples)),
    mainFigure('runMillis', 'Whole run', durationText, millis),
    mainFigure('firstStepMillis', 'First step done after', durationText, steps[0]?.at ?? null),
    mainFigure('stepMillis', 'Median step', durationText, median(steps.flatMap((mark) => mark.millis ?? []))),
    mainFigure('stepJoules', 'Energy per step', joulesText, energy?.joulesPerStep ?? null),
    mainFigure('runJoules', 'Energy of the run', joulesText, energy?.joules ?? null),
  ];
}
