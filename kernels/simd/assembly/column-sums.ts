/**
 * @file Backward of affine.ts: mask, scale, and sums over the rows of an `[rows, C]` matrix.
 *
 * Eight channels stay in registers while the rows are walked. A sum over 100 000 rows in float32 would lose four
 * digits, so it is float32 over CHUNK rows and float64 above; only once a stripe is it rounded into the float32 result.
 * A stripe is as many rows as stay in the second-level cache while all channels pass.
 */

const CHUNK: i32 = 64;
const STRIPE_BYTES: i32 = 1 << 18;

function stripeRows(channels: i32): i32 {
  return max(CHUNK, STRIPE_BYTES / (channels << 2));
}

/** Keeps the lanes of `value` whose bit in `bits` is set and zeroes the others, NaN included. */
// @ts-ignore: decorator
@inline
function keep(value: v128, bits: v128, lanes: v128): v128 {
  return v128.and(value, i32x4.eq(v128.and(bits, lanes), lanes));
}

// @ts-ignore: decorator
@inline
function promoteLow(value: v128): v128 {
  return f64x2.promote_low_f32x4(value);
}

// @ts-ignore: decorator
@inline
function promoteHigh(value: v128): v128 {
  return f64x2.promote_low_f32x4(v128.shuffle<i32>(value, value, 2, 3, 2, 3));
}

/** target[0..3] += (low, high), four float64 sums, rounded once. */
// @ts-ignore: decorator
@inline
function addTotals(target: usize, low: v128, high: v128): void {
  const old = v128.load(target);
  const first = f32x4.demote_f64x2_zero(f64x2.add(promoteLow(old), low));
  const second = f32x4.demote_f64x2_zero(f64x2.add(promoteHigh(old), high));
  v128.store(target, v128.shuffle<i32>(first, second, 0, 1, 4, 5));
}

/** Eight channels of {@link affineBackward} over a stripe; MASK, STORE and SUM are constants. */
// @ts-ignore: decorator
@inline
function backwardEight(
  MASK: bool, STORE: bool, SUM: bool,
  dy: usize, dz: usize, rows: i32, rowBytes: usize, factor: usize, mask: usize, maskBytes: usize, dshift: usize,
): void {
  const lowLanes = i32x4(1, 2, 4, 8);
  const highLanes = i32x4(16, 32, 64, 128);
  let firstFactor = f32x4.splat(1);
  let secondFactor = firstFactor;
  if (STORE) {
    if (factor) {
      firstFactor = v128.load(factor);
      secondFactor = v128.load(factor, 16);
    }
  }
  let total0 = f64x2.splat(0);
  let total1 = total0;
  let total2 = total0;
  let total3 = total0;
  while (rows > 0) {
    let firstSum = f32x4.splat(0);
    let secondSum = firstSum;
    for (let left = min(rows, CHUNK); left > 0; left--) {
      let first = v128.load(dy);
      let second = v128.load(dy, 16);
      if (MASK) {
        const bits = i32x4.splat(load<u8>(mask));
        first = keep(first, bits, lowLanes);
        second = keep(second, bits, highLanes);
        mask += maskBytes;
      }
      if (STORE) {
        v128.store(dz, f32x4.mul(first, firstFactor));
        v128.store(dz, f32x4.mul(second, secondFactor), 16);
        dz += rowBytes;
      }
      if (SUM) {
        firstSum = f32x4.add(firstSum, first);
        secondSum = f32x4.add(secondSum, second);
      }
      dy += rowBytes;
    }
    if (SUM) {
      total0 = f64x2.add(total0, promoteLow(firstSum));
      total1 = f64x2.add(total1, promoteHigh(firstSum));
      total2 = f64x2.add(total2, promoteLow(secondSum));
      total3 = f64x2.add(total3, promoteHigh(secondSum));
    }
    rows -= CHUNK;
  }
  if (SUM) {
    addTotals(dshift, total0, total1);
    addTotals(dshift + 16, total2, total3);
  }
}

/** One channel of {@link affineBackward}; null pointers are tested in the loop, as at most seven channels come here. */
function backwardOne(
  dy: usize, dz: usize, rows: i32, rowBytes: usize, factor: f32, mask: usize, maskBytes: usize, bit: i32, dshift: usize,
): void {
  let total: f64 = 0;
  for (let row = 0; row < rows; row++) {
    const g: f32 = !mask || (load<u8>(mask) >> <u8>bit) & 1 ? load<f32>(dy) : 0;
    if (dz) {
      store<f32>(dz, g * factor);
      dz += rowBytes;
    }
    total += g;
    dy += rowBytes;
    if (mask) mask += maskBytes;
  }
  if (dshift) store<f32>(dshift, <f32>(<f64>load<f32>(dshift) + total));
}

// @ts-ignore: decorator
@inline
function backwardStripes(
  MASK: bool, STORE: bool, SUM: bool,
  dy: usize, dz: usize, rows: i32, channels: i32, factor: usize, mask: usize, dshift: usize,
): void {
  const stripe = stripeRows(channels);
  const rowBytes: usize = <usize>channels << 2;
  const maskBytes: usize = (<usize>channels + 7) >> 3;
  for (let row = 0; row < rows; row += stripe) {
    const some = min(stripe, rows - row);
    let c: usize = 0;
    for (; c + 32 <= rowBytes; c += 32) {
      const scale = factor ? factor + c : 0;
      backwardEight(MASK, STORE, SUM, dy + c, dz + c, some, rowBytes, scale, mask + (c >> 5), maskBytes, dshift + c);
    }
    for (; c < rowBytes; c += 4) {
      const scale: f32 = factor ? load<f32>(factor + c) : 1;
      const bits = MASK ? mask + (c >> 5) : 0;
      const bit = <i32>(c >> 2) & 7;
      backwardOne(dy + c, STORE ? dz + c : 0, some, rowBytes, scale, bits, maskBytes, bit, SUM ? dshift + c : 0);
    }
    dy += <usize>some * rowBytes;
    if (STORE) dz += <usize>some * rowBytes;
    if (MASK) mask += <usize>some * maskBytes;
  }
}

/**
 * With g = bit ? dy : 0 (no mask: g = dy): dz = g * factor and dshift += the sum of g over the rows.
 *
 * dy, dz `[rows, C]`, factor, dshift `[C]`. dz may be dy. factor 0 stands for ones; dz or dshift 0: not wanted.
 */
export function affineBackward(
  dy: usize, dz: usize, rows: i32, channels: i32, factor: usize, mask: usize, dshift: usize,
): void {
  if (mask) {
    if (dz && dshift) backwardStripes(true, true, true, dy, dz, rows, channels, factor, mask, dshift);
    else if (dz) backwardStripes(true, true, false, dy, dz, rows, channels, factor, mask, 0);
    else if (dshift) backwardStripes(true, false, true, dy, 0, rows, channels, 0, mask, dshift);
  } else {
    if (dz && dshift) backwardStripes(false, true, true, dy, dz, rows, channels, factor, 0, dshift);
    else if (dz) backwardStripes(false, true, false, dy, dz, rows, channels, factor, 0, 0);
    else if (dshift) backwardStripes(false, false, true, dy, 0, rows, channels, 0, 0, dshift);
  }
}

/** db += the sum of dy over the rows; dy `[rows, C]`, db `[C]`. */
export function columnSum(dy: usize, rows: i32, channels: i32, db: usize): void {
  affineBackward(dy, 0, rows, channels, 0, 0, db);
}

/** Eight channels of {@link affineScaleGradient} over a stripe; MASK is a constant. */
// @ts-ignore: decorator
@inline
function scaleEight(
  MASK: bool, dy: usize, z: usize, rows: i32, rowBytes: usize, mask: usize, maskBytes: usize,
  mean: usize, inverseStd: usize, dscale: usize,
): void {
  const lowLanes = i32x4(1, 2, 4, 8);
  const highLanes = i32x4(16, 32, 64, 128);
  const firstMean = v128.load(mean);
  const secondMean = v128.load(mean, 16);
  let total0 = f64x2.splat(0);
  let total1 = total0;
  let total2 = total0;
  let total3 = total0;
  while (rows > 0) {
    let firstSum = f32x4.splat(0);
    let secondSum = firstSum;
    for (let left = min(rows, CHUNK); left > 0; left--) {
      let first = v128.load(dy);
      let second = v128.load(dy, 16);
      if (MASK) {
        const bits = i32x4.splat(load<u8>(mask));
        first = keep(first, bits, lowLanes);
        second = keep(second, bits, highLanes);
        mask += maskBytes;
      }
      firstSum = f32x4.add(firstSum, f32x4.mul(first, f32x4.sub(v128.load(z), firstMean)));
      secondSum = f32x4.add(secondSum, f32x4.mul(second, f32x4.sub(v128.load(z, 16), secondMean)));
      dy += rowBytes;
      z += rowBytes;
    }
    total0 = f64x2.add(total0, promoteLow(firstSum));
    total1 = f64x2.add(total1, promoteHigh(firstSum));
    total2 = f64x2.add(total2, promoteLow(secondSum));
    total3 = f64x2.add(total3, promoteHigh(secondSum));
    rows -= CHUNK;
  }
  const first = v128.load(inverseStd);
  const second = v128.load(inverseStd, 16);
  addTotals(dscale, f64x2.mul(total0, promoteLow(first)), f64x2.mul(total1, promoteHigh(first)));
  addTotals(dscale + 16, f64x2.mul(total2, promoteLow(second)), f64x2.mul(total3, promoteHigh(second)));
}

function scaleOne(
  dy: usize, z: usize, rows: i32, rowBytes: usize, mask: usize, maskBytes: usize, bit: i32, mean: f32,
): f64 {
  let total: f64 = 0;
  for (let row = 0; row < rows; row++) {
    const g: f32 = !mask || (load<u8>(mask) >> <u8>bit) & 1 ? load<f32>(dy) : 0;
    total += g * (load<f32>(z) - mean);
    dy += rowBytes;
    z += rowBytes;
    if (mask) mask += maskBytes;
  }
  return total;
}

/**
 * dscale += inverseStd * the sum over the rows of g * (z - mean), g as in {@link affineBackward}.
 *
 * dy, z `[rows, C]`; mean, inverseStd, dscale `[C]`; mask 0: no mask.
 */
export function affineScaleGradient(
  dy: usize, z: usize, rows: i32, channels: i32, mask: usize, mean: usize, inverseStd: usize, dscale: usize,
): void {
  const stripe = stripeRows(channels);
  const rowBytes: usize = <usize>channels << 2;
  const maskBytes: usize = (<usize>channels + 7) >> 3;
  for (let row = 0; row < rows; row += stripe) {
    const some = min(stripe, rows - row);
    let c: usize = 0;
    for (; c + 32 <= rowBytes; c += 32) {
      const bits = mask + (c >> 5);
      if (mask) {
        scaleEight(true, dy + c, z + c, some, rowBytes, bits, maskBytes, mean + c, inverseStd + c, dscale + c);
      } else scaleEight(false, dy + c, z + c, some, rowBytes, 0, 0, mean + c, inverseStd + c, dscale + c);
    }
    for (; c < rowBytes; c += 4) {
      const bits = mask ? mask + (c >> 5) : 0;
      const bit = <i32>(c >> 2) & 7;
      const total = scaleOne(dy + c, z + c, some, rowBytes, bits, maskBytes, bit, load<f32>(mean + c));
      store<f32>(dscale + c, <f32>(load<f32>(dscale + c) + load<f32>(inverseStd + c) * total));
    }
    dy += <usize>some * rowBytes;
    z += <usize>some * rowBytes;
    if (mask) mask += <usize>some * maskBytes;
  }
}
