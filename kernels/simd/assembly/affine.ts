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

/** All bits of a lane are set where from <= value <= to, so never for NaN. */
// @ts-ignore: decorator
@inline
function within(value: v128, from: v128, to: v128): v128 {
  return v128.and(f32x4.ge(value, from), f32x4.le(value, to));
}

// pmax(a, b) is `a < b ? b : a`: a NaN in the first place stays, and it is one instruction where max is seven.
// @ts-ignore: decorator
@inline
function clip(a: v128, low: v128, high: v128): v128 {
  return f32x4.pmin(f32x4.pmax(a, low), high);
}

/** z * factor + offset of four channels. */
// @ts-ignore: decorator
@inline
function affineOf(AFFINE: bool, FACTOR: bool, z: usize, factor: usize, offset: usize): v128 {
  let a = v128.load(z);
  if (FACTOR) a = f32x4.mul(a, v128.load(factor));
  if (AFFINE) a = f32x4.add(a, v128.load(offset));
  return a;
}

/** The loop of all variants; AFFINE, FACTOR and MASK are constants, so each call compiles to its own straight loop. */
// @ts-ignore: decorator
@inline
function run(
  AFFINE: bool, FACTOR: bool, MASK: bool,
  z: usize, y: usize, rows: i32, channels: i32, factor: usize, offset: usize,
  low: f32, high: f32, mask: usize, from: f32, to: f32, firstChannel: i32, lastChannel: i32,
): void {
  const lows = f32x4.splat(low);
  const highs = f32x4.splat(high);
  const froms = f32x4.splat(from);
  const tos = f32x4.splat(to);
  const rowBytes: usize = <usize>channels << 2;
  const maskBytes: usize = (<usize>channels + 7) >> 3;
  const first: usize = <usize>firstChannel << 2;
  const end: usize = <usize>lastChannel << 2;
  const wideEnd = first + ((end - first) & ~63);
  const vectorEnd = first + ((end - first) & ~31);
  for (let row = 0; row < rows; row++) {
    let c = first;
    for (; c < wideEnd; c += 64) {
      const a0 = affineOf(AFFINE, FACTOR, z + c, factor + c, offset + c);
      const a1 = affineOf(AFFINE, FACTOR, z + c + 16, factor + c + 16, offset + c + 16);
      const a2 = affineOf(AFFINE, FACTOR, z + c + 32, factor + c + 32, offset + c + 32);
      const a3 = affineOf(AFFINE, FACTOR, z + c + 48, factor + c + 48, offset + c + 48);
      v128.store(y + c, clip(a0, lows, highs));
      v128.store(y + c, clip(a1, lows, highs), 16);
      v128.store(y + c, clip(a2, lows, highs), 32);
      v128.store(y + c, clip(a3, lows, highs), 48);
      if (MASK) {
        const left = i16x8.narrow_i32x4_s(within(a0, froms, tos), within(a1, froms, tos));
        const right = i16x8.narrow_i32x4_s(within(a2, froms, tos), within(a3, froms, tos));
        store<u16>(mask + (c >> 5), i8x16.bitmask(i8x16.narrow_i16x8_s(left, right)));
      }
    }
    for (; c < vectorEnd; c += 32) {
      const a0 = affineOf(AFFINE, FACTOR, z + c, factor + c, offset + c);
      const a1 = affineOf(AFFINE, FACTOR, z + c + 16, factor + c + 16, offset + c + 16);
      v128.store(y + c, clip(a0, lows, highs));
      v128.store(y + c, clip(a1, lows, highs), 16);
      if (MASK) {
        const lanes = i16x8.narrow_i32x4_s(within(a0, froms, tos), within(a1, froms, tos));
        store<u8>(mask + (c >> 5), i16x8.bitmask(lanes));
      }
    }
    if (c < end) {
      const byte = mask + (c >> 5);
      let bits = 0;
      for (let bit = 0; c < end; c += 4, bit++) {
        let a = load<f32>(z + c);
        if (FACTOR) a *= load<f32>(factor + c);
        if (AFFINE) a += load<f32>(offset + c);
        store<f32>(y + c, a < low ? low : a > high ? high : a);
        bits |= i32(a >= from && a <= to) << bit;
      }
      if (MASK) store<u8>(byte, bits);
    }
    z += rowBytes;
    y += rowBytes;
    if (MASK) mask += maskBytes;
  }
}

/**
 * y = min(max(z * factor + offset, low), high) per channel, z and y `[rows, C]`, factor and offset `[C]`.
 *
 * y may be z. factor 0 stands for ones. Where mask is not 0, it receives 1[low < a < high], or with signMask 1[a >= 0],
 * of the unclipped a. NaN stays NaN and gets bit 0.
 * Of the channels, firstChannel .. lastChannel (exclusive) are computed; the first is a multiple of 8.
 */
export function affineForward(
  z: usize, y: usize, rows: i32, channels: i32, factor: usize, offset: usize,
  low: f32, high: f32, mask: usize, signMask: i32, firstChannel: i32, lastChannel: i32,
): void {
  // Closed bounds serve both kinds of mask: low < a is nextAbove(low) <= a.
  const from: f32 = signMask ? 0 : nextAbove(low);
  const to = signMask ? <f32>Infinity : -nextAbove(-high);
  if (factor && mask) {
    run(
      true, true, true, z, y, rows, channels, factor, offset, low, high, mask, from, to, firstChannel, lastChannel,
    );
  } else if (factor) {
    run(
      true, true, false, z, y, rows, channels, factor, offset, low, high, mask, from, to, firstChannel, lastChannel,
    );
  } else if (mask) {
    run(
      true, false, true, z, y, rows, channels, factor, offset, low, high, mask, from, to, firstChannel, lastChannel,
    );
  } else {
    run(
      true, false, false, z, y, rows, channels, factor, offset, low, high, mask, from, to, firstChannel, lastChannel,
    );
  }
}

/** y = min(max(x, low), high) with the mask of {@link affineForward}; x and y `[rows, C]`, y may be x. */
export function clipForward(
  x: usize, y: usize, rows: i32, channels: i32, low: f32, high: f32, mask: usize, signMask: i32, firstChannel: i32,
  lastChannel: i32,
): void {
  const from: f32 = signMask ? 0 : nextAbove(low);
  const to = signMask ? <f32>Infinity : -nextAbove(-high);
  if (mask) {
    run(false, false, true, x, y, rows, channels, 0, 0, low, high, mask, from, to, firstChannel, lastChannel);
  } else run(false, false, false, x, y, rows, channels, 0, 0, low, high, 0, from, to, firstChannel, lastChannel);
}
