/**
 * @file Maximum pool. Channels are the lanes.
 *
 * x `[N, H, W, C]`, y `[N, OH, OW, C]`; every window has a tap inside the map. The backward pass scatters: an output
 * pixel's taps are few and their rows are still in the first-level cache.
 */
import { endTap, firstTap, locate } from './window-taps';

/** Lanes where `value` replaces `best`: where it is larger, or not a number. */
// @ts-ignore: decorator
@inline
function wins(value: v128, best: v128): v128 {
  return v128.or(f32x4.gt(value, best), f32x4.ne(value, value));
}

/** One output pixel; INDEX (a constant) says whether the taps of the maxima are wanted. `source` is the window's start. */
// @ts-ignore: decorator
@inline
function maximum(
  INDEX: bool, source: usize, rowStep: usize, columnStep: usize, kernelWidth: i32, top: i32, bottom: i32, left: i32,
  right: i32, y: usize, index: usize, bytes: usize,
): void {
  const first = source + <usize>top * rowStep + <usize>left * columnStep;
  const firstIndex = i32x4.splat(top * kernelWidth + left);
  const next = rowStep - <usize>(right - left) * columnStep;
  let c: usize = 0;
  for (; c + 64 <= bytes; c += 64) {
    let s = first + c;
    let best0 = v128.load(s);
    let best1 = v128.load(s, 16);
    let best2 = v128.load(s, 32);
    let best3 = v128.load(s, 48);
    let at0 = firstIndex;
    let at1 = firstIndex;
    let at2 = firstIndex;
    let at3 = firstIndex;
    for (let ki = top; ki < bottom; ki++) {
      for (let kj = left; kj < right; kj++) {
        const tap = i32x4.splat(ki * kernelWidth + kj);
        const value0 = v128.load(s);
        const value1 = v128.load(s, 16);
        const value2 = v128.load(s, 32);
        const value3 = v128.load(s, 48);
        const wins0 = wins(value0, best0);
        const wins1 = wins(value1, best1);
        const wins2 = wins(value2, best2);
        const wins3 = wins(value3, best3);
        best0 = v128.bitselect(value0, best0, wins0);
        best1 = v128.bitselect(value1, best1, wins1);
        best2 = v128.bitselect(value2, best2, wins2);
        best3 = v128.bitselect(value3, best3, wins3);
        if (INDEX) {
          at0 = v128.bitselect(tap, at0, wins0);
          at1 = v128.bitselect(tap, at1, wins1);
          at2 = v128.bitselect(tap, at2, wins2);
          at3 = v128.bitselect(tap, at3, wins3);
        }
        s += columnStep;
      }
      s += next;
    }
    v128.store(y + c, best0);
    v128.store(y + c, best1, 16);
    v128.store(y + c, best2, 32);
    v128.store(y + c, best3, 48);
    if (INDEX) {
      const low = i16x8.narrow_i32x4_u(at0, at1);
      v128.store(index + (c >> 2), i8x16.narrow_i16x8_u(low, i16x8.narrow_i32x4_u(at2, at3)));
    }
  }
  for (; c + 16 <= bytes; c += 16) {
    let s = first + c;
    let best = v128.load(s);
    let at = firstIndex;
    for (let ki = top; ki < bottom; ki++) {
      for (let kj = left; kj < right; kj++) {
        const value = v128.load(s);
        const lanes = wins(value, best);
        best = v128.bitselect(value, best, lanes);
        if (INDEX) at = v128.bitselect(i32x4.splat(ki * kernelWidth + kj), at, lanes);
        s += columnStep;
      }
      s += next;
    }
    v128.store(y + c, best);
    if (INDEX) {
      const low = i16x8.narrow_i32x4_u(at, at);
      v128.store32_lane(index + (c >> 2), i8x16.narrow_i16x8_u(low, low), 0);
    }
  }
  for (; c < bytes; c += 4) {
    let s = first + c;
    let best = load<f32>(s);
    let at = top * kernelWidth + left;
    for (let ki = top; ki < bottom; ki++) {
      for (let kj = left; kj < right; kj++) {
        const value = load<f32>(s);
        if (value > best || value != value) {
          best = value;
          at = ki * kernelWidth + kj;
        }
        s += columnStep;
      }
      s += next;
    }
    store<f32>(y + c, best);
    if (INDEX) store<u8>(index + (c >> 2), <u8>at);
  }
}

/** y = the maxima, and index `[N, OH, OW, C]` (bytes; 0: not wanted) their taps ki * KW + kj, the first of equals. */
export function maxPoolForward(
  x: usize, y: usize, index: usize, batch: i32, height: i32, width: i32, channels: i32, kernelHeight: i32,
  kernelWidth: i32, strideH: i32, strideW: i32, dilationH: i32, dilationW: i32, padTop: i32, padLeft: i32,
  outHeight: i32, outWidth: i32,
): void {
  const pixel: usize = <usize>channels << 2;
  const row: usize = <usize>width * pixel;
  const rowStep: usize = <usize>dilationH * row;
  const columnStep: usize = <usize>dilationW * pixel;
  for (let n = 0; n < batch; n++) {
    for (let oh = 0; oh < outHeight; oh++) {
      const ih = oh * strideH - padTop;
      locate(ih, kernelHeight, dilationH, height);
      const top = firstTap;
      const bottom = endTap;
      for (let ow = 0; ow < outWidth; ow++) {
        const iw = ow * strideW - padLeft;
        locate(iw, kernelWidth, dilationW, width);
        // Where the window begins, even if that is outside.
        const source = x + <usize>(ih * width + iw) * pixel;
        if (index) {
          maximum(
            true, source, rowStep, columnStep, kernelWidth, top, bottom, firstTap, endTap, y, index, pixel,
          );
          index += <usize>channels;
        } else maximum(false, source, rowStep, columnStep, kernelWidth, top, bottom, firstTap, endTap, y, 0, pixel);
        y += pixel;
      }
    }
    x += <usize>height * row;
  }
}

/** Where the index names `tap`, dx += dy, for the channels of one pixel. */
// @ts-ignore: decorator
@inline
function addWhere(dy: usize, index: usize, tap: i32, dx: usize, bytes: usize): void {
  const taps = i32x4.splat(tap);
  let c: usize = 0;
  for (; c + 16 <= bytes; c += 16) {
    const at = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(index + (c >> 2))));
    const kept = v128.and(v128.load(dy + c), i32x4.eq(at, taps));
    v128.store(dx + c, f32x4.add(v128.load(dx + c), kept));
  }
  for (; c < bytes; c += 4) {
    if (<i32>load<u8>(index + (c >> 2)) == tap) store<f32>(dx + c, load<f32>(dx + c) + load<f32>(dy + c));
  }
}

/** dx `[N, H, W, C]` = dy where the maxima were, added up, else 0; dx is overwritten. */
export function maxPoolBackward(
  dy: usize, index: usize, dx: usize, batch: i32, height: i32, width: i32, channels: i32, kernelHeight: i32,
  kernelWidth: i32, strideH: i32, strideW: i32, dilationH: i32, dilationW: i32, padTop: i32, padLeft: i32,
  outHeight: i32, outWidth: i32,
): void {
  const pixel: usize = <usize>channels << 2;
  const image: usize = <usize>(height * width) * pixel;
  memory.fill(dx, 0, <usize>batch * image);
  for (let n = 0; n < batch; n++) {
    for (let oh = 0; oh < outHeight; oh++) {
      const ih = oh * strideH - padTop;
      locate(ih, kernelHeight, dilationH, height);
      const top = firstTap;
      const bottom = endTap;
      for (let ow = 0; ow < outWidth; ow++) {
        const iw = ow * strideW - padLeft;
        locate(iw, kernelWidth, dilationW, width);
        for (let ki = top; ki < bottom; ki++) {
          for (let kj = firstTap; kj < endTap; kj++) {
            const to = dx + <usize>((ih + ki * dilationH) * width + iw + kj * dilationW) * pixel;
            addWhere(dy, index, ki * kernelWidth + kj, to, pixel);
          }
        }
        dy += pixel;
        index += <usize>channels;
      }
    }
    dx += image;
  }
}
