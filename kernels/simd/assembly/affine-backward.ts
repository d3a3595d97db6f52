/**
 * @file Backward of affine.ts for its input and its shift: mask, scale and column sums in one pass.
 */
import {
  addTotals, CHUNK, endFetched, fetchesAhead, firstFetched, keep, promoteHigh, promoteLow, stripeRows,
} from './column-sums';

/**
 * Sixteen channels (eight unless WIDE) of {@link affineBackward} over a stripe; MASK, STORE, SUM, AHEAD are constants.
 *
 * Sixteen give four independent sums, enough to hide the latency of an addition, and fill a cache line. AHEAD:
 * with each row a line of the next stripe is fetched, from `ahead` on; where aheadEnd is not 0, a row of it ends there and
 * the next begins aheadGap bytes behind. `apart`: from dy to dz.
 */
// @ts-ignore: decorator
@inline
function backwardSome(
  WIDE: bool, MASK: bool, STORE: bool, SUM: bool, AHEAD: bool, ahead: usize, aheadEnd: usize, aheadGap: usize,
  apart: usize, dy: usize, dz: usize, rows: i32, rowBytes: usize, factor: usize, mask: usize, maskBytes: usize, dshift: usize,
): void {
  const lowLanes = i32x4(1, 2, 4, 8);
  const highLanes = i32x4(16, 32, 64, 128);
  let factor0 = f32x4.splat(1);
  let factor1 = factor0;
  let factor2 = factor0;
  let factor3 = factor0;
  if (STORE) {
    if (factor) {
      factor0 = v128.load(factor);
      factor1 = v128.load(factor, 16);
      if (WIDE) factor2 = v128.load(factor, 32);
      if (WIDE) factor3 = v128.load(factor, 48);
    }
  }
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
      if (STORE) v128.store(dz, f32x4.mul(g0, factor0));
      if (STORE) v128.store(dz, f32x4.mul(g1, factor1), 16);
      if (SUM) sum0 = f32x4.add(sum0, g0);
      if (SUM) sum1 = f32x4.add(sum1, g1);
      if (WIDE) {
        let g2 = v128.load(dy, 32);
        let g3 = v128.load(dy, 48);
        if (MASK) {
          const bits = i32x4.splat(load<u8>(mask, 1));
          g2 = keep(g2, bits, lowLanes);
          g3 = keep(g3, bits, highLanes);
        }
        if (STORE) v128.store(dz, f32x4.mul(g2, factor2), 32);
        if (STORE) v128.store(dz, f32x4.mul(g3, factor3), 48);
        if (SUM) sum2 = f32x4.add(sum2, g2);
        if (SUM) sum3 = f32x4.add(sum3, g3);
      }
      if (AHEAD) {
        load<u8>(ahead);
        if (STORE) load<u8>(ahead + apart);
        ahead += 64;
        if (ahead == aheadEnd) {
          ahead += aheadGap;
          aheadEnd += rowBytes;
        }
      }
      dy += rowBytes;
      if (STORE) dz += rowBytes;
      if (MASK) mask += maskBytes;
    }
    if (SUM) {
      total0 = f64x2.add(total0, promoteLow(sum0));
      total1 = f64x2.add(total1, promoteHigh(sum0));
      total2 = f64x2.add(total2, promoteLow(sum1));
      total3 = f64x2.add(total3, promoteHigh(sum1));
      if (WIDE) total4 = f64x2.add(total4, promoteLow(sum2));
      if (WIDE) total5 = f64x2.add(total5, promoteHigh(sum2));
      if (WIDE) total6 = f64x2.add(total6, promoteLow(sum3));
      if (WIDE) total7 = f64x2.add(total7, promoteHigh(sum3));
    }
    rows -= CHUNK;
  }
  if (SUM) {
    addTotals(dshift, total0, total1);
    addTotals(dshift + 16, total2, total3);
    if (WIDE) addTotals(dshift + 32, total4, total5);
    if (WIDE) addTotals(dshift + 48, total6, total7);
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
  MASK: bool, STORE: bool, SUM: bool, dy: usize, dz: usize, rows: i32, channels: i32, factor: usize, mask: usize,
  dshift: usize, firstChannel: i32, lastChannel: i32,
): void {
  const stripe = stripeRows(channels);
  const rowBytes: usize = <usize>channels << 2;
  const maskBytes: usize = (<usize>channels + 7) >> 3;
  const last: usize = <usize>lastChannel << 2;
  const end = dy + <usize>rows * rowBytes;
  const lines = (lastChannel - firstChannel) >> 4;
  const gap = rowBytes - (<usize>lines << 6);
  const fetches = fetchesAhead(rows, channels, firstChannel, lastChannel);
  const apart = dz - dy;
  for (let row = 0; row < rows; row += stripe) {
    const some = min(stripe, rows - row);
    const fetch = STORE && fetches && row + some < rows;
    const next = <usize>(firstChannel << 2) + min(dy + <usize>some * rowBytes, end - <usize>some * rowBytes);
    let column = 0;
    let c: usize = <usize>firstChannel << 2;
    for (; c + 64 <= last; c += 64) {
      const bits = mask + (c >> 5);
      const scale = factor ? factor + c : 0;
      if (fetch) {
        const ahead = firstFetched(next, column, some, lines, rowBytes);
        const aheadEnd = gap ? endFetched(next, column, some, lines, rowBytes) : 0;
        backwardSome(
          true, MASK, STORE, SUM, true, ahead, aheadEnd, gap, apart, dy + c, dz + c, some, rowBytes, scale, bits,
          maskBytes, dshift + c,
        );
        column++;
      } else {
        backwardSome(
          true, MASK, STORE, SUM, false, 0, 0, 0, 0, dy + c, dz + c, some, rowBytes, scale, bits, maskBytes, dshift + c,
        );
      }
    }
    for (; c + 32 <= last; c += 32) {
      const bits = mask + (c >> 5);
      const scale = factor ? factor + c : 0;
      backwardSome(
        false, MASK, STORE, SUM, false, 0, 0, 0, 0, dy + c, dz + c, some, rowBytes, scale, bits, maskBytes, dshift + c,
      );
    }
    for (; c < last; c += 4) {
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
 * Of the channels, first .. last (exclusive) are computed, with the same bits in whatever ranges; the first is a
 * multiple of 8.
 */
export function affineBackward(
  dy: usize, dz: usize, rows: i32, channels: i32, factor: usize, mask: usize, dshift: usize, first: i32, last: i32,
): void {
  if (mask) {
    if (dz && dshift) backwardStripes(true, true, true, dy, dz, rows, channels, factor, mask, dshift, first, last);
    else if (dz) backwardStripes(true, true, false, dy, dz, rows, channels, factor, mask, 0, first, last);
    else if (dshift) backwardStripes(true, false, true, dy, 0, rows, channels, 0, mask, dshift, first, last);
  } else {
    if (dz && dshift) backwardStripes(false, true, true, dy, dz, rows, channels, factor, 0, dshift, first, last);
    else if (dz) backwardStripes(false, true, false, dy, dz, rows, channels, factor, 0, 0, first, last);
    else if (dshift) backwardStripes(false, false, true, dy, 0, rows, channels, 0, 0, dshift, first, last);
  }
}

/** db += the sum of dy over the rows; dy `[rows, C]`, db `[C]`; first and last as in {@link affineBackward}. */
export function columnSum(dy: usize, rows: i32, channels: i32, db: usize, first: i32, last: i32): void {
  affineBackward(dy, 0, rows, channels, 0, 0, db, first, last);
}
