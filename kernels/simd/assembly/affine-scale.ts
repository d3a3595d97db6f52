/**
 * @file Gradient of a batch norm's scale, from the masked gradient and the norm's input.
 */
import {
  addScaled, CHUNK, endFetched, fetchesAhead, firstFetched, keep, promoteHigh, promoteLow, stripeRows,
} from './column-sums';

/** Sixteen channels (eight unless WIDE) of {@link affineScaleGradient} over a stripe; AHEAD: see affine-backward.ts. */
// @ts-ignore: decorator
@inline
function scaleSome(
  WIDE: bool, MASK: bool, AHEAD: bool, ahead: usize, aheadEnd: usize, aheadGap: usize, dy: usize, z: usize, rows: i32,
  rowBytes: usize, mask: usize, maskBytes: usize,
  mean: usize, inverseStd: usize, dscale: usize,
): void {
  const apart = z - dy;
  const lowLanes = i32x4(1, 2, 4, 8);
  const highLanes = i32x4(16, 32, 64, 128);
  const mean0 = v128.load(mean);
  const mean1 = v128.load(mean, 16);
  const mean2 = WIDE ? v128.load(mean, 32) : mean0;
  const mean3 = WIDE ? v128.load(mean, 48) : mean0;
  let total0 = f64x2.splat(0);
  let total1 = total0;
  let total2 = total0;
  let total3 = total0;
  let total4 = total0;
  let total5 = total0;
  let total6 = total0;
  let total7 = total0;
  while (rows > 0) {
    let sum0 = f32x4.splat(0);
    let sum1 = sum0;
    let sum2 = sum0;
    let sum3 = sum0;
    for (let left = min(rows, CHUNK); left > 0; left--) {
      let g0 = v128.load(dy);
      let g1 = v128.load(dy, 16);
      if (MASK) {
        const bits = i32x4.splat(load<u8>(mask));
        g0 = keep(g0, bits, lowLanes);
        g1 = keep(g1, bits, highLanes);
      }
      sum0 = f32x4.add(sum0, f32x4.mul(g0, f32x4.sub(v128.load(z), mean0)));
      sum1 = f32x4.add(sum1, f32x4.mul(g1, f32x4.sub(v128.load(z, 16), mean1)));
      if (WIDE) {
        let g2 = v128.load(dy, 32);
        let g3 = v128.load(dy, 48);
        if (MASK) {
          const bits = i32x4.splat(load<u8>(mask, 1));
          g2 = keep(g2, bits, lowLanes);
          g3 = keep(g3, bits, highLanes);
        }
        sum2 = f32x4.add(sum2, f32x4.mul(g2, f32x4.sub(v128.load(z, 32), mean2)));
        sum3 = f32x4.add(sum3, f32x4.mul(g3, f32x4.sub(v128.load(z, 48), mean3)));
      }
      if (MASK) mask += maskBytes;
      if (AHEAD) {
        load<u8>(ahead);
        load<u8>(ahead + apart);
        ahead += 64;
        if (ahead == aheadEnd) {
          ahead += aheadGap;
          aheadEnd += rowBytes;
        }
      }
      dy += rowBytes;
      z += rowBytes;
    }
    total0 = f64x2.add(total0, promoteLow(sum0));
    total1 = f64x2.add(total1, promoteHigh(sum0));
    total2 = f64x2.add(total2, promoteLow(sum1));
    total3 = f64x2.add(total3, promoteHigh(sum1));
    if (WIDE) total4 = f64x2.add(total4, promoteLow(sum2));
    if (WIDE) total5 = f64x2.add(total5, promoteHigh(sum2));
    if (WIDE) total6 = f64x2.add(total6, promoteLow(sum3));
    if (WIDE) total7 = f64x2.add(total7, promoteHigh(sum3));
    rows -= CHUNK;
  }
  addScaled(dscale, inverseStd, total0, total1);
  addScaled(dscale + 16, inverseStd + 16, total2, total3);
  if (WIDE) addScaled(dscale + 32, inverseStd + 32, total4, total5);
  if (WIDE) addScaled(dscale + 48, inverseStd + 48, total6, total7);
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

// @ts-ignore: decorator
@inline
function scaleStripes(
  MASK: bool, dy: usize, z: usize, rows: i32, channels: i32, mask: usize, mean: usize, inverseStd: usize, dscale: usize,
  firstChannel: i32, lastChannel: i32,
): void {
  const stripe = stripeRows(channels);
  const rowBytes: usize = <usize>channels << 2;
  const maskBytes: usize = (<usize>channels + 7) >> 3;
  const last: usize = <usize>lastChannel << 2;
  const end = dy + <usize>rows * rowBytes;
  const lines = (lastChannel - firstChannel) >> 4;
  const gap = rowBytes - (<usize>lines << 6);
  const fetches = fetchesAhead(rows, channels, firstChannel, lastChannel);
  for (let row = 0; row < rows; row += stripe) {
    const some = min(stripe, rows - row);
    const fetch = fetches && row + some < rows;
    const next = <usize>(firstChannel << 2) + min(dy + <usize>some * rowBytes, end - <usize>some * rowBytes);
    let column = 0;
    let c: usize = <usize>firstChannel << 2;
    for (; c + 64 <= last; c += 64) {
      const bits = mask + (c >> 5);
      if (fetch) {
        const ahead = firstFetched(next, column, some, lines, rowBytes);
        const aheadEnd = gap ? endFetched(next, column, some, lines, rowBytes) : 0;
        scaleSome(
          true, MASK, true, ahead, aheadEnd, gap, dy + c, z + c, some, rowBytes, bits, maskBytes, mean + c,
          inverseStd + c, dscale + c,
        );
        column++;
      } else {
        scaleSome(
          true, MASK, false, 0, 0, 0, dy + c, z + c, some, rowBytes, bits, maskBytes, mean + c, inverseStd + c,
          dscale + c,
        );
      }
    }
    for (; c + 32 <= last; c += 32) {
      const bits = mask + (c >> 5);
      scaleSome(
        false, MASK, false, 0, 0, 0, dy + c, z + c, some, rowBytes, bits, maskBytes, mean + c, inverseStd + c,
        dscale + c,
      );
    }
    for (; c < last; c += 4) {
      const bits = MASK ? mask + (c >> 5) : 0;
      const bit = <i32>(c >> 2) & 7;
      const total = scaleOne(dy + c, z + c, some, rowBytes, bits, maskBytes, bit, load<f32>(mean + c));
      store<f32>(dscale + c, <f32>(load<f32>(dscale + c) + load<f32>(inverseStd + c) * total));
    }
    dy += <usize>some * rowBytes;
    z += <usize>some * rowBytes;
    if (MASK) mask += <usize>some * maskBytes;
  }
}

/**
 * dscale += inverseStd * the sum over the rows of g * (z - mean), g as in affineBackward.
 *
 * dy, z `[rows, C]`; mean, inverseStd, dscale `[C]`; mask 0: no mask. firstChannel, lastChannel: as in affineBackward.
 */
export function affineScaleGradient(
  dy: usize, z: usize, rows: i32, channels: i32, mask: usize, mean: usize, inverseStd: usize, dscale: usize,
  firstChannel: i32, lastChannel: i32,
): void {
  if (mask) {
    scaleStripes(true, dy, z, rows, channels, mask, mean, inverseStd, dscale, firstChannel, lastChannel);
  } else scaleStripes(false, dy, z, rows, channels, 0, mean, inverseStd, dscale, firstChannel, lastChannel);
}
