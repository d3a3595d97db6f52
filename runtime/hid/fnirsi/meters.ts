/** @file The meters of the family: how they are recognized and what they want to hear. Source: as for the packets. */
import { type Command, commands } from './packet.ts';

export interface MeterModel {
  readonly name: string;
  readonly vendorId: number;
  readonly productId: number;
  /** Commands that begin the measuring, in this order. */
  readonly begin: readonly Command[];
  /** Least time from one keep-alive to the next. */
  readonly refreshMillis: number;
}

const { identify, start, keepAlive } = commands;

/** What the older meters, and the newer ones, want to hear. */
const older = { begin: [identify, start, keepAlive], refreshMillis: 3 } as const;
const newer = { begin: [identify, start, start], refreshMillis: 1000 } as const;

/**
 * Two exceptions are known that no id tells: an FNB58 with firmware 0.68 freezes unless it is refreshed every 3 ms, and
 * an FNAC-28 has the id of a C1 and wants what an FNB58 wants. `PowerMeterOptions` has a way to say either.
 */
export const meterModels: readonly MeterModel[] = [
  { name: 'FNB48', vendorId: 0x0483, productId: 0x003a, ...older },
  { name: 'C1', vendorId: 0x0483, productId: 0x003b, ...older },
  { name: 'FNB58', vendorId: 0x2e3c, productId: 0x5558, ...newer },
  { name: 'FNB48S', vendorId: 0x2e3c, productId: 0x0049, ...newer },
];
