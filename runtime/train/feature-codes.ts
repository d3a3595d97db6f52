/**
 * @file Features as 8-bit codes: the layout and, to the bit, the values of the SIMD kernels encodeBytes and decodeBytes, in
 * TypeScript for the thread that has no arena.
 *
 * One byte a value in the tensor's order, padded to a multiple of 4, then for each group of 16 channels the least value and
 * the step between two codes as floats.
 */
import { CODE_GROUP } from '../autodiff/training-graph.ts';

const { fround } = Math;

/** Writes the codes of one image's features `x` `[..., channels]` into `code`, which begins at a multiple of 4. */
export function encodeFeatures(x: Float32Array, channels: number, code: Uint8Array): void {
  const ranges = rangesOf(code, x.length, channels);
  for (let first = 0, group = 0; first < channels; first += CODE_GROUP, group += 2) {
    const last = Math.min(channels, first + CODE_GROUP);
    let low = Number.POSITIVE_INFINITY;
    let high = Number.NEGATIVE_INFINITY;
    for (let row = 0; row < x.length; row += channels) {
      for (let i = row + first; i < row + last; i++) {
        const value = x[i] as number;
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
    }
    const step = fround(fround(high - low) / 255);
    const inverse = step > 0 ? fround(1 / step) : 0;
    ranges[group] = low;
    ranges[group + 1] = step;
    for (let row = 0; row < x.length; row += channels) {
      for (let i = row + first; i < row + last; i++) {
        const level = fround(fround(fround((x[i] as number) - low) * inverse) + 0.5);
        code[i] = level > 255 ? 255 : level;
      }
    }
  }
}

/** Writes the values that `code` stands for into `x`. */
export function decodeFeatures(code: Uint8Array, channels: number, x: Float32Array): void {
  const ranges = rangesOf(code, x.length, channels);
  for (let first = 0, group = 0; first < channels; first += CODE_GROUP, group += 2) {
    const last = Math.min(channels, first + CODE_GROUP);
    const low = ranges[group] as number;
    const step = ranges[group + 1] as number;
    for (let row = 0; row < x.length; row += channels) {
      for (let i = row + first; i < row + last; i++) x[i] = low + fround((code[i] as number) * step);
    }
  }
}

function rangesOf(code: Uint8Array, count: number, channels: number): Float32Array {
  return new Float32Array(
    code.buffer,
    code.byteOffset + 4 * Math.ceil(count / 4),
    2 * Math.ceil(channels / CODE_GROUP),
  );
}
