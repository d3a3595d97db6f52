/**
 * @file What the sums over the rows of an `[rows, C]` matrix share: affine-backward.ts and affine-scale.ts.
 *
 * Sixteen channels stay in registers while the rows are walked. A sum over 100 000 rows in float32 would lose four
 * digits, so it is float32 over CHUNK rows and float64 above; only once a stripe is it rounded into the float32 result.
 * A stripe is as many rows as stay in the second-level cache while all channels pass.
 */

export const CHUNK: i32 = 64;
const STRIPE_BYTES: i32 = 1 << 17;
const FETCHED_FLOATS: usize = 1 << 21;

export function stripeRows(channels: i32): i32 {
  return max(CHUNK, STRIPE_BYTES / (channels << 2));
}

/**
 * Whether a stripe fetches the next one while it is computed: where a matrix does not stay in the last-level cache.
 *
 * Walking down columns of channels defeats the prefetchers of processors, so the next stripe is read in the order of
 * memory, a line with each step of the walks.
 */
export function fetchesAhead(rows: i32, channels: i32, firstChannel: i32, lastChannel: i32): bool {
  return <usize>rows * <usize>channels >= FETCHED_FLOATS && (lastChannel - firstChannel) % 16 == 0;
}

/** First line that column `column` of a stripe fetches of the next, whose rows have `lines` lines from `next` on. */
// @ts-ignore: decorator
@inline
export function firstFetched(next: usize, column: i32, rows: i32, lines: i32, rowBytes: usize): usize {
  const line = column * rows;
  return next + <usize>(line / lines) * rowBytes + (<usize>(line % lines) << 6);
}

/** One past the last line of the row in which {@link firstFetched} lies. */
// @ts-ignore: decorator
@inline
export function endFetched(next: usize, column: i32, rows: i32, lines: i32, rowBytes: usize): usize {
  return next + <usize>(column * rows / lines) * rowBytes + (<usize>lines << 6);
}

/** Keeps the lanes of `value` whose bit in `bits` is set and zeroes the others, NaN included. */
// @ts-ignore: decorator
@inline
export function keep(value: v128, bits: v128, lanes: v128): v128 {
  return v128.and(value, i32x4.eq(v128.and(bits, lanes), lanes));
}

// @ts-ignore: decorator
@inline
export function promoteLow(value: v128): v128 {
  return f64x2.promote_low_f32x4(value);
}

// @ts-ignore: decorator
@inline
export function promoteHigh(value: v128): v128 {
  return f64x2.promote_low_f32x4(v128.shuffle<i32>(value, value, 2, 3, 2, 3));
}

/** target[0..3] += (low, high), four float64 sums, rounded once. */
// @ts-ignore: decorator
@inline
export function addTotals(target: usize, low: v128, high: v128): void {
  const old = v128.load(target);
  const first = f32x4.demote_f64x2_zero(f64x2.add(promoteLow(old), low));
  const second = f32x4.demote_f64x2_zero(f64x2.add(promoteHigh(old), high));
  v128.store(target, v128.shuffle<i32>(first, second, 0, 1, 4, 5));
}

/** target[0..3] += factor[0..3] * (low, high). */
// @ts-ignore: decorator
@inline
export function addScaled(target: usize, factor: usize, low: v128, high: v128): void {
  const scale = v128.load(factor);
  addTotals(target, f64x2.mul(low, promoteLow(scale)), f64x2.mul(high, promoteHigh(scale)));
}
