/**
 * @file What a look at memory means: pure, a trend and a reading in, the next trend and a verdict out. Times are the readings' own;
 * where their clock jumps (a suspended machine), what was known of before is forgotten.
 *
 * Room is what this process could hold at most: what is left, and what it holds already. Only others change it, so their
 * growth is seen whatever this process does itself.
 */
import { bytesText } from '../plan/bytes-text.ts';
import { leftBytes, type MemoryReading } from './memory-reading.ts';

const MIB = 2 ** 20;

/** What the process is about to hold, and how long it takes to give anything back. */
export interface Load {
  /** Own memory at its peak with the engine as it is opened; 0: what it holds now. */
  readonly expectedBytes: number;
  /** From a look until memory has gone back: the rest of a step, saving, closing. */
  readonly reactionMillis: number;
  /** The same after a usual step instead of the longest: a neighbour that begins seldom begins in the longest one. */
  readonly usualMillis: number;
  /** Before that, while an engine is opened: it takes little memory yet, but nothing is given back either. */
  readonly openingMillis: number;
  /** How long room must have been there before it is used. */
  readonly patienceMillis: number;
}

/** `trim`: caches go; `shrink`: `excessBytes` must go; `steady`: as it is, and nothing more. */
export type Level = 'calm' | 'steady' | 'trim' | 'shrink';

export interface Verdict {
  readonly level: Level;
  /** For people. */
  readonly reason: string;
  /** What this process may hold now, for it to be left alone for a while. */
  readonly allowedBytes: number;
  /** What it may hold by what has been there for as long as patience asks; null: not known for so long yet. */
  readonly lastingBytes: number | null;
  /** Whether the next look should come soon. */
  readonly near: boolean;
  /** Nobody else has held a noticeable part of the limit for as long as patience asks: there is nothing to wait for. */
  readonly alone: boolean;
}

interface Look {
  readonly atMillis: number;
  readonly roomBytes: number;
}

/** What is remembered from look to look. */
export interface Trend {
  /** The newest last, back to the first that is old enough to tell a rate. */
  readonly looks: readonly Look[];
  /** Bytes a second that room gets less by; the highest of late. */
  readonly rate: number;
  /** Least room of each part of the patience. */
  readonly lows: readonly Look[];
}

export const noTrend: Trend = { looks: [], rate: 0, lows: [] };

/** A rate over less time would be that of noise. */
const RATE_MILLIS = 80;
/** After so long a rate that was not seen again counts for a third. */
const RATE_MEMORY_MILLIS = 1000;
/** A slower drift is within what the reserve is for. */
const LEAST_RATE = MIB;
/** Bytes a second that somebody in the same control group may begin to take at any moment: as fast as pictures are decoded. */
const SUDDEN_RATE = 100 * MIB;
/** Between looks this far apart anything may have happened. */
const JUMP_MILLIS = 5000;
/** Parts of the patience whose least room is remembered. */
const PARTS = 8;

/** Levels begin where the process's own peak, and what others take in the meantime, leave fewer reserves than this. */
const reserves = { shrink: 1, trim: 2, calm: 3, near: 6 } as const;
/** Shares of stalled time (PSI full) from which on a machine that is near its limit is short of memory, whatever is left. */
const STALLED = 0.1;
const STALLED_RESERVES = 4;

/** Less of a limit than this is not somebody else. */
const ALONE_SHARE = 0.1;

/** What should always be left: a part of the limit, for what is not seen coming. */
export function reserveBytes({ group }: MemoryReading): number {
  return Math.min(64 * MIB, Math.max(8 * MIB, (group?.limitBytes ?? Number.POSITIVE_INFINITY) / 16));
}

export function judge(before: Trend, reading: MemoryReading, load: Load): { trend: Trend; verdict: Verdict } {
  const room = leftBytes(reading) + reading.ownBytes;
  const trend = follow(before, { atMillis: reading.atMillis, roomBytes: room }, load.patienceMillis);
  const reserve = reserveBytes(reading);
  const coming = comingBytes(trend, reading, load);
  const spare = room - Math.max(reading.ownBytes, load.expectedBytes) - coming;
  const stalled = (reading.pressure?.full ?? 0) >= STALLED && spare < STALLED_RESERVES * reserve;
  const level = stalled ? 'shrink' : levelOf(spare / reserve);
  const lasting = lastingRoom(trend, reading.atMillis, load.patienceMillis);
  const keep = (stalled ? STALLED_RESERVES + 1 : reserves.trim) * reserve;
  const { group } = reading;
  return {
    trend,
    verdict: {
      level,
      reason: reasonOf(reading, trend.rate, stalled),
      allowedBytes: room - coming - keep,
      lastingBytes: lasting === null ? null : Math.min(lasting, room - coming) - reserves.calm * reserve,
      near: spare < reserves.near * reserve || trend.rate * 2 > spare,
      alone: group !== null && lasting !== null && lasting > (1 - ALONE_SHARE) * group.limitBytes,
    },
  };
}

/** What others will have taken by the time that memory is back. */
function comingBytes({ rate }: Trend, { group }: MemoryReading, load: Load): number {
  const seen = rate * (load.openingMillis + load.reactionMillis);
  const sudden = group?.shared ? SUDDEN_RATE * load.usualMillis : 0;
  return Math.max(seen, sudden) / 1000;
}

function levelOf(left: number): Level {
  if (!(left >= reserves.shrink)) return 'shrink';
  if (left < reserves.trim) return 'trim';
  return left < reserves.calm ? 'steady' : 'calm';
}

function follow(before: Trend, look: Look, patienceMillis: number): Trend {
  const { atMillis } = look;
  const last = before.looks.at(-1);
  const since = last ? atMillis - last.atMillis : Number.POSITIVE_INFINITY;
  if (!(since >= 0 && since <= JUMP_MILLIS)) return { looks: [look], rate: 0, lows: [look] };
  const old = before.looks.findLastIndex((each) => atMillis - each.atMillis >= RATE_MILLIS);
  const looks = [...before.looks.slice(Math.max(0, old)), look];
  const [first = look] = looks;
  const lost = old < 0 ? 0 : (1000 * (first.roomBytes - look.roomBytes)) / (atMillis - first.atMillis);
  const remembered = before.rate * Math.exp(-since / RATE_MEMORY_MILLIS);
  const rate = Math.max(lost, remembered);
  return { looks, rate: rate >= LEAST_RATE ? rate : 0, lows: followLows(before.lows, look, patienceMillis) };
}

function followLows(lows: readonly Look[], look: Look, patienceMillis: number): readonly Look[] {
  const part = patienceMillis / PARTS;
  const kept = lows.filter(({ atMillis }) => look.atMillis - atMillis <= patienceMillis + part);
  const last = kept.at(-1);
  if (!last || look.atMillis - last.atMillis >= part) return [...kept, look];
  return [...kept.slice(0, -1), { ...last, roomBytes: Math.min(last.roomBytes, look.roomBytes) }];
}

/** Null if the oldest low is younger than patience asks. */
function lastingRoom({ lows }: Trend, atMillis: number, patienceMillis: number): number | null {
  const [oldest] = lows;
  if (!oldest || atMillis - oldest.atMillis < patienceMillis) return null;
  return Math.min(...lows.map(({ roomBytes }) => roomBytes));
}

function reasonOf({ group, availableBytes, pressure }: MemoryReading, rate: number, stalled: boolean): string {
  const inGroup = group !== null && group.limitBytes - group.usedBytes <= (availableBytes ?? Number.POSITIVE_INFINITY);
  const left = inGroup
    ? `${bytesText(Math.max(0, group.limitBytes - group.usedBytes))} of ${bytesText(group.limitBytes)} left in the control group`
    : `${bytesText(availableBytes ?? 0)} of memory available`;
  const going = rate > 0 ? `, going at ${bytesText(rate)}/s` : '';
  return `${left}${going}${stalled ? `, stalled ${(100 * (pressure?.full ?? 0)).toFixed(0)} % of the time` : ''}`;
}
