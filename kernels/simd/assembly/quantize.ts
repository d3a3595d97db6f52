/**
 * @file Eight-bit codes of whole tensors, for what the backward pass reads.
 *
 * Each image and each group of 16 channels has its own range. An image's code is its bytes in the tensor's order, padded
 * to a multiple of 4, then for each group the smallest value and the step between two codes as floats.
 */

const GROUP: i32 = 16;

/** Smallest and largest value of a group over the pixels of one image, written as smallest and step. */
function groupRange(x: usize, pixels: i32, channels: i32, count: i32, range: usize): void {
  const row: usize = <usize>channels << 2;
  let low: f32 = Infinity;
  let high: f32 = -Infinity;
  if (count == GROUP) {
    let lows = f32x4.splat(Infinity);
    let highs = f32x4.splat(-Infinity);
    for (let p = 0; p < pixels; p++, x += row) {
      const a = v128.load(x);
      const b = v128.load(x, 16);
      const c = v128.load(x, 32);
      const d = v128.load(x, 48);
      lows = f32x4.min(lows, f32x4.min(f32x4.min(a, b), f32x4.min(c, d)));
      highs = f32x4.max(highs, f32x4.max(f32x4.max(a, b), f32x4.max(c, d)));
    }
    low = min(min(f32x4.extract_lane(lows, 0), f32x4.extract_lane(lows, 1)),
      min(f32x4.extract_lane(lows, 2), f32x4.extract_lane(lows, 3)));
    high = max(max(f32x4.extract_lane(highs, 0), f32x4.extract_lane(highs, 1)),
      max(f32x4.extract_lane(highs, 2), f32x4.extract_lane(highs, 3)));
  } else {
    for (let p = 0; p < pixels; p++, x += row) {
      for (let c = 0; c < count; c++) {
        const value = load<f32>(x + (<usize>c << 2));
        low = min(low, value);
        high = max(high, value);
      }
    }
  }
  store<f32>(range, low);
  store<f32>(range, (high - low) / 255, 4);
}

// @ts-ignore: decorator
@inline
function encodeFour(x: usize, low: v128, inverse: v128): v128 {
  return i32x4.trunc_sat_f32x4_u(f32x4.add(f32x4.mul(f32x4.sub(v128.load(x), low), inverse), f32x4.splat(0.5)));
}

function encodeGroup(x: usize, pixels: i32, channels: i32, count: i32, range: usize, code: usize): void {
  const low = load<f32>(range);
  const step = load<f32>(range, 4);
  const inverse: f32 = step > 0 ? 1 / step : 0;
  const row: usize = <usize>channels << 2;
  if (count == GROUP) {
    const lows = f32x4.splat(low);
    const inverses = f32x4.splat(inverse);
    for (let p = 0; p < pixels; p++, x += row, code += <usize>channels) {
      const first = i16x8.narrow_i32x4_u(encodeFour(x, lows, inverses), encodeFour(x + 16, lows, inverses));
      const second = i16x8.narrow_i32x4_u(encodeFour(x + 32, lows, inverses), encodeFour(x + 48, lows, inverses));
      v128.store(code, i8x16.narrow_i16x8_u(first, second));
    }
    return;
  }
  for (let p = 0; p < pixels; p++, x += row, code += <usize>channels) {
    for (let c = 0; c < count; c++) {
      store<u8>(code + <usize>c, <u8>min((load<f32>(x + (<usize>c << 2)) - low) * inverse + 0.5, 255));
    }
  }
}

function decodeGroup(code: usize, pixels: i32, channels: i32, count: i32, range: usize, x: usize): void {
  const low = load<f32>(range);
  const step = load<f32>(range, 4);
  const row: usize = <usize>channels << 2;
  if (count == GROUP) {
    const lows = f32x4.splat(low);
    const steps = f32x4.splat(step);
    for (let p = 0; p < pixels; p++, x += row, code += <usize>channels) {
      for (let c: usize = 0; c < 16; c += 4) {
        const codes = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(code + c)));
        v128.store(x + (c << 2), f32x4.add(lows, f32x4.mul(f32x4.convert_i32x4_u(codes), steps)));
      }
    }
    return;
  }
  for (let p = 0; p < pixels; p++, x += row, code += <usize>channels) {
    for (let c = 0; c < count; c++) {
      store<f32>(x + (<usize>c << 2), low + <f32>load<u8>(code + <usize>c) * step);
    }
  }
}

/** Codes of x `[N, P, C]`; see the file comment for their layout. */
export function encodeBytes(x: usize, code: usize, batch: i32, pixels: i32, channels: i32): void {
  const bytes: usize = (<usize>(pixels * channels) + 3) & ~3;
  const groups = (channels + GROUP - 1) / GROUP;
  for (let n = 0; n < batch; n++) {
    for (let g = 0; g < groups; g++) {
      const first = g * GROUP;
      const count = min(channels - first, GROUP);
      const range = code + bytes + (<usize>g << 3);
      groupRange(x + (<usize>first << 2), pixels, channels, count, range);
      encodeGroup(x + (<usize>first << 2), pixels, channels, count, range, code + <usize>first);
    }
    x += <usize>(pixels * channels) << 2;
    code += bytes + (<usize>groups << 3);
  }
}

/** x `[N, P, C]` from its codes. */
export function decodeBytes(code: usize, x: usize, batch: i32, pixels: i32, channels: i32): void {
  const bytes: usize = (<usize>(pixels * channels) + 3) & ~3;
  const groups = (channels + GROUP - 1) / GROUP;
  for (let n = 0; n < batch; n++) {
    for (let g = 0; g < groups; g++) {
      const first = g * GROUP;
      const count = min(channels - first, GROUP);
      const range = code + bytes + (<usize>g << 3);
      decodeGroup(code + <usize>first, pixels, channels, count, range, x + (<usize>first << 2));
    }
    x += <usize>(pixels * channels) << 2;
    code += bytes + (<usize>groups << 3);
  }
}
