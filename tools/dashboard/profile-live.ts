/** @file The page of a profiled command: what the command tells, with its memory as the profiler sees it. */
import type { Outcome, Sample } from '../profiler/record.ts';
import type { Onlooker } from '../profiler/run-profiled.ts';
import { optional, smallerCap, TICK_MILLIS } from './feed.ts';
import { mergedPoints } from './history.ts';
import { openPage } from './open-page.ts';
import { type DashboardOptions, shownCommand } from './options.ts';
import type { DashboardServer } from './server.ts';
import { type Ended, nothingYet, type RunKind, type Tick } from './tick.ts';

export class ProfileLive implements Onlooker, AsyncDisposable {
  readonly #server: DashboardServer;
  readonly #capBytes: number | null;
  readonly #began = performance.now();
  readonly #timer: NodeJS.Timeout;
  /** What the command has told since the last tick. */
  #told: Tick[] = [];
  #status = nothingYet;
  /** The one with most memory since the last tick. */
  #sample: Sample | null = null;

  private constructor(server: DashboardServer, capBytes: number | null) {
    this.#server = server;
    this.#capBytes = capBytes;
    this.#status = { ...nothingYet, capBytes };
    this.#timer = setInterval(() => this.#tick(null), TICK_MILLIS).unref();
  }

  /**
   * @param capBytes that the command is held to; null: none
   * @throws DataError if the port is taken
   */
  static async open(
    options: DashboardOptions,
    command: readonly string[],
    capBytes: number | null,
    say: (text: string) => void,
  ): Promise<ProfileLive> {
    const kind: RunKind = command[0] === 'adapt' ? 'adapt' : 'train';
    const run = { kind, command: shownCommand(process.argv.slice(2)), startedMillis: Date.now() };
    return new ProfileLive(await openPage(options, run, say), capBytes);
  }

  /** @param tick of the command */
  told(tick: object): void {
    this.#told.push(tick as Tick);
  }

  sampled(sample: Sample): void {
    if (this.#sample === null || sample.rssBytes >= this.#sample.rssBytes) this.#sample = sample;
  }

  /** Tells how the command ended. */
  ended({ status, exitCode, signal }: Outcome): void {
    clearInterval(this.#timer);
    const outcome: Ended['outcome'] = status === 'finished' || status === 'interrupted' ? status : 'failed';
    const how = signal === null ? `exit code ${exitCode}` : signal;
    this.#tick({ outcome, text: `${status}, ${how}` });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#server[Symbol.asyncDispose]();
  }

  #tick(ended: Ended | null): void {
    const told = this.#told.splice(0);
    const last = told.at(-1);
    if (last) {
      const { status } = last;
      this.#status = { ...status, capBytes: smallerCap(status.capBytes ?? Number.POSITIVE_INFINITY, this.#capBytes) };
    }
    const at = performance.now() - this.#began;
    const points = told.map(({ point: { rssBytes: _, groupBytes: __, heapBytes: ___, ...rest } }) => rest);
    const rest = points.length === 0 ? {} : points.reduce(mergedPoints);
    this.#server.send({
      point: { ...rest, at, ...this.#memory() },
      status: this.#status,
      log: told.flatMap(({ log }) => log),
      frames: told.flatMap(({ frames }) => frames),
      ended,
    });
  }

  #memory() {
    const sample = this.#sample;
    this.#sample = null;
    if (sample === null) return {};
    const { rssBytes, cgroupBytes, heapBytes } = sample;
    return {
      rssBytes,
      ...optional('groupBytes', cgroupBytes ?? undefined),
      ...optional('heapBytes', heapBytes ?? undefined),
    };
  }
}
