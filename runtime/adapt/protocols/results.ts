/** @file Results of several methods on several streams: tables for people, JSON for programs. */
import { bytesText } from '../../plan/bytes-text.ts';
import type { StreamRun } from './run-stream.ts';
import {
  type Comparison,
  compareRuns,
  conditionScores,
  corruptionScores,
  errorCurve,
  meanError,
  segmentScores,
} from './score.ts';
import type { Stream } from './stream.ts';

/** What methods did with one stream, each run once. */
export interface StreamResults {
  readonly stream: Stream;
  /** Every method on every frame of the stream. */
  readonly runs: readonly StreamRun[];
}

/** Without these a figure cannot be compared with another. */
export interface ResultFacts {
  readonly model: { readonly name: string; readonly sha256: string };
  /** Versions of edgeshift, Node, onnxruntime. */
  readonly versions: Readonly<Record<string, string>>;
}

/** Rows of text below a title; the first row names the columns. */
export interface ResultTable {
  readonly title: string;
  readonly rows: readonly (readonly string[])[];
  /** Columns that end flush. */
  readonly right: readonly number[];
}

/**
 * Every method's figures on a stream, one row each: mean error, the paired difference from the reference with its standard
 * error, what was updated, time and memory.
 *
 * @param reference Method that the others are compared with. Default `none`.
 */
export function summaryTable({ stream, runs }: StreamResults, reference = 'none'): ResultTable {
  const header = ['method', 'error %', `against ${reference}`, 'clean %', 'updated %', 'ms/frame p50', 'p99'];
  const rows = runs.map((run) => {
    const { clean, against, millisPerFrame, updatedShare, error } = figures(stream, run, runs, reference);
    const cells = [points(error), against === null ? '' : differenceText(against), clean === null ? '' : points(clean)];
    const times = [millisPerFrame.p50, millisPerFrame.p99].map((millis) => millis.toFixed(2));
    const { plannedPeakBytes, highWaterBytes, stateBytes, plannedTotalBytes } = run.memory;
    const bytes = [plannedPeakBytes, highWaterBytes, stateBytes, plannedTotalBytes].map(bytesText);
    return [run.method, ...cells, points(updatedShare), ...times, ...bytes];
  });
  const memory = ['planned peak', 'high water', 'state', 'process'];
  return { title: streamText(stream, runs), rows: [[...header, ...memory], ...rows], right: allButFirst(11) };
}

/** Error of every method under every corruption of a stream, in percent, one row a corruption. */
export function corruptionTable({ stream, runs }: StreamResults): ResultTable {
  const columns = runs.map((run) => corruptionScores(stream, run));
  const rows = (columns[0] ?? []).map(({ name }, row) => [
    name,
    ...columns.map((scores) => points(scores[row]?.error ?? Number.NaN)),
  ]);
  const mean = ['mean', ...runs.map((run) => points(meanError(stream, run)))];
  const header = ['error %', ...runs.map(({ method }) => method)];
  return { title: streamText(stream, runs), rows: [header, ...rows, mean], right: allButFirst(runs.length + 1) };
}

/** Everything that was measured but the frames one by one, as JSON text that ends in a newline; errors are shares. */
export function resultsJson(results: readonly StreamResults[], facts: ResultFacts, reference = 'none'): string {
  const streams = results.map(({ stream, runs }) => {
    const { conditions, segments, batchLimit, ...origin } = stream;
    return { ...origin, conditions, methods: runs.map((run) => methodJson(stream, run, runs, reference)) };
  });
  return `${JSON.stringify({ format: 'edgeshift-stream-results', version: 1, ...facts, reference, streams }, null, 1)}\n`;
}

function methodJson(stream: Stream, run: StreamRun, runs: readonly StreamRun[], reference: string): object {
  const { method, batch, reasons, memory } = run;
  return {
    method,
    batch,
    ...figures(stream, run, runs, reference),
    segments: segmentScores(stream, run),
    conditions: conditionScores(stream, run),
    reasons,
    memory,
    curve: errorCurve(stream, run),
  };
}

interface Figures {
  /** Mean over the corruptions, share. */
  readonly error: number;
  /** Of the clean images of a stream that shows others too; null where there are none. */
  readonly clean: number | null;
  /** Null for the reference itself and where it was not run. */
  readonly against: Comparison | null;
  /** Share of the frames in calls that changed the model. */
  readonly updatedShare: number;
  readonly millisPerFrame: { readonly p50: number; readonly p99: number };
}

function figures(stream: Stream, run: StreamRun, runs: readonly StreamRun[], reference: string): Figures {
  const other = runs.find(({ method }) => method === reference);
  return {
    error: meanError(stream, run),
    clean: corruptionScores(stream, run).find(({ name }) => name === 'clean')?.error ?? null,
    against: other === undefined || other === run ? null : compareRuns(stream, run, other),
    updatedShare: run.updatedFrames / stream.frames,
    millisPerFrame: millisPerFrame(run),
  };
}

/** Over the calls: prediction and adaptation of a call, shared out among its frames. */
function millisPerFrame({ callEnds, callMillis }: StreamRun): Figures['millisPerFrame'] {
  const each = callMillis
    .map((millis, call) => millis / ((callEnds[call] as number) - (callEnds[call - 1] ?? 0)))
    .sort();
  const at = (share: number): number => each[Math.ceil(share * each.length) - 1] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99) };
}

function streamText(
  { protocol, severity, delta, imagesPerCorruption, seed }: Stream,
  runs: readonly StreamRun[],
): string {
  const batches = [...new Set(runs.map(({ batch }) => batch))].join(' and ');
  const shown = protocol === 'source-only' ? '' : `, severity ${severity}`;
  const concentration = delta === null ? '' : `, delta ${delta}`;
  return `${protocol}${shown}${concentration}, ${imagesPerCorruption} images each, batch ${batches}, seed ${seed}`;
}

const points = (share: number): string => (100 * share).toFixed(1);

/** `+0.4 ± 0.2`, in percentage points. */
function differenceText({ difference, standardError }: Comparison): string {
  const text = (100 * difference).toFixed(2);
  return `${difference >= 0 ? '+' : ''}${text} ± ${(100 * standardError).toFixed(2)}`;
}

const allButFirst = (columns: number): readonly number[] => Array.from({ length: columns - 1 }, (_, at) => at + 1);
