/** @file A command that is watched: twice a second a tick, to its own page and to its profiler's. */
import type { GovernorEvent } from '../../runtime/governor/governor.ts';
import type { Plan } from '../../runtime/plan/plan.ts';
import type { ProfileEmitter } from '../profiler/emit.ts';
import type { AdaptationFeed, AdaptationFeedOptions } from './adaptation-feed.ts';
import { type Feed, plannedOf, TICK_MILLIS } from './feed.ts';
import { openPage } from './open-page.ts';
import { type DashboardOptions, shownCommand } from './options.ts';
import { OwnMemory } from './own-memory.ts';
import type { DashboardServer } from './server.ts';
import { type Ended, nothingYet, type RunKind } from './tick.ts';
import type { TrainingFeed } from './training-feed.ts';

/** What an adaptation says of itself. */
export type ShownAdaptation = Pick<AdaptationFeedOptions, 'method' | 'imageSize' | 'labels'>;

/** Until the command has something to tell. */
const silent: Feed = {
  governed: () => undefined,
  tick: (at, memory, ended) => ({ point: { at, ...memory }, status: nothingYet, log: [], frames: [], ended }),
};

const lost: Ended = { outcome: 'failed', text: 'ended by an error, which the terminal shows' };

/** Disposed of without an end, the run counts as failed. */
export class Live implements AsyncDisposable {
  readonly #began = performance.now();
  readonly #memory: OwnMemory;
  readonly #profile: ProfileEmitter | null;
  readonly #server: DashboardServer | null;
  readonly #timer: NodeJS.Timeout;
  readonly #clock = (): number => performance.now() - this.#began;
  #feed = silent;
  #hasEnded = false;

  private constructor(memory: OwnMemory, server: DashboardServer | null, profile: ProfileEmitter | null) {
    this.#memory = memory;
    this.#server = server;
    this.#profile = profile;
    this.#timer = setInterval(() => this.#tick(null), TICK_MILLIS).unref();
  }

  /** @throws DataError if the port is taken */
  static async open(
    kind: RunKind,
    options: DashboardOptions | null,
    profile: ProfileEmitter | null,
    say: (text: string) => void,
  ): Promise<Live> {
    const run = { kind, command: shownCommand(process.argv.slice(2)), startedMillis: Date.now() };
    const server = options && (await openPage(options, run, say));
    return new Live(new OwnMemory(), server, profile);
  }

  /** Shows a training from now on. */
  async training(): Promise<TrainingFeed> {
    const { TrainingFeed } = await import('./training-feed.ts');
    const feed = new TrainingFeed(this.#clock, this.#memory.limitBytes);
    this.#feed = feed;
    return feed;
  }

  /** Shows an adaptation from now on. */
  async adaptation(plan: Plan, shown: ShownAdaptation): Promise<AdaptationFeed> {
    const { AdaptationFeed } = await import('./adaptation-feed.ts');
    const { limitBytes } = this.#memory;
    const { budgetBytes } = plan;
    const feed = new AdaptationFeed({
      ...shown,
      clock: this.#clock,
      planned: plannedOf(plan),
      budgetBytes,
      limitBytes,
    });
    this.#feed = feed;
    return feed;
  }

  governed(event: GovernorEvent): void {
    this.#feed.governed(event);
  }

  /** The last tick, with everything that has happened. */
  end(ended: Ended): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    clearInterval(this.#timer);
    this.#tick(ended);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.end(lost);
    this.#memory[Symbol.dispose]();
    await this.#server?.[Symbol.asyncDispose]();
  }

  #tick(ended: Ended | null): void {
    const tick = this.#feed.tick(this.#clock(), this.#memory.look(), ended);
    this.#profile?.live(tick);
    this.#server?.send(tick);
  }
}
