/** @file What a training shows live. */
import type { GovernorEvent } from '../../runtime/governor/governor.ts';
import type { RunEvent, TrainResult } from '../../runtime/train/train.ts';
import { governorLine } from '../cli/governor-text.ts';
import { EventLog } from './event-log.ts';
import { type Feed, type MemoryPart, optional, plannedOf, smallerCap } from './feed.ts';
import { Mean, Timings } from './measures.ts';
import { type Ended, nothingYet, type Status, type Tick, type TrainingStatus } from './tick.ts';

export class TrainingFeed implements Feed {
  readonly #clock: () => number;
  readonly #limitBytes: number | null;
  readonly #log = new EventLog();
  readonly #loss = new Mean();
  readonly #timings = new Timings();
  #training: TrainingStatus = {
    ...{ step: 0, steps: 0, taken: 0, epoch: 0, loss: null },
    accuracy: { before: null, training: null, validation: null, after: null },
  };
  #status: Status = nothingYet;
  /** Of the epoch that ended since the last tick. */
  #accuracies: Pick<Tick['point'], 'trainAccuracy' | 'validationAccuracy'> = {};

  /**
   * @param clock milliseconds since the run began
   * @param limitBytes of the control group that holds the process; null: none does
   */
  constructor(clock: () => number, limitBytes: number | null) {
    this.#clock = clock;
    this.#limitBytes = limitBytes;
  }

  event(event: RunEvent): void {
    switch (event.kind) {
      case 'images':
        this.#phase(`decoding images, ${event.done} of ${event.total}`);
        break;
      case 'skipped':
        this.#note(
          `${event.files.length} files cannot be used: ${event.files[0]?.path} (${event.files[0]?.reason})`,
          'bad',
        );
        break;
      case 'plan': {
        const planned = plannedOf(event.plan);
        const capBytes = smallerCap(event.plan.budgetBytes, this.#limitBytes);
        this.#status = { ...this.#status, plan: planned, capBytes };
        this.#note(`planned: ${planned.text}`);
        this.#phase('measuring accuracy');
        break;
      }
      case 'resume':
        this.#note(`resumed after step ${event.step}`);
        break;
      case 'accuracy':
        this.#accuracy({ [event.when]: event.accuracy });
        this.#note(`accuracy ${event.when}: ${percent(event.accuracy)}`, 'good');
        this.#phase(event.when === 'before' ? 'training' : 'writing the model');
        break;
      case 'step':
        this.#step(event);
        break;
      case 'epoch':
        this.#epoch(event);
        break;
      case 'governor':
        this.governed(event);
        break;
      case 'checkpoint':
        this.#note('checkpoint written');
        break;
      case 'statistics':
        break;
    }
  }

  governed(event: GovernorEvent): void {
    const isBack = event.action === 'resume' || event.action === 'grow';
    this.#note(governorLine(event), isBack ? 'good' : 'bad');
    if (event.action === 'pause') this.#phase('paused: memory is short');
    if (event.action === 'resume') this.#phase('training');
  }

  /** How it ended. */
  ended({ interrupted, accuracyBefore, accuracyAfter, steps }: TrainResult): Ended {
    if (interrupted) return { outcome: 'interrupted', text: `interrupted after step ${steps}, with a checkpoint` };
    const after =
      accuracyAfter === null ? '' : `, accuracy ${percent(accuracyBefore)} before and ${percent(accuracyAfter)} after`;
    return { outcome: 'finished', text: `finished after ${steps} steps${after}` };
  }

  tick(at: number, memory: MemoryPart, ended: Ended | null): Tick {
    const point = {
      at,
      ...memory,
      ...optional('loss', this.#loss.take()),
      ...this.#accuracies,
      ...this.#timings.last(),
    };
    this.#accuracies = {};
    const status = { ...this.#status, durations: this.#timings.whole(), training: this.#training };
    return { point, status, log: this.#log.take(), frames: [], ended };
  }

  #step({ step, steps, epoch, loss, millis }: Extract<RunEvent, { kind: 'step' }>): void {
    this.#loss.add(loss);
    this.#timings.add(millis);
    const taken = this.#training.taken + 1;
    this.#training = { ...this.#training, step, steps, taken, epoch: epoch + 1, loss };
    if (taken === 1) this.#note('first step');
    if (step === steps) this.#phase('measuring accuracy');
  }

  #epoch({ epoch, trainAccuracy, validationAccuracy }: Extract<RunEvent, { kind: 'epoch' }>): void {
    const validation = validationAccuracy === null ? '' : `, validation ${percent(validationAccuracy)}`;
    this.#accuracy({ training: trainAccuracy, validation: validationAccuracy });
    this.#accuracies = { trainAccuracy, ...optional('validationAccuracy', validationAccuracy ?? undefined) };
    this.#note(`epoch ${epoch + 1}: training ${percent(trainAccuracy)}${validation}`);
  }

  #accuracy(known: Partial<TrainingStatus['accuracy']>): void {
    this.#training = { ...this.#training, accuracy: { ...this.#training.accuracy, ...known } };
  }

  #phase(phase: string): void {
    this.#status = { ...this.#status, phase };
  }

  #note(text: string, tone: 'plain' | 'good' | 'bad' = 'plain'): void {
    this.#log.add(this.#clock(), text, tone);
  }
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
