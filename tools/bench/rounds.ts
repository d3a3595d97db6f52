/** @file Contenders in turns: rounds of a few steps each, again where other processes disturbed them. */
import type { Contender } from './contender.ts';
import { otherSeconds } from './cpu-time.ts';
import { median } from './report.ts';

/** Steps before the first round: allocation, choice of kernels, compilation. */
const WARMUP = 5;

/** A round is taken again if other processes kept more than this share of a core busy; so often at most, on average. */
const DISTURBED = 0.1;
const MOST_TRIES = 6;

export interface Measured {
  readonly name: string;
  /** Milliseconds of the measured steps of each round. */
  readonly rounds: readonly (readonly number[])[];
  readonly maxRssBytes: number;
  readonly ready: Readonly<Record<string, unknown>>;
}

export interface Comparison {
  readonly measured: readonly Measured[];
  /** Rounds that were run, and those that count. */
  readonly taken: number;
  readonly kept: number;
  /** Cores that other processes kept busy in the rounds that count, median; null if unknown. */
  readonly others: number | null;
}

interface Round {
  readonly millis: ReadonlyMap<string, readonly number[]>;
  readonly others: number | null;
}

/** Measures so many rounds of so many steps, after one step a turn that is left out; the contenders end. */
export async function compare(contenders: readonly Contender[], rounds: number, steps: number): Promise<Comparison> {
  for (const contender of contenders) await contender.steps(WARMUP);
  const taken: Round[] = [];
  const quiet = (): Round[] => taken.filter(({ others }) => others === null || others <= DISTURBED);
  while (quiet().length < rounds && taken.length < MOST_TRIES * rounds) {
    taken.push(await takeRound(contenders, taken.length, steps));
    console.error(`round ${taken.length}: others kept ${taken.at(-1)?.others?.toFixed(2) ?? '?'} cores busy`);
  }
  // Where the machine is hardly ever quiet, the quietest rounds count, and the report says what they met.
  const kept = taken.toSorted((a, b) => (a.others ?? 0) - (b.others ?? 0)).slice(0, rounds);
  const measured: Measured[] = [];
  for (const contender of contenders) {
    const { name, ready } = contender;
    const own = kept.map(({ millis }) => millis.get(name) ?? []);
    measured.push({ name, ready, rounds: own, maxRssBytes: await contender.end() });
  }
  const others = kept.flatMap((round) => round.others ?? []);
  return { measured, taken: taken.length, kept: kept.length, others: others.length > 0 ? median(others) : null };
}

/** Every contender's turn. Another one goes first each time, so that nobody always follows the same neighbour. */
async function takeRound(contenders: readonly Contender[], index: number, steps: number): Promise<Round> {
  const pids = [process.pid, ...contenders.map(({ pid }) => pid)];
  const [started, before] = [performance.now(), await otherSeconds(pids)];
  const first = index % contenders.length;
  const millis = new Map<string, number[]>();
  for (const contender of [...contenders.slice(first), ...contenders.slice(0, first)]) {
    const [, ...measured] = await contender.steps(steps + 1);
    millis.set(contender.name, measured);
  }
  const [after, seconds] = [await otherSeconds(pids), (performance.now() - started) / 1000];
  return { millis, others: before === null || after === null ? null : Math.max(0, after - before) / seconds };
}

/** Median over the rounds of one's median step as a share of the other's in the same round. */
export function ratio(one: Pick<Measured, 'rounds'>, other: Pick<Measured, 'rounds'>): number {
  return median(one.rounds.map((millis, round) => median(millis) / median(other.rounds[round] ?? [])));
}
