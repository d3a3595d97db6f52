/** @file A device with keys that labels frames while they are shown. */
import { type Clock, systemClock } from '../clock.ts';
import { Connection, type ConnectionCounts } from '../connection.ts';
import type { OpenTransport } from '../transport.ts';
import { Debounce } from './debounce.ts';
import type { KeyMapping } from './key-mapping.ts';
import type { KeyReader } from './key-reports.ts';
import { type FrameLabel, Labeller, type LabellerCounts, type PressVerdict } from './labeller.ts';

export interface LabelKeysOptions {
  readonly open: OpenTransport;
  readonly read: KeyReader;
  readonly mapping: KeyMapping;
  /** Takes each label once, when it can no longer be taken back. */
  readonly onLabel: (label: FrameLabel) => void;
  /** Told of each press, so that somebody can show it. */
  readonly onPress?: (key: string, verdict: PressVerdict) => void;
  /** Default 40. */
  readonly debounceMillis?: number;
  /** How long a label can be taken back; default 2000. */
  readonly holdMillis?: number;
  /** Asked by an undo when no label is held: takes back the last one given out, false if it cannot. Default: never can. */
  readonly takeBack?: () => boolean;
  readonly clock?: Clock;
}

export interface LabelKeysCounts {
  readonly labels: LabellerCounts;
  /** Presses of contacts that bounced. */
  readonly bounces: number;
  readonly connection: ConnectionCounts;
}

export class LabelKeys implements AsyncDisposable {
  readonly #options: LabelKeysOptions;
  readonly #clock: Clock;
  readonly #debounce: Debounce;
  readonly #labeller: Labeller;
  readonly #closing = new AbortController();
  #connection: Connection | null = null;
  #releasing: Promise<void> | null = null;

  private constructor(options: LabelKeysOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#debounce = new Debounce(options.debounceMillis);
    this.#labeller = new Labeller(options.mapping, options.holdMillis, options.takeBack);
  }

  /** @throws DataError if the device is not there or cannot be opened; being lost later is no error */
  static async open(options: LabelKeysOptions): Promise<LabelKeys> {
    const keys = new LabelKeys(options);
    keys.#connection = await Connection.open({
      ...{ open: options.open, clock: keys.#clock },
      onReport: (report) => keys.#hear(report),
      serve: async (_, { lost, closing }) => {
        await aborted(AbortSignal.any([lost, closing]));
        keys.#debounce.release();
      },
    });
    return keys;
  }

  /** Presses mean this frame from now on. */
  show(frame: number): void {
    this.#labeller.show(frame);
  }

  counts(): LabelKeysCounts {
    return {
      labels: this.#labeller.counts(),
      bounces: this.#debounce.ignored,
      connection: (this.#connection as Connection).counts(),
    };
  }

  /** Lets the device go and gives out the labels that are held. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#connection?.[Symbol.asyncDispose]();
    await this.#releasing;
    this.#give(this.#labeller.flush());
  }

  #hear(report: Uint8Array): void {
    const down = this.#options.read(report);
    if (down === null || this.#closing.signal.aborted) return;
    const now = this.#clock.nowMillis();
    for (const key of this.#debounce.press(down, now)) {
      const verdict = this.#labeller.press(key, now);
      this.#options.onPress?.(key, verdict);
    }
    if (this.#labeller.dueMillis() !== null) this.#releasing ??= this.#releaseWhenDue();
  }

  async #releaseWhenDue(): Promise<void> {
    const closing = this.#closing.signal;
    for (let due = this.#labeller.dueMillis(); due !== null && !closing.aborted; due = this.#labeller.dueMillis()) {
      await this.#clock.wait(Math.max(0, due - this.#clock.nowMillis()), closing);
      if (!closing.aborted) this.#give(this.#labeller.release(this.#clock.nowMillis()));
    }
    this.#releasing = null;
  }

  #give(labels: readonly FrameLabel[]): void {
    for (const label of labels) this.#options.onLabel(label);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
