/**
 * @file A meter at the other end of a transport: it measures while it is plugged in and asked for it, as the documented
 * ones do.
 */
import type { OpenTransport, TransportListener } from '../../runtime/hid/transport.ts';
import { steady } from './meter-packets.ts';
import type { VirtualClock } from './virtual-clock.ts';

export interface Write {
  readonly atMillis: number;
  /** The whole packet. */
  readonly hex: string;
}

export class SimulatedMeter {
  readonly #clock: VirtualClock;
  readonly writes: Write[] = [];
  /** Moments at which somebody tried to open it. */
  readonly opened: number[] = [];
  readonly closed: number[] = [];
  plugged = true;
  /** Says nothing, whatever it hears. */
  silent = false;
  /** Refuses whatever is written. */
  deaf = false;
  #listener: TransportListener | null = null;
  #packet = steady(5, 2);

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  readonly open: OpenTransport = async (listener) => {
    this.opened.push(this.#clock.nowMillis());
    if (!this.plugged) throw new Error('no such device');
    this.#listener = listener;
    return {
      write: async (report) => {
        if (this.deaf) throw new Error('cannot be written to');
        this.writes.push({ atMillis: this.#clock.nowMillis(), hex: Buffer.from(report).toString('hex') });
      },
      close: async () => {
        if (this.#listener === listener) this.#listener = null;
        this.closed.push(this.#clock.nowMillis());
      },
    };
  };

  /** Kinds of the commands so far: 81, 82, 83. */
  get commands(): string[] {
    return this.writes.map(({ hex }) => hex.slice(2, 4));
  }

  get isOpen(): boolean {
    return this.#listener !== null;
  }

  send(...packets: readonly Uint8Array[]): void {
    for (const packet of packets) this.#listener?.onReport(packet);
  }

  /** Measures 10 W for so long: a packet every 40 ms. */
  async measure(millis: number): Promise<void> {
    for (let passed = 0; passed < millis; passed += 40) {
      await this.#clock.advance(40);
      if (!this.silent) this.send(this.#packet);
    }
  }

  unplug(): void {
    this.plugged = false;
    const listener = this.#listener;
    this.#listener = null;
    listener?.onError(new Error('could not read from HID device'));
  }
}
