/**
 * @file The smallest memory cap under which a command still finishes, by bisection: each cap is tried in a fresh process. It is
 * assumed that a command which finishes under a cap does so under every larger one.
 */
import { ExecutionError } from '../../runtime/errors.ts';
import { bytesText } from '../../runtime/plan/bytes-text.ts';
import type { ProfileRecord } from './record.ts';

/** Caps are multiples of this, and the answer is the smallest of them that works. */
export const CAP_RESOLUTION_BYTES = 2 * 2 ** 20;

/** No process of Node starts below. */
const LEAST_CAP_BYTES = 16 * 2 ** 20;
/** Caps up to this many times the plan's total are tried. */
const MOST_FACTOR = 4;
/** A run that takes so many times as long as one without a cap reads its own code from the disk over and over. */
const LATE_FACTOR = 10;
const LEAST_LATE_MILLIS = 30_000;

export interface CapAttempt {
  readonly capBytes: number;
  readonly works: boolean;
  /** How the run ended; `too slow` where it was killed for that. */
  readonly end: 'finished' | 'out of memory' | 'too slow';
  readonly millis: number;
}

export interface FoundCap {
  readonly capBytes: number;
  /** Predicted by the plan; null if the command told none. */
  readonly plannedBytes: number | null;
  /** The run without a cap, and that under the cap that was found. */
  readonly free: ProfileRecord;
  readonly smallest: ProfileRecord;
  /** In the order they were made. */
  readonly attempts: readonly CapAttempt[];
}

/** Runs the command under a cap, null for none; killed after `timeLimitMillis`. */
export type RunUnderCap = (
  capBytes: number | null,
  timeLimitMillis: number | null,
  free: ProfileRecord | null,
) => Promise<ProfileRecord>;

/**
 * @throws ExecutionError if a run fails for another reason than memory, is interrupted, plans otherwise than without a cap, or
 * fails under every cap
 */
export async function findCap(
  run: RunUnderCap,
  onAttempt: (attempt: CapAttempt) => void = () => undefined,
): Promise<FoundCap> {
  const free = await run(null, null, null);
  if (free.outcome.status !== 'finished') throw stopped(free, 'without a cap');
  const timeLimitMillis = Math.max(LEAST_LATE_MILLIS, LATE_FACTOR * free.millis);
  const plannedBytes = free.planned?.totalBytes ?? null;
  const attempts: CapAttempt[] = [];
  let smallest: ProfileRecord | null = null;
  const works = async (cap: number): Promise<boolean> => {
    const record = await run(cap, timeLimitMillis, free);
    const attempt = attemptOf(record, cap, timeLimitMillis, free);
    attempts.push(attempt);
    onAttempt(attempt);
    // Caps that work are tried in falling order.
    if (attempt.works) smallest = record;
    return attempt.works;
  };
  const [low, high] = await bracket(plannedBytes ?? free.peak.rssBytes, works);
  const capBytes = await bisect(low, high, works);
  if (smallest === null) throw new ExecutionError('no run finished under a cap');
  return { capBytes, plannedBytes, free, smallest, attempts };
}

type Works = (cap: number) => Promise<boolean>;

const roundDown = (bytes: number): number => CAP_RESOLUTION_BYTES * Math.floor(bytes / CAP_RESOLUTION_BYTES);

/** A cap that does not work and a larger one that does, from what was planned. */
async function bracket(plannedBytes: number, works: Works): Promise<[low: number, high: number]> {
  const start = Math.max(LEAST_CAP_BYTES, roundDown(plannedBytes + CAP_RESOLUTION_BYTES - 1));
  if (await works(start)) {
    for (let high = start; ; ) {
      const low = Math.max(LEAST_CAP_BYTES, roundDown(0.75 * high));
      if (low === high) return [low - CAP_RESOLUTION_BYTES, high];
      if (!(await works(low))) return [low, high];
      high = low;
    }
  }
  for (let low = start; low < MOST_FACTOR * start; ) {
    const high = roundDown(1.25 * low) + CAP_RESOLUTION_BYTES;
    if (await works(high)) return [low, high];
    low = high;
  }
  throw new ExecutionError(
    `expected the command to finish under ${MOST_FACTOR} times the planned ${bytesText(plannedBytes)}, but it ran out of memory`,
    { plannedBytes },
  );
}

async function bisect(low: number, high: number, works: Works): Promise<number> {
  if (high - low <= CAP_RESOLUTION_BYTES) return high;
  const middle = roundDown((low + high) / 2);
  return (await works(middle)) ? bisect(low, middle, works) : bisect(middle, high, works);
}

function attemptOf(record: ProfileRecord, capBytes: number, timeLimitMillis: number, free: ProfileRecord): CapAttempt {
  const { outcome, millis, planned } = record;
  const isLate = outcome.status === 'interrupted' && outcome.signal === 'SIGKILL' && millis >= timeLimitMillis;
  const end = isLate ? 'too slow' : outcome.status;
  if (end === 'failed' || end === 'interrupted') throw stopped(record, `under a cap of ${bytesText(capBytes)}`);
  if (planned !== null && free.planned !== null && planned.totalBytes !== free.planned.totalBytes) {
    throw new ExecutionError(
      `expected the same plan under every cap, but got one of ${bytesText(planned.totalBytes)} under ${bytesText(capBytes)} ` +
        `and one of ${bytesText(free.planned.totalBytes)} without\nHint: name --device and --micro-batch`,
      { capBytes, planned: planned.totalBytes, without: free.planned.totalBytes },
    );
  }
  return { capBytes, works: end === 'finished', end, millis };
}

function stopped({ outcome, command }: ProfileRecord, when: string): ExecutionError {
  const { status, exitCode, signal, errorText } = outcome;
  const how = signal === null ? `exit code ${exitCode}` : signal;
  return new ExecutionError(
    `${command[0]} ${status} ${when} (${how})${errorText === '' ? '' : `; it said:\n${errorText}`}`,
    {
      status,
      exitCode,
      signal,
    },
  );
}
