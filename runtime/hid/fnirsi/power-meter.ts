/** @file A power meter that is read from its opening to its closing, whatever happens to its cable in between. */
import { DataError } from '../../errors.ts';
import { type Clock, systemClock } from '../clock.ts';
import { Connection, type ConnectionCounts, type ServeSignals } from '../connection.ts';
import type { OpenTransport, Transport } from '../transport.ts';
import { MeterLog, type MeterTotals, type TimedSample } from './meter-log.ts';
import type { MeterModel } from './meters.ts';
import { type Command, commandPacket, commands } from './packet.ts';

export interface PowerMeterOptions {
  /** How the meter is begun; another than its id's where the id misleads. */
  readonly model: MeterModel;
  readonly open: OpenTransport;
  /** Least time from one keep-alive to the next; default the model's. */
  readonly refreshMillis?: number;
  /** Told of each sample that is not garbage, in the order of time. */
  readonly onSample?: (sample: TimedSample) => void;
  readonly clock?: Clock;
}

export interface PowerReading extends MeterTotals {
  /** Such as `FNIRSI FNB58`. */
  readonly source: string;
  /** Times that the meter was silent for a second. */
  readonly stalls: number;
  readonly connection: ConnectionCounts;
}

/** A meter that says nothing for so long is asked again; after so many times in a row it is opened anew. */
const STALL_MILLIS = 1000;
const MOST_STALLS = 3;
/**
 * A meter whose last packets nobody read may hang: it is read until it was silent for so long, or in all for so long.
 */
const DRAINED_MILLIS = 1000;
const LONGEST_DRAIN_MILLIS = 5000;

export class PowerMeter implements AsyncDisposable {
  readonly #options: PowerMeterOptions;
  readonly #clock: Clock;
  readonly #log: MeterLog;
  #connection: Connection | null = null;
  #conversation: Conversation | null = null;
  #stalls = 0;
  #closedMillis: number | null = null;

  private constructor(options: PowerMeterOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#log = new MeterLog(options.onSample);
  }

  /** @throws DataError if the meter is not there or cannot be opened; being lost later is no error */
  static async open(options: PowerMeterOptions): Promise<PowerMeter> {
    const meter = new PowerMeter(options);
    meter.#connection = await Connection.open({
      ...{ open: options.open, clock: meter.#clock },
      onReport: (report) => meter.#hear(report),
      serve: (transport, signals) => meter.#serve(transport, signals),
    });
    return meter;
  }

  get #source(): string {
    return `FNIRSI ${this.#options.model.name}`;
  }

  /** Of the time from the opening until now, or until the closing. */
  reading(): PowerReading {
    return {
      source: this.#source,
      ...this.#log.totals(this.#closedMillis ?? this.#clock.nowMillis()),
      stalls: this.#stalls,
      connection: (this.#connection as Connection).counts(),
    };
  }

  /** Ends the measuring at once, and resolves when the meter is drained and let go. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closedMillis ??= this.#clock.nowMillis();
    await this.#connection?.[Symbol.asyncDispose]();
  }

  #hear(report: Uint8Array): void {
    const measuring = this.#closedMillis === null;
    if (measuring) this.#log.add(report, this.#clock.nowMillis());
    this.#conversation?.hear(measuring);
  }

  async #serve(transport: Transport, { lost, closing }: ServeSignals): Promise<void> {
    const { model, refreshMillis = model.refreshMillis } = this.#options;
    const conversation = new Conversation(transport, this.#clock, refreshMillis);
    this.#conversation = conversation;
    try {
      conversation.send(model.begin);
      await this.#watch(conversation, AbortSignal.any([lost, closing, conversation.failed]));
      if (closing.aborted) await this.#drain(conversation, AbortSignal.any([lost, conversation.failed]));
    } finally {
      this.#conversation = null;
      if (!closing.aborted) this.#log.interrupt();
    }
    conversation.failed.throwIfAborted();
  }

  /** Asks again when the meter is silent. @throws DataError if that does not help */
  async #watch(conversation: Conversation, over: AbortSignal): Promise<void> {
    for (let stalls = 0; !over.aborted; ) {
      const silentMillis = conversation.silentMillis();
      if (silentMillis < STALL_MILLIS) stalls = 0;
      else {
        stalls += 1;
        this.#stalls += 1;
        if (stalls === MOST_STALLS) throw new DataError(`${this.#source}: silent for ${stalls} s`, { stalls });
        conversation.send([commands.keepAlive]);
      }
      // After a stall a whole one: the host may have been busy, and what came meanwhile is heard in between.
      await this.#clock.wait(stalls === 0 ? STALL_MILLIS - silentMillis : STALL_MILLIS, over);
    }
  }

  async #drain(conversation: Conversation, over: AbortSignal): Promise<void> {
    const until = this.#clock.nowMillis() + LONGEST_DRAIN_MILLIS;
    while (!over.aborted) {
      const left = Math.min(DRAINED_MILLIS - conversation.silentMillis(), until - this.#clock.nowMillis());
      if (left <= 0) return;
      await this.#clock.wait(left, over);
    }
  }
}

/** What is said over one connection. */
class Conversation {
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #refreshMillis: number;
  readonly #failing = new AbortController();
  #heardMillis: number;
  #keptMillis: number;
  #sending = false;

  constructor(transport: Transport, clock: Clock, refreshMillis: number) {
    this.#transport = transport;
    this.#clock = clock;
    this.#refreshMillis = refreshMillis;
    this.#heardMillis = clock.nowMillis();
    this.#keptMillis = this.#heardMillis;
  }

  /** Aborted with the error when a command could not be sent. */
  get failed(): AbortSignal {
    return this.#failing.signal;
  }

  silentMillis(): number {
    return this.#clock.nowMillis() - this.#heardMillis;
  }

  /**
   * A packet came. Keep-alives answer packets, as in the program that the protocol was learnt from: no more of them
   * than packets.
   */
  hear(measuring: boolean): void {
    this.#heardMillis = this.#clock.nowMillis();
    if (measuring && this.#heardMillis - this.#keptMillis >= this.#refreshMillis) this.send([commands.keepAlive]);
  }

  /** Sends one after the other; while a command is still on its way, nothing further is sent. */
  send(list: readonly Command[]): void {
    if (this.#sending) return;
    this.#sending = true;
    this.#keptMillis = this.#clock.nowMillis();
    this.#write(list).then(
      () => {
        this.#sending = false;
      },
      (error) => this.#failing.abort(error),
    );
  }

  async #write(list: readonly Command[]): Promise<void> {
    for (const command of list) await this.#transport.write(commandPacket(command));
  }
}
