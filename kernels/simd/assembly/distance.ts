/**
 * @file Mean absolute difference of each image, with the packed signs that its backward pass reads.
 *
 * The signs of an image fill ceil(count / 8) bytes: element i is bit (i & 7) of byte (i >> 3), unused bits are zero.
 */

/** Elements whose differences are added up in float32 before they go into the float64 total; a multiple of 8. */
const CHUNK: usize = 4096;

/** y[n] = mean of |a - b| over the `count` floats of image n, and the bits 1[a > b]; signs 0: not wanted. */
export function distanceForward(a: usize, b: usize, y: usize, batch: i32, count: i32, signs: usize): void {
  const whole = (<usize>count >> 3) << 3;
  const zero = f32x4.splat(0);
  for (let n = 0; n < batch; n++) {
    let total: f64 = 0;
    let i: usize = 0;
    while (i < whole) {
      let sum0 = zero;
      let sum1 = zero;
      for (const end = min(whole, i + CHUNK); i < end; i += 8) {
        const first = f32x4.sub(v128.load(a), v128.load(b));
        const second = f32x4.sub(v128.load(a, 16), v128.load(b, 16));
        sum0 = f32x4.add(sum0, f32x4.abs(first));
        sum1 = f32x4.add(sum1, f32x4.abs(second));
        if (signs) {
          const bits = i32x4.bitmask(f32x4.gt(first, zero)) | (i32x4.bitmask(f32x4.gt(second, zero)) << 4);
          store<u8>(signs++, bits);
        }
        a += 32;
        b += 32;
      }
      const sum = f32x4.add(sum0, sum1);
      total += <f64>f32x4.extract_lane(sum, 0) + <f64>f32x4.extract_lane(sum, 1);
      total += <f64>f32x4.extract_lane(sum, 2) + <f64>f32x4.extract_lane(sum, 3);
    }
    let bits = 0;
    for (; i < <usize>count; i++) {
      const difference = load<f32>(a) - load<f32>(b);
      total += <f64>Mathf.abs(difference);
      bits |= i32(difference > 0) << <i32>(i & 7);
      a += 4;
      b += 4;
    }
    if (signs && whole < <usize>count) store<u8>(signs++, bits);
    store<f32>(y + (<usize>n << 2), <f32>(total / <f64>count));
  }
}

/** da = dy[n] / count where the bit is set, else -dy[n] / count; da is overwritten. */
export function distanceBackward(dy: usize, signs: usize, da: usize, batch: i32, count: i32): void {
  const whole = (<usize>count >> 3) << 3;
  const lowLanes = i32x4(1, 2, 4, 8);
  const highLanes = i32x4(16, 32, 64, 128);
  for (let n = 0; n < batch; n++) {
    const step: f32 = load<f32>(dy + (<usize>n << 2)) / <f32>count;
    const up = f32x4.splat(step);
    const down = f32x4.neg(up);
    let i: usize = 0;
    for (; i < whole; i += 8) {
      const bits = i32x4.splat(load<u8>(signs++));
      v128.store(da, v128.bitselect(up, down, i32x4.eq(v128.and(bits, lowLanes), lowLanes)));
      v128.store(da, v128.bitselect(up, down, i32x4.eq(v128.and(bits, highLanes), highLanes)), 16);
      da += 32;
    }
    for (; i < <usize>count; i++) {
      store<f32>(da, (load<u8>(signs) >> <u8>(i & 7)) & 1 ? step : -step);
      da += 4;
    }
    if (whole < <usize>count) signs++;
  }
}
