/**
 * @file Per-channel scale and shift with clipping, and the packed mask its backward pass reads. The gradients are in
 * affine-backward.ts and affine-scale.ts.
 *
 * A mask row holds ceil(C / 8) bytes, channel c is bit (c & 7) of byte (c >> 3), lowest bit first, unused bits zero.
 */

/** The next float above `value`; -Infinity gives the lowest finite float. NaN and Infinity are not expected. */
function nextAbove(value: f32): f32 {
  if (value == 0) return reinterpret<f32>(1);
  const bits = reinterpret<i32>(value);
  return reinterpret<f32>(value > 0 ? bits + 1 : bits - 1);
}

/** Mask byte of eight values: bit i is set where from <= value <= to, so never for NaN. */
// @ts-ignore: decorator
@inline
function packByte(first: v128, second: v128, from: v128, to: v128): i32 {
  const low = i32x4.bitmask(v128.and(f32x4.ge(first, from), f32x4.le(first, to)));
  return low | (i32x4.bitmask(v128.and(f32x4.ge(second, from), f32x4.le(second, to))) << 4);
}

// pmax(a, b) is `a < b ? b : a`: a NaN in the first place stays, and it is one instruction where max is seven.
// @ts-ignore: decorator
@inline
function clip(a: v128, low: v128, high: v128): v128 {
  return f32x4.pmin(f32x4.pmax(a, low), high);
}

/** The loop of all variants; AFFINE, FACTOR and MASK are constants, so each call compiles to its own straight loop. */
// @ts-ignore: decorator
@inline
function run(
  AFFINE: bool, FACTOR: bool, MASK: bool,
  z: usize, y: usize, rows: i32, channels: i32, factor: usize, offset: usize,
  low: f32, high: f32, mask: usize, from: f32, to: f32,
): void {
  const lows = f32x4.splat(low);
  const highs = f32x4.splat(high);
  const froms = f32x4.splat(from);
  const tos = f32x4.splat(to);
  const vectorBytes: usize = (<usize>channels & ~7) << 2;
  const rowBytes: usize = <usize>channels << 2;
  for (let row = 0; row < rows; row++) {
    let c: usize = 0;
    for (; c < vectorBytes; c += 32) {
      let first = v128.load(z + c);
      let second = v128.load(z + c, 16);
      if (FACTOR) {
        first = f32x4.mul(first, v128.load(factor + c));
        second = f32x4.mul(second, v128.load(factor + c, 16));
      }
      if (AFFINE) {
        first = f32x4.add(first, v128.load(offset + c));
        second = f32x4.add(second, v128.load(offset + c, 16));
      }
      v128.store(y + c, clip(first, lows, highs));
      v128.store(y + c, clip(second, lows, highs), 16);
      if (MASK) store<u8>(mask++, packByte(first, second, froms, tos));
    }
    if (c < rowBytes) {
      let bits = 0;
      for (let bit = 0; c < rowBytes; c += 4, bit++) {
        let a = load<f32>(z + c);
        if (FACTOR) a *= load<f32>(factor + c);
        if (AFFINE) a += load<f32>(offset + c);
        store<f32>(y + c, a < low ? low : a > high ? high : a);
        bits |= i32(a >= from && a <= to) << bit;
      }
      if (MASK) store<u8>(mask++, bits);
    }
    z += rowBytes;
    y += rowBytes;
  }
}

/**
 * y = min(max(z * factor + offset, low), high) per channel, z and y `[rows, C]`, factor and offset `[C]`.
 *
 * y may be z. factor 0 stands for ones. Where mask is not 0, it receives 1[low < a < high], or with signMask 1[a >= 0],
 * of the unclipped a. NaN stays NaN and gets bit 0.
 */
export function affineForward(
  z: usize, y: usize, rows: i32, channels: i32, factor: usize, offset: usize,
  low: f32, high: f32, mask: usize, signMask: i32,
): void {
  // Closed bounds serve both kinds of mask: low < a is nextAbove(low) <= a.
  const from: f32 = signMask ? 0 : nextAbove(low);
  const to = signMask ? <f32>Infinity : -nextAbove(-high);
  if (factor && mask) run(true, true, true, z, y, rows, channels, factor, offset, low, high, mask, from, to);
  else if (factor) run(true, true, false, z, y, rows, channels, factor, offset, low, high, mask, from, to);
  else if (mask) run(true, false, true, z, y, rows, channels, factor, offset, low, high, mask, from, to);
  else run(true, false, false, z, y, rows, channels, factor, offset, low, high, mask, from, to);
}

/** y = min(max(x, low), high) with the mask of {@link affineForward}; x and y `[rows, C]`, y may be x. */
export function clipForward(
  x: usize, y: usize, rows: i32, channels: i32, low: f32, high: f32, mask: usize, signMask: i32,
): void {
  const from: f32 = signMask ? 0 : nextAbove(low);
  const to = signMask ? <f32>Infinity : -nextAbove(-high);
  if (mask) run(false, false, true, x, y, rows, channels, 0, 0, low, high, mask, from, to);
  else run(false, false, false, x, y, rows, channels, 0, 0, low, high, mask, from, to);
}
