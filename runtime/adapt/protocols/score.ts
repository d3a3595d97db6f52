/** @file Errors of a run: by segment, by corruption, over time, and beside another method's on the same images. */
import { UsageError } from '../../errors.ts';
import type { StreamRun } from './run-stream.ts';
import { type Condition, conditionText, type Stream } from './stream.ts';

/** Errors of some frames. */
export interface Score {
  readonly name: string;
  readonly frames: number;
  readonly wrong: number;
  /** Share, 0 to 1. */
  readonly error: number;
}

/** Errors between boundaries, in the order of the stream. */
export function segmentScores(stream: Stream, { wrong }: StreamRun): readonly Score[] {
  let from = 0;
  return stream.segments.map(({ name, images }) => {
    const part = wrong.subarray(from, from + images.length);
    from += images.length;
    return score(name, part.length, sum(part));
  });
}

/** Errors under each condition, such as `fog 3` or `clean`, wherever in the stream it was. */
export function conditionScores(stream: Stream, run: StreamRun): readonly Score[] {
  return grouped(stream, run, conditionText);
}

/** Errors of each corruption over all its severities, `clean` among them if the stream shows clean images. */
export function corruptionScores(stream: Stream, run: StreamRun): readonly Score[] {
  return grouped(stream, run, corruptionText);
}

/** Mean over the corruptions, each counting the same; of the clean images if nothing is corrupted. Share, 0 to 1. */
export function meanError(stream: Stream, { wrong }: StreamRun): number {
  return frameWeights(stream).reduce((total, weight, frame) => total + weight * (wrong[frame] as number), 0);
}

/** Error of all frames so far, after each call. */
export function runningErrors({ wrong, callEnds }: StreamRun): Float64Array {
  let [from, errors] = [0, 0];
  return Float64Array.from(callEnds, (end) => {
    errors += sum(wrong.subarray(from, end));
    from = end;
    return errors / end;
  });
}

/** A point of the error over time: of the frames from `from` to below `end`. */
export interface CurvePoint {
  readonly from: number;
  readonly end: number;
  readonly error: number;
}

/** Points of a curve at most, and frames of each at least: the standard error of an error of 15 % from 200 is 2.5 %. */
const curve = { points: 240, frames: 200 } as const;

/**
 * Error over time in stretches of the stream, none across a boundary.
 *
 * @param points About how many; at least one a segment. Default 240, of 200 frames or more.
 */
export function errorCurve(
  stream: Stream,
  { wrong }: StreamRun,
  points = Math.min(curve.points, stream.frames / curve.frames),
): readonly CurvePoint[] {
  let begin = 0;
  return stream.segments.flatMap(({ images: { length } }) => {
    const first = begin;
    begin += length;
    const parts = Math.min(length, Math.max(1, Math.round((points * length) / stream.frames)));
    return Array.from({ length: parts }, (_, part): CurvePoint => {
      const from = first + Math.floor((part * length) / parts);
      const end = first + Math.floor(((part + 1) * length) / parts);
      return { from, end, error: sum(wrong.subarray(from, end)) / (end - from) };
    });
  });
}

/** How much more a method errs than another on the same images. */
export interface Comparison {
  /** Mean error less the other's; above 0 if it is worse. Share, -1 to 1. */
  readonly difference: number;
  /** Of the difference, from the images' own differences; NaN of a single image. */
  readonly standardError: number;
  /** The method is worse by at most this, with a confidence of 95 % (one-sided, normal). */
  readonly upperBound: number;
}

/** Quantile 0.95 of the standard normal distribution. */
const oneSided95 = 1.6449;

/**
 * Compares mean errors pair by pair. An image is shown under many corruptions and its errors go together, so its weighted
 * differences are added up before their spread is taken: the standard error is clustered by image,
 * sqrt(n / (n - 1) sum_i (t_i - mean t)^2). It says what other images would change, not what another order or seed would.
 *
 * @throws UsageError if a run is not of this stream
 */
export function compareRuns(stream: Stream, run: StreamRun, other: StreamRun): Comparison {
  for (const { method, wrong } of [run, other]) {
    if (wrong.length === stream.frames) continue;
    throw new UsageError(`"${method}": expected a run of ${stream.frames} frames but got ${wrong.length}`, { method });
  }
  const weights = frameWeights(stream);
  const perImage = new Map<number, number>();
  let frame = 0;
  for (const { images } of stream.segments) {
    for (const image of images) {
      const apart = (run.wrong[frame] as number) - (other.wrong[frame] as number);
      perImage.set(image, (perImage.get(image) ?? 0) + (weights[frame] as number) * apart);
      frame += 1;
    }
  }
  const totals = Float64Array.from(perImage.values());
  const n = totals.length;
  const difference = totals.reduce((total, value) => total + value, 0);
  const squares = totals.reduce((total, value) => total + (value - difference / n) ** 2, 0);
  const standardError = Math.sqrt((n / (n - 1)) * squares);
  return { difference, standardError, upperBound: difference + oneSided95 * standardError };
}

const corruptionText = ({ corruption }: Condition): string => corruption ?? 'clean';

/** The weight of each frame in the mean over corruptions; clean frames count only where there are no others. */
function frameWeights(stream: Stream): Float64Array {
  const corrupted = stream.conditions.some(({ corruption }) => corruption !== null);
  const groups = stream.conditions.map(corruptionText);
  const counts = new Map<string, number>();
  for (const { conditions } of stream.segments) {
    for (const condition of conditions) {
      const group = groups[condition] as string;
      counts.set(group, (counts.get(group) ?? 0) + 1);
    }
  }
  if (corrupted) counts.delete('clean');
  const weights = new Float64Array(stream.frames);
  let frame = 0;
  for (const { conditions } of stream.segments) {
    for (const condition of conditions) {
      const count = counts.get(groups[condition] as string);
      weights[frame++] = count === undefined ? 0 : 1 / (counts.size * count);
    }
  }
  return weights;
}

function grouped(stream: Stream, { wrong }: StreamRun, nameOf: (condition: Condition) => string): readonly Score[] {
  const groups = stream.conditions.map(nameOf);
  const tallies = new Map(groups.map((name) => [name, { frames: 0, wrong: 0 }]));
  let frame = 0;
  for (const { conditions } of stream.segments) {
    for (const condition of conditions) {
      const tally = tallies.get(groups[condition] as string) as { frames: number; wrong: number };
      tally.frames += 1;
      tally.wrong += wrong[frame++] as number;
    }
  }
  return Array.from(tallies, ([name, tally]) => score(name, tally.frames, tally.wrong));
}

const score = (name: string, frames: number, wrong: number): Score => ({ name, frames, wrong, error: wrong / frames });

const sum = (values: Uint8Array): number => values.reduce((total, value) => total + value, 0);
