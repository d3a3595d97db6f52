/**
 * @file A simulated stream behind a real live page: `dashboard-server.js '{"hours":8,...}'`. Says its address, begins when a page is
 * open, and says at the end what it did; a JSON line each.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { SessionCounts } from '../../runtime/adapt/session.ts';
import { predictionOf } from '../../runtime/adapt/streams/prediction-lines.ts';
import { releaseGarbage } from '../../runtime/garbage.ts';
import { Random } from '../../runtime/train/random.ts';
import { AdaptationFeed } from '../dashboard/adaptation-feed.ts';
import { TICK_MILLIS } from '../dashboard/feed.ts';
import { OwnMemory } from '../dashboard/own-memory.ts';
import { DashboardServer } from '../dashboard/server.ts';
import { DashboardState } from '../dashboard/state.ts';
import { nothingYet } from '../dashboard/tick.ts';

/** What is simulated. */
export interface Simulation {
  /** Of the stream. */
  readonly hours: number;
  /** How many times faster than the stream would come. */
  readonly speed: number;
  readonly framesPerSecond: number;
  readonly seed: number;
}

export interface Simulated {
  readonly ticks: number;
  readonly frames: number;
  /** Left out for the page because it had not read those before. */
  readonly skippedTicks: number;
  /** What the process holds at the end above what it held after a quarter, without garbage. */
  readonly keptBytes: number;
  /** Processor time of the process for each tick, with making up the stream. */
  readonly tickMillis: number;
}

const MIB = 2 ** 20;
const SIDE = 224;
const BATCH = 16;
const classes = Array.from({ length: 20 }, (_, n) => `class ${n}`);
const reasons = ['no drift', 'after drift', 'few frames', 'label shift', 'worse than the twin, rolled back'];

/** Frames that go round, with logits of their own each time. */
class Stream {
  readonly #random: Random;
  readonly #pictures: readonly Uint8Array[];
  readonly #feed: AdaptationFeed;
  #frames = 0;
  #updated = 0;
  #dropped = 0;
  readonly #reasons = new Map<string, number>();

  constructor(feed: AdaptationFeed, seed: number) {
    this.#feed = feed;
    this.#random = new Random(seed);
    this.#pictures = Array.from({ length: 8 }, () =>
      Uint8Array.from({ length: 3 * SIDE * SIDE }, () => this.#random.integer(0, 255)),
    );
  }

  get frames(): number {
    return this.#frames;
  }

  /** A batch, with the events that a session tells of it. */
  batch(): void {
    const reason = reasons[this.#random.integer(0, reasons.length - 1)] as string;
    const outcome = { reason, updated: this.#random.uniform(0, 1) < 0.3 };
    for (let n = 0; n < BATCH; n++) this.#frame(outcome);
    this.#updated += outcome.updated ? BATCH : 0;
    this.#dropped += this.#random.uniform(0, 1) < 0.05 ? 1 : 0;
    this.#reasons.set(reason, (this.#reasons.get(reason) ?? 0) + BATCH);
    this.#feed.event({ kind: 'batch', counts: this.#counts() });
    if (this.#random.uniform(0, 1) < 0.01) this.#feed.event({ kind: 'snapshot', path: 'run' });
    if (this.#random.uniform(0, 1) < 0.01) this.#feed.event({ kind: 'trouble', text: `trouble at ${this.#frames}` });
  }

  #frame(outcome: { readonly updated: boolean; readonly reason: string }): void {
    const index = this.#frames++;
    const pixels = this.#pictures[index % this.#pictures.length] as Uint8Array;
    const ago = this.#random.integer(5, 60);
    const arrival = { epochMillis: Date.now() - ago, clockMillis: performance.now() - ago };
    const frame = { index, name: `frame-${index}.jpg`, arrival, pixels };
    const logits = Float32Array.from(classes, () => this.#random.uniform(-4, 4));
    this.#feed.predicted(frame, predictionOf(frame, logits, outcome, { classes, probabilities: false }), logits);
  }

  #counts(): SessionCounts {
    const handled = this.#frames;
    return {
      ...{ predicted: handled, updated: this.#updated, reasons: Object.fromEntries(this.#reasons) },
      queue: { arrived: handled + this.#dropped, handled, dropped: this.#dropped, adaptationSkipped: 0, waiting: 3 },
      source: { seen: handled, skipped: 0, reasons: {}, garbageBytes: 0, restarts: 0 },
    };
  }
}

async function simulate({ hours, speed, framesPerSecond, seed }: Simulation): Promise<void> {
  const run = { kind: 'adapt', command: ['adapt', 'simulated'], startedMillis: Date.now() } as const;
  const state = DashboardState.begin(run, nothingYet);
  await using server = await DashboardServer.open({ host: '127.0.0.1', port: 0, token: null }, state);
  using memory = new OwnMemory();
  let now = 0;
  const feed = new AdaptationFeed({
    ...{ clock: () => now, limitBytes: null, budgetBytes: 256 * MIB, method: 'simulated', imageSize: SIDE },
    planned: { text: 'simulated', totalBytes: 180 * MIB, arenaBytes: 40 * MIB },
    labels: () => ({ used: 0, waiting: 0, early: 0, forgotten: 0, invalid: 0 }),
  });
  console.log(JSON.stringify({ address: server.address }));
  while (server.counts().pages === 0) await delay(20);
  const stream = new Stream(feed, seed);
  const ticks = Math.round((hours * 3_600_000) / TICK_MILLIS);
  const began = performance.now();
  const cpu = process.cpuUsage();
  let early = 0;
  for (let n = 1; n <= ticks; n++) {
    now = n * TICK_MILLIS;
    while (stream.frames < (framesPerSecond * now) / 1000) stream.batch();
    const ended = n < ticks ? null : ({ outcome: 'finished', text: 'simulated' } as const);
    server.send(feed.tick(now, memory.look(), ended));
    if (n === Math.round(ticks / 4)) early = heldBytes();
    await delay(Math.max(0, began + now / speed - performance.now()));
  }
  const { user, system } = process.cpuUsage(cpu);
  const tickMillis = (user + system) / 1000 / ticks;
  const { skippedTicks } = server.counts();
  const keptBytes = heldBytes() - early;
  const simulated: Simulated = { ticks, frames: stream.frames, skippedTicks, keptBytes, tickMillis };
  console.log(JSON.stringify(simulated));
}

/** JavaScript heap and buffers, without garbage. */
function heldBytes(): number {
  releaseGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

await simulate(JSON.parse(process.argv[2] ?? '') as Simulation);
