/** @file A frame of a stream, decoded to the size of the network's input. */

/** When something arrived. */
export interface Arrival {
  /** By the wall clock, milliseconds since the epoch; that clock may be set meanwhile. */
  readonly epochMillis: number;
  /** By the process's own, `performance.now()`. */
  readonly clockMillis: number;
}

export const arrivesNow = (): Arrival => ({ epochMillis: Date.now(), clockMillis: performance.now() });

/** Milliseconds since then, to a hundredth. */
export function millisSince({ clockMillis }: Arrival): number {
  return Math.round(100 * (performance.now() - clockMillis)) / 100;
}

export interface Frame {
  /** From 0, in the order of arrival; frames that are dropped count. */
  readonly index: number;
  /** File name, or what the source calls it. */
  readonly name: string;
  readonly arrival: Arrival;
  /** u8, RGB, channels-last, side x side x 3. */
  readonly pixels: Uint8Array;
}
