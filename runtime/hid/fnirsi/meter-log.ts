/** @file What came from a meter so far: energy, the last sample, and counts of what could not be used. */
import { type EnergyCounts, EnergyIntegral } from './energy.ts';
import { decodePacket, type MeterSample, type Refusal, SAMPLE_MILLIS, SAMPLES_PER_PACKET } from './packet.ts';

export interface TimedSample extends MeterSample {
  /** Arrival of its packet, less the samples behind it in the packet; never before the sample before. */
  readonly atMillis: number;
}

export interface PacketCounts {
  /** With measurements. */
  readonly read: number;
  readonly refused: Readonly<Record<Refusal, number>>;
  /** Samples of packets that were read, and yet cannot be true. */
  readonly garbageSamples: number;
}

export interface MeterTotals {
  /** Null before the first sample. */
  readonly last: TimedSample | null;
  readonly energy: EnergyCounts;
  /** From the first sample until now. What exceeds `energy.coveredMillis` was not measured. */
  readonly elapsedMillis: number;
  readonly packets: PacketCounts;
}

/** Packets that follow each other are no further apart; they are sent every 40 ms. */
const LONGEST_PACKET_MILLIS = 5 * SAMPLES_PER_PACKET * SAMPLE_MILLIS;

export class MeterLog {
  readonly #onSample: (sample: TimedSample) => void;
  readonly #energy = new EnergyIntegral(SAMPLE_MILLIS);
  readonly #refused: Record<Refusal, number> = { length: 0, marker: 0, kind: 0, checksum: 0 };
  #read = 0;
  #garbageSamples = 0;
  #arrivedMillis = Number.NEGATIVE_INFINITY;
  #firstMillis: number | null = null;
  #last: TimedSample | null = null;

  /** @param onSample Told of each sample that is not garbage. */
  constructor(onSample: (sample: TimedSample) => void = () => {}) {
    this.#onSample = onSample;
  }

  /** @param arrivedMillis Not before the packet before. */
  add(packet: Uint8Array, arrivedMillis: number): void {
    const { samples, refusal } = decodePacket(packet);
    if (refusal !== null) {
      this.#refused[refusal] += 1;
      // A packet of another kind takes nobody's place; any other was one with measurements.
      if (refusal !== 'kind') this.#energy.skip();
      return;
    }
    this.#read += 1;
    if (arrivedMillis - this.#arrivedMillis > LONGEST_PACKET_MILLIS) this.#energy.skip();
    this.#arrivedMillis = arrivedMillis;
    for (const [n, sample] of samples.entries()) {
      this.#addSample(sample, arrivedMillis - (samples.length - 1 - n) * SAMPLE_MILLIS);
    }
  }

  /** The meter is gone: what comes next does not follow what came. */
  interrupt(): void {
    this.#energy.skip();
  }

  /** @param nowMillis By the clock of the arrivals. */
  totals(nowMillis: number): MeterTotals {
    return {
      last: this.#last,
      energy: this.#energy.counts(),
      elapsedMillis: this.#firstMillis === null ? 0 : nowMillis - this.#firstMillis,
      packets: { read: this.#read, refused: { ...this.#refused }, garbageSamples: this.#garbageSamples },
    };
  }

  #addSample(sample: MeterSample | null, atMillis: number): void {
    if (sample === null) {
      this.#garbageSamples += 1;
      this.#energy.skip();
      return;
    }
    this.#energy.add(sample.volts * sample.amps);
    // Packets that had to wait come all at once.
    const timed = { ...sample, atMillis: Math.max(atMillis, this.#last?.atMillis ?? atMillis) };
    this.#firstMillis ??= timed.atMillis;
    this.#last = timed;
    this.#onSample(timed);
  }
}
