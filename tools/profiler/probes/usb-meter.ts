/** @file A USB power meter in the supply line: it measures whatever hangs behind it, as a rule the whole board. */
import { type Clock, systemClock } from '../../../runtime/hid/clock.ts';
import type { PowerReading as MeterReading, PowerMeter } from '../../../runtime/hid/fnirsi/power-meter.ts';
import type { PowerReading, PowerSource } from './power-source.ts';

/** What may still be on its way at the beginning and at the end: a packet comes every 40 ms. */
const TOLERANCE_MILLIS = 250;
const TOLERANCE_SHARE = 0.02;

/** One run's view of a meter that is open for longer: energy counts from its first reading. Whoever opened the meter lets it go. */
export class UsbMeter implements PowerSource {
  readonly name: string;
  readonly #meter: Pick<PowerMeter, 'reading'>;
  readonly #clock: Clock;
  #first: { readonly reading: MeterReading; readonly atMillis: number } | null = null;
  #last: { readonly reading: MeterReading; readonly atMillis: number } | null = null;

  constructor(meter: Pick<PowerMeter, 'reading'>, clock: Clock = systemClock) {
    this.#meter = meter;
    this.#clock = clock;
    this.name = meter.reading().source;
  }

  async read(): Promise<PowerReading | null> {
    const reading = this.#meter.reading();
    this.#last = { reading, atMillis: this.#clock.nowMillis() };
    this.#first ??= this.#last;
    const { last, energy, connection } = reading;
    if (last === null || !connection.connected) return null;
    return { watts: last.volts * last.amps, joules: energy.joules - this.#first.reading.energy.joules };
  }

  /** Says so where the meter measured less, or by its own clock more, than the time between the readings. */
  missing(): readonly string[] {
    if (this.#first === null || this.#last === null) return [];
    const millis = this.#last.atMillis - this.#first.atMillis;
    const covered = this.#last.reading.energy.coveredMillis - this.#first.reading.energy.coveredMillis;
    if (Math.abs(millis - covered) <= TOLERANCE_MILLIS + TOLERANCE_SHARE * millis) return [];
    return [`energy is that of ${seconds(covered)} which the ${this.name} measured, out of ${seconds(millis)}`];
  }

  close(): void {}
}

const seconds = (millis: number): string => `${(millis / 1000).toFixed(1)} s`;
