/** @file What a corruption is to the rest of the code, and how values become bytes. */
import type { Random } from '../../train/random.ts';

/**
 * Makes the corrupted copy of one square image (u8, RGB, channels-last, side^2 x 3 bytes).
 *
 * Draws from `random` and nowhere else.
 */
export type Operation<Parameters, Result = Uint8Array> = (
  image: Uint8Array,
  side: number,
  parameters: Parameters,
  random: Random,
) => Result;

/** Byte of a value in [0, 1] after clipping; the fraction is cut off, not rounded, as the benchmark's np.uint8 does. */
export function toByte(value: number): number {
  return value >= 1 ? 255 : value > 0 ? Math.trunc(value * 255) : 0;
}

/** Values in [0, 1], double precision. */
export function unitValues(image: Uint8Array): Float64Array {
  return new Float64Array(image).map((byte) => byte / 255);
}

/** Bytes of values in [0, 1], which are clipped. */
export function toBytes(values: Float64Array | Float32Array): Uint8Array {
  const bytes = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) bytes[i] = toByte(values[i] as number);
  return bytes;
}
