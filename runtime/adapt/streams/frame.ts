/** @file A frame of a stream, decoded to the size of the network's input. */

export interface Frame {
  /** From 0, in the order of arrival; frames that are dropped count. */
  readonly index: number;
  /** File name, or what the source calls it. */
  readonly name: string;
  /** When it arrived, milliseconds since the epoch. */
  readonly arrivedMillis: number;
  /** u8, RGB, channels-last, side x side x 3. */
  readonly pixels: Uint8Array;
}
