/** @file Contenders in turns: rounds of a few steps each, again where other processes disturbed them. */
import type { Contender } from './contender.ts';
import { otherSeconds } from './cpu-time.ts';
import { median } from './report.ts';

/** Steps before the first round: allocation, choice of kernels, compilation. Fewer once they have taken so long. */
const WARMUP = 5;
const WARMUP_MILLIS = 15_000;

/** A contender whose steps take longer is measured once, apart from the turns: so many steps after one. */
const SLOW_MILLIS = 10_000;
const SLOW_STEPS = 2;

/** A round is taken again if other processes kept more than this share of a core busy; so often at most, on average. */
const DISTURBED = 0.1;
const MOST_TRIES = 6;

export interface Measured {
  readonly name: string;
  /** Milliseconds of the measured steps of each round; one entry if it was too slow to take turns. */
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
  const apart = new Map<Contender, number[]>();
  for (const contender of contenders) {
    if ((await warmUp(contender)) > SLOW_MILLIS) apart.set(contender, await contender.steps(SLOW_STEPS));
  }
  const inTurn = contenders.filter((contender) => !apart.has(contender));
  const taken: Round[] = [];
  const quiet = (): Round[] => taken.filter(({ others }) => others === null || others <= DISTURBED);
  while (quiet().length < rounds && taken.length < MOST_TRIES * rounds) {
    taken.push(await takeRound(inTurn, taken.length, steps));
    console.error(`round ${taken.length}: others kept ${taken.at(-1)?.others?.toFixed(2) ?? '?'} cores busy`);
  }
  // Where the machine is hardly ever quiet, the quietest rounds count, and the report says what they met.
  const kept = taken.toSorted((a, b) => (a.others ?? 0) - (b.others ?? 0)).slice(0, rounds);
  const measured: Measured[] = [];
  for (const contender of contenders) {
    const { name, ready } = contender;
    const alone = apart.get(contender);
    const own = alone ? [alone] : kept.map(({ millis }) => millis.get(name) ?? []);
    measured.push({ name, ready, rounds: own, maxRssBytes: await contender.end() });
  }
  const others = kept.flatMap((round) => round.others ?? []);
  return { measured, taken: taken.length, kept: kept.length, others: others.length > 0 ? median(others) : null };
}

/** Milliseconds of the fastest step before measuring: a neighbour makes some much slower. */
async function warmUp(contender: Contender): Promise<number> {
  let fastest = Number.POSITIVE_INFINITY;
  const started = performance.now();
  for (let n = 0; n < WARMUP && performance.now() - started < WARMUP_MILLIS; n++) {
    fastest = Math.min(fastest, ...(await contender.steps(1)));
  }
  return fastest;
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

/**
 * Median over the rounds of one's median step as a share of the other's in the same round; of all steps if one of them took
 * no turns.
 */
export function ratio(one: Pick<Measured, 'rounds'>, other: Pick<Measured, 'rounds'>): number {
  if (one.rounds.length !== other.rounds.length) return median(one.rounds.flat()) / median(other.rounds.flat());
  return median(one.rounds.map((millis, round) => median(millis) / median(other.rounds[round] ?? [])));
}
