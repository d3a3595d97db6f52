/** @file Looks at memory again and again, and says what a training or an adaptation should do about it. */
import { setTimeout as delay } from 'node:timers/promises';
import { releaseGarbage } from '../garbage.ts';
import { MemoryReader, type MemoryReading } from './memory-reading.ts';
import { judge, type Load, noTrend, type Trend, type Verdict } from './policy.ts';

/** What was done about memory, and why. */
export interface GovernorEvent {
  readonly kind: 'governor';
  /**
   * `trim`: garbage was collected; `pause`: the engine's memory was given back; `resume`: it goes on with the plan that it had;
   * `shrink` and `grow`: with a smaller or a larger one, after a pause or without.
   */
  readonly action: GovernorAction;
  /** In words, such as `9.0 MiB of 256 MiB left in the control group, going at 80 MiB/s`. */
  readonly reason: string;
  /** What is planned from here on, in words; null while nothing is, or where plans are left alone. */
  readonly plan: string | null;
}

export const governorActions = ['trim', 'shrink', 'pause', 'resume', 'grow'] as const;
export type GovernorAction = (typeof governorActions)[number];

/** How often each was done. */
export type GovernorCounts = Readonly<Record<GovernorAction, number>>;

/** Where readings come from; the kernel, but in tests. */
export interface MemorySource {
  read(): MemoryReading;
  close(): void;
}

export interface GovernorOptions {
  readonly reader: MemorySource;
  readonly onEvent: (event: GovernorEvent) => void;
  /** How long room must have been there before it is used, at first. */
  readonly patienceMillis?: number;
}

/** Between looks, and where memory is short or quickly going. */
const LOOK_MILLIS = 100;
const NEAR_MILLIS = 20;
/** Between two collections of garbage: each takes some milliseconds. */
const TRIM_MILLIS = 5000;
/** Patience doubles with each shrinking that follows a growth this many patiences later or sooner, up to the most. */
const RELAPSE_PATIENCES = 8;
const PATIENCE_MILLIS = 2000;
const MOST_PATIENCE_MILLIS = 60_000;

export class Governor implements Disposable {
  readonly #reader: MemorySource;
  readonly #onEvent: (event: GovernorEvent) => void;
  readonly #least: number;
  readonly #counts: Record<GovernorAction, number> = { trim: 0, shrink: 0, pause: 0, resume: 0, grow: 0 };
  #trend: Trend = noTrend;
  #verdict: Verdict;
  #load: Load;
  #timer: NodeJS.Timeout | null = null;
  #trimmedAt = Number.NEGATIVE_INFINITY;
  #grewAt = Number.NEGATIVE_INFINITY;
  #wasShort = false;
  #last: GovernorAction | null = null;
  #ownBytes = 0;

  constructor({ reader, onEvent, patienceMillis = PATIENCE_MILLIS }: GovernorOptions) {
    this.#reader = reader;
    this.#onEvent = onEvent;
    this.#least = patienceMillis;
    this.#load = { expectedBytes: 0, reactionMillis: 0, usualMillis: 0, openingMillis: 0, patienceMillis };
    this.#verdict = this.look();
    this.#schedule();
  }

  /** Null where nothing tells how much memory is left, or none is wanted. @param wanted true: as the kernel tells */
  static open(wanted: boolean | MemorySource, onEvent: (event: GovernorEvent) => void): Governor | null {
    if (wanted === false) return null;
    const reader = wanted === true ? MemoryReader.open() : wanted;
    return reader && new Governor({ reader, onEvent });
  }

  /** As of the last look. */
  get verdict(): Verdict {
    return this.#verdict;
  }

  /** What this process holds, as of the last look. */
  get ownBytes(): number {
    return this.#ownBytes;
  }

  counts(): GovernorCounts {
    return { ...this.#counts };
  }

  /** What the process is about to hold at its peak; 0: nothing more than it does. */
  expect(expectedBytes: number): void {
    this.#load = { ...this.#load, expectedBytes };
  }

  /** Waits until so much more can be held, unless there is nobody to wait for. */
  async roomFor(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    this.expect(this.#ownBytes + bytes);
    this.look();
    await this.until(({ level, alone }) => level !== 'shrink' || alone, signal);
    this.expect(0);
  }

  /** How long it takes to give memory back, at most and usually, and to open an engine before that. */
  react({ reactionMillis, usualMillis }: Pick<Load, 'reactionMillis' | 'usualMillis'>, openingMillis = 0): void {
    this.#load = {
      ...this.#load,
      reactionMillis: reactionMillis + LOOK_MILLIS,
      usualMillis: usualMillis + LOOK_MILLIS,
      openingMillis,
    };
  }

  /** Tells of what was done, and counts it. */
  did(action: GovernorAction, reason: string, plan: string | null = null): void {
    const { atMillis } = this.#trend.looks.at(-1) ?? { atMillis: 0 };
    // After a pause even a smaller plan takes more than there was.
    const isMore = action === 'grow' || action === 'resume' || (action === 'shrink' && this.#last === 'pause');
    if (isMore) this.#grewAt = atMillis;
    else if (action !== 'trim') this.#learnPatience(atMillis - this.#grewAt);
    if (action !== 'trim') this.#last = action;
    this.#counts[action] += 1;
    this.#onEvent({ kind: 'governor', action, reason, plan });
  }

  /** A look now. */
  look(): Verdict {
    const reading = this.#reader.read();
    const { trend, verdict } = judge(this.#trend, reading, this.#load);
    this.#trend = trend;
    this.#verdict = verdict;
    this.#ownBytes = reading.ownBytes;
    return verdict;
  }

  /** Resolves when `enough` is true of a look, or the signal aborts. The process stays alive meanwhile. */
  async until(enough: (verdict: Verdict) => boolean, signal: AbortSignal | undefined): Promise<void> {
    while (!signal?.aborted && !enough(this.#verdict)) {
      await delay(LOOK_MILLIS, undefined, signal && { signal }).catch(() => undefined);
    }
  }

  [Symbol.dispose](): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#reader.close();
  }

  #schedule(): void {
    this.#timer = setTimeout(
      () => {
        this.look();
        this.#trim();
        if (this.#timer) this.#schedule();
      },
      this.#verdict.near ? NEAR_MILLIS : LOOK_MILLIS,
    ).unref();
  }

  /** Told of once for as long as memory is short. */
  #trim(): void {
    const { level, reason } = this.#verdict;
    const { atMillis } = this.#trend.looks.at(-1) ?? { atMillis: 0 };
    const short = level === 'trim' || level === 'shrink';
    if (level === 'calm') this.#wasShort = false;
    if (!short || atMillis - this.#trimmedAt < TRIM_MILLIS) return;
    this.#trimmedAt = atMillis;
    releaseGarbage();
    if (!this.#wasShort) this.did('trim', reason);
    this.#wasShort = true;
  }

  #learnPatience(sinceGrowthMillis: number): void {
    const { patienceMillis } = this.#load;
    const relapse = sinceGrowthMillis <= RELAPSE_PATIENCES * patienceMillis;
    const next = relapse ? Math.min(MOST_PATIENCE_MILLIS, 2 * patienceMillis) : this.#least;
    this.#load = { ...this.#load, patienceMillis: next };
  }
}
