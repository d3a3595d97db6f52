/**
 * @file Elementwise sums and checks, and the global average pool.
 */
import { columnSum } from './affine-backward';

/** y = a + b over count floats; y may be a or b. */
export function add(a: usize, b: usize, y: usize, count: i32): void {
  const bytes: usize = <usize>count << 2;
  let i: usize = 0;
  for (; i + 32 <= bytes; i += 32) {
    const first = f32x4.add(v128.load(a + i), v128.load(b + i));
    const second = f32x4.add(v128.load(a + i, 16), v128.load(b + i, 16));
    v128.store(y + i, first);
    v128.store(y + i, second, 16);
  }
  for (; i < bytes; i += 4) store<f32>(y + i, load<f32>(a + i) + load<f32>(b + i));
}

/** x *= factor over count floats. */
export function scaleInPlace(x: usize, count: i32, factor: f32): void {
  const bytes: usize = <usize>count << 2;
  const factors = f32x4.splat(factor);
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) v128.store(x + i, f32x4.mul(v128.load(x + i), factors));
  for (; i < bytes; i += 4) store<f32>(x + i, load<f32>(x + i) * factor);
}

/** Zeroes bytes. */
export function fill(pointer: usize, bytes: usize): void {
  memory.fill(pointer, 0, bytes);
}

/** How many of count floats are NaN or infinite: those with every exponent bit set. */
export function countNonFinite(x: usize, count: i32): i32 {
  const bytes: usize = <usize>count << 2;
  const exponent = i32x4.splat(0x7f800000);
  let found = i32x4.splat(0);
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) {
    found = i32x4.sub(found, i32x4.eq(v128.and(v128.load(x + i), exponent), exponent));
  }
  let total = i32x4.extract_lane(found, 0) + i32x4.extract_lane(found, 1);
  total += i32x4.extract_lane(found, 2) + i32x4.extract_lane(found, 3);
  for (; i < bytes; i += 4) total += i32((load<i32>(x + i) & 0x7f800000) == 0x7f800000);
  return total;
}

/** y `[N, C]` = mean of x `[N, P, C]` over the pixels. */
export function globalAveragePoolForward(x: usize, y: usize, batch: i32, pixels: i32, channels: i32): void {
  const rowBytes: usize = <usize>channels << 2;
  fill(y, <usize>batch * rowBytes);
  for (let n: usize = 0; n < <usize>batch; n++) {
    columnSum(x + n * <usize>pixels * rowBytes, pixels, channels, y + n * rowBytes, 0, channels);
  }
  scaleInPlace(y, batch * channels, <f32>1 / <f32>pixels);
}

/** dx `[N, P, C]` = dy `[N, C]` / P, the same for every pixel; dx is overwritten. */
export function globalAveragePoolBackward(dy: usize, dx: usize, batch: i32, pixels: i32, channels: i32): void {
  const rowBytes: usize = <usize>channels << 2;
  const share: f32 = <f32>1 / <f32>pixels;
  const shares = f32x4.splat(share);
  for (let n = 0; n < batch; n++) {
    for (let p = 0; p < pixels; p++) {
      let i: usize = 0;
      for (; i + 16 <= rowBytes; i += 16) v128.store(dx + i, f32x4.mul(v128.load(dy + i), shares));
      for (; i < rowBytes; i += 4) store<f32>(dx + i, load<f32>(dy + i) * share);
      dx += rowBytes;
    }
    dy += rowBytes;
  }
}
