/** @file The figures by which runs are known and compared. */
import type { Mark, ProfileRecord, Sample } from '../record.ts';
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

/** Highest of a quantity over the samples that have it; null if none has. */
export function highest(samples: readonly Sample[], value: (sample: Sample) => number | null): number | null {
  return samples.reduce<number | null>((most, sample) => {
    const here = value(sample);
    return here === null ? most : Math.max(most ?? 0, here);
  }, null);
}

/** Of the training steps or calls that say what they took. */
export function medianStepMillis(marks: readonly Mark[]): number | null {
  return median(marks.flatMap(({ kind, millis }) => (kind === 'step' && millis !== null ? [millis] : [])));
}

/** Of every record the same figures in the same order. */
export function mainFigures(record: ProfileRecord): readonly MainFigure[] {
  const { limit, planned, peak, marks, millis, energy, samples } = record;
  const first = marks.find(({ kind }) => kind === 'step');
  return [
    mainFigure('capBytes', 'Cap', sizeText, limit.memoryBytes),
    mainFigure('plannedPeakBytes', 'Planned peak', sizeText, planned?.totalBytes ?? null),
    mainFigure('peakRssBytes', 'Measured peak, RSS', sizeText, peak.rssBytes > 0 ? peak.rssBytes : null),
    mainFigure('peakPssBytes', 'Measured peak, PSS', sizeText, peak.pssBytes),
    mainFigure('peakGroupBytes', 'Measured peak, control group', sizeText, peak.cgroupBytes),
    mainFigure('plannedArenaBytes', 'Arena, planned', sizeText, planned?.arenaBytes ?? null),
    mainFigure('touchedArenaBytes', 'Arena, touched', sizeText, peak.arenaBytes),
    mainFigure(
      'peakPressureShare',
      'Highest memory pressure (PSI)',
      percentText,
      highest(samples, ({ pressure }) => pressure),
    ),
    mainFigure('runMillis', 'Whole run', durationText, millis),
    mainFigure('firstStepMillis', 'First step done after', durationText, first?.at ?? null),
    mainFigure('stepMillis', 'Median step', durationText, medianStepMillis(marks)),
    mainFigure('stepJoules', 'Energy per step', joulesText, energy?.joulesPerStep ?? null),
    mainFigure('runJoules', 'Energy of the run', joulesText, energy?.joules ?? null),
  ];
}
