/** @file What an adaptation shows live. */
import { softmax } from '../../runtime/adapt/entropy.ts';
import type { SessionCounts, SessionEvent, SessionResult } from '../../runtime/adapt/session.ts';
import type { Frame } from '../../runtime/adapt/streams/frame.ts';
import type { LabelCounts } from '../../runtime/adapt/streams/late-labels.ts';
import type { Prediction } from '../../runtime/adapt/streams/prediction-lines.ts';
import type { GovernorEvent } from '../../runtime/governor/governor.ts';
import { governorLine } from '../cli/governor-text.ts';
import { Decisions, isReset } from './decisions.ts';
import { EventLog } from './event-log.ts';
import { type Feed, type MemoryPart, optional, smallerCap } from './feed.ts';
import { Mean, Timings } from './measures.ts';
import { jpegText, shrunk } from './thumbnail.ts';
import {
  type AdaptationStatus,
  type Ended,
  nothingYet,
  type Planned,
  type SeenFrame,
  type Status,
  type Tick,
} from './tick.ts';

export interface AdaptationFeedOptions {
  /** Milliseconds since the run began. */
  readonly clock: () => number;
  /** Of the control group that holds the process; null: none does. */
  readonly limitBytes: number | null;
  readonly planned: Planned;
  /** That the plan may take. */
  readonly budgetBytes: number;
  readonly method: string;
  /** Side of the frames in pixels. */
  readonly imageSize: number;
  readonly labels: () => LabelCounts;
}

/** Between two frames that are shown. */
const FRAME_MILLIS = 700;
/** Classes shown: the most frequent; a model's other classes are counted, too. */
const MOST_CLASSES = 10;

export class AdaptationFeed implements Feed {
  readonly #options: AdaptationFeedOptions;
  readonly #log = new EventLog();
  readonly #entropy = new Mean();
  readonly #timings = new Timings();
  readonly #decisions = new Decisions();
  readonly #classes = new Map<string, number>();
  readonly #status: Status;
  #frames: SeenFrame[] = [];
  #shownAt = Number.NEGATIVE_INFINITY;
  /** Whether a frame is being compressed. */
  #busy = false;
  #counts: SessionCounts | null = null;
  #lastEntropy: number | null = null;
  #last: Prediction | null = null;
  #snapshots = 0;
  /** At the last tick. */
  #before = { at: 0, predicted: 0, dropped: 0 };

  constructor(options: AdaptationFeedOptions) {
    const { planned, budgetBytes, method, limitBytes } = options;
    this.#options = options;
    const capBytes = smallerCap(budgetBytes, limitBytes);
    this.#status = { ...nothingYet, phase: `adapting by ${method}`, plan: planned, capBytes };
    this.#note(`method ${method}, planned: ${planned.text}`);
  }

  /** @param logits of the frame, one a class */
  predicted(frame: Frame, prediction: Prediction, logits: Float32Array): void {
    this.#last = prediction;
    this.#timings.add(prediction.latencyMillis);
    if (prediction.entropy !== null) this.#entropy.add(prediction.entropy);
    const name = prediction.class === null ? 'not finite' : String(prediction.class);
    this.#classes.set(name, (this.#classes.get(name) ?? 0) + 1);
    this.#show(frame, prediction, logits);
  }

  event(event: SessionEvent): void {
    if (event.kind === 'trouble') this.#note(event.text, 'bad');
    if (event.kind === 'snapshot') {
      this.#snapshots += 1;
      this.#note('state saved');
    }
    if (event.kind !== 'batch') return;
    this.#counts = event.counts;
    if (this.#last === null) return;
    const { frame, reason, updated } = this.#last;
    if (!this.#decisions.add({ reason, updated })) return;
    const what = updated ? 'the model changed' : 'the model stays';
    this.#note(`frame ${frame}: ${what}, ${reason}`, isReset(reason) ? 'bad' : 'plain');
  }

  governed(event: GovernorEvent): void {
    this.#note(governorLine(event), event.action === 'resume' || event.action === 'grow' ? 'plain' : 'bad');
  }

  /** How it ended. */
  ended({ interrupted, predicted, failure }: SessionResult): Ended {
    const text = `${predicted} frames predicted`;
    if (failure !== null) return { outcome: 'failed', text: `${text}, then the source failed: ${messageOf(failure)}` };
    return interrupted ? { outcome: 'interrupted', text: `interrupted, ${text}` } : { outcome: 'finished', text };
  }

  tick(at: number, memory: MemoryPart, ended: Ended | null): Tick {
    const entropy = this.#entropy.take();
    this.#lastEntropy = entropy ?? this.#lastEntropy;
    const point = { at, ...memory, ...optional('entropy', entropy), ...this.#timings.last(), ...this.#rates(at) };
    const status = { ...this.#status, durations: this.#timings.whole(), adaptation: this.#adaptation() };
    return { point, status, log: this.#log.take(), frames: this.#frames.splice(0), ended };
  }

  #rates(at: number): Pick<Tick['point'], 'rate' | 'lostRate'> {
    const before = this.#before;
    const now = { at, predicted: this.#counts?.predicted ?? 0, dropped: this.#counts?.queue.dropped ?? 0 };
    const seconds = (at - before.at) / 1000;
    if (!(seconds > 0)) return {};
    this.#before = now;
    return { rate: (now.predicted - before.predicted) / seconds, lostRate: (now.dropped - before.dropped) / seconds };
  }

  #adaptation(): AdaptationStatus {
    const { predicted = 0, updated = 0, reasons = {}, queue, source } = this.#counts ?? {};
    const { used, waiting, early, forgotten, invalid } = this.#options.labels();
    return {
      ...{ predicted, updatedFrames: updated, updates: this.#decisions.updates, resets: this.#decisions.resets },
      ...{ dropped: queue?.dropped ?? 0, adaptationSkipped: queue?.adaptationSkipped ?? 0 },
      ...{ unreadable: source?.skipped ?? 0, waiting: queue?.waiting ?? 0, snapshots: this.#snapshots },
      entropy: this.#lastEntropy,
      labels: { used, waiting, early, forgotten, invalid },
      reasons,
      classes: [...this.#classes].sort(([, a], [, b]) => b - a).slice(0, MOST_CLASSES),
    };
  }

  /** One at a time and not too often; a thread of the pool does the work. */
  #show({ pixels, index, name }: Frame, prediction: Prediction, logits: Float32Array): void {
    const now = this.#options.clock();
    if (this.#busy || now - this.#shownAt < FRAME_MILLIS) return;
    this.#shownAt = now;
    this.#busy = true;
    const shares = softmax(logits, logits.length);
    const probability = prediction.class === null ? null : Math.max(...shares);
    const { entropy, updated, reason } = prediction;
    const seen = {
      ...{ frame: index, name: name.slice(0, 200), probability, entropy, updated, reason },
      class: prediction.class === null ? null : String(prediction.class),
    };
    jpegText(shrunk(pixels, this.#options.imageSize))
      .then((image) => this.#frames.push({ ...seen, image }))
      .catch((error: unknown) => this.#note(`no picture of a frame: ${messageOf(error)}`, 'bad'))
      .finally(() => {
        this.#busy = false;
      });
  }

  #note(text: string, tone: 'plain' | 'bad' = 'plain'): void {
    this.#log.add(this.#options.clock(), text, tone);
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
