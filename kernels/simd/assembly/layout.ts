/**
 * @file Moving data without arithmetic to speak of: patches for dense convolutions, channel order, image decoding.
 */

/** Copies bytes (a multiple of 4); a short run is not worth a call of memory.copy. */
// @ts-ignore: decorator
@inline
function copyRun(to: usize, from: usize, bytes: usize): void {
  if (bytes >= 256) {
    memory.copy(to, from, bytes);
    return;
  }
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) v128.store(to + i, v128.load(from + i));
  for (; i < bytes; i += 4) store<u32>(to + i, load<u32>(from + i));
}

/** Zeroes bytes (a multiple of 4). */
// @ts-ignore: decorator
@inline
function clearRun(to: usize, bytes: usize): void {
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) v128.store(to + i, f32x4.splat(0));
  for (; i < bytes; i += 4) store<u32>(to + i, 0);
}

/** to += from over bytes (a multiple of 4). */
// @ts-ignore: decorator
@inline
function addRun(to: usize, from: usize, bytes: usize): void {
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) v128.store(to + i, f32x4.add(v128.load(to + i), v128.load(from + i)));
  for (; i < bytes; i += 4) store<f32>(to + i, load<f32>(to + i) + load<f32>(from + i));
}

/** Walks the taps of the wanted output rows; SCATTER (a constant) adds the columns to the image, else they are read. */
// @ts-ignore: decorator
@inline
function walkPatches(
  SCATTER: bool, image: usize, columns: usize, height: i32, width: i32, channels: i32, kernelHeight: i32,
  kernelWidth: i32, strideH: i32, strideW: i32, dilationH: i32, dilationW: i32, padTop: i32, padLeft: i32,
  outHeight: i32, outWidth: i32, firstRow: i32, rows: i32,
): void {
  const pixel: usize = <usize>channels << 2;
  // Neighbouring taps of an undilated kernel are neighbours in the image too: one run holds them all.
  const tapsPerRun = dilationW == 1 ? kernelWidth : 1;
  let ow = firstRow % outWidth;
  let oh = firstRow / outWidth % outHeight;
  let n = firstRow / outWidth / outHeight;
  for (let r = 0; r < rows; r++) {
    for (let ki = 0; ki < kernelHeight; ki++) {
      const ih = oh * strideH - padTop + ki * dilationH;
      const rowInside = ih >= 0 && ih < height;
      for (let kj = 0; kj < kernelWidth; kj += tapsPerRun) {
        const iw = ow * strideW - padLeft + kj * dilationW;
        const skipped = rowInside ? min(max(-iw, 0), tapsPerRun) : tapsPerRun;
        const end = max(min(width - iw, tapsPerRun), skipped);
        if (end > skipped) {
          const at = image + <usize>((n * height + ih) * width + iw + skipped) * pixel;
          const run = columns + <usize>skipped * pixel;
          const bytes = <usize>(end - skipped) * pixel;
          if (SCATTER) addRun(at, run, bytes);
          else copyRun(run, at, bytes);
        }
        if (!SCATTER) {
          clearRun(columns, <usize>skipped * pixel);
          clearRun(columns + <usize>end * pixel, <usize>(tapsPerRun - end) * pixel);
        }
        columns += <usize>tapsPerRun * pixel;
      }
    }
    if (++ow == outWidth) {
      ow = 0;
      if (++oh == outHeight) {
        oh = 0;
        n++;
      }
    }
  }
}

/**
 * columns `[rows, KH * KW * C]` = the patches of x `[N, H, W, C]` under output rows firstRow .. firstRow + rows.
 *
 * Row = (n * outHeight + oh) * outWidth + ow; padding reads as zero.
 */
export function im2col(
  x: usize, columns: usize, batch: i32, height: i32, width: i32, channels: i32, kernelHeight: i32, kernelWidth: i32,
  strideH: i32, strideW: i32, dilationH: i32, dilationW: i32, padTop: i32, padLeft: i32, outHeight: i32, outWidth: i32,
  firstRow: i32, rows: i32,
): void {
  walkPatches(
    false, x, columns, height, width, channels, kernelHeight, kernelWidth, strideH, strideW, dilationH, dilationW,
    padTop, padLeft, outHeight, outWidth, firstRow, rows,
  );
}

/** dx += the columns, each where {@link im2col} read it; dx is not cleared here. */
export function col2im(
  columns: usize, dx: usize, batch: i32, height: i32, width: i32, channels: i32, kernelHeight: i32, kernelWidth: i32,
  strideH: i32, strideW: i32, dilationH: i32, dilationW: i32, padTop: i32, padLeft: i32, outHeight: i32, outWidth: i32,
  firstRow: i32, rows: i32,
): void {
  walkPatches(
    true, dx, columns, height, width, channels, kernelHeight, kernelWidth, strideH, strideW, dilationH, dilationW,
    padTop, padLeft, outHeight, outWidth, firstRow, rows,
  );
}

/** to `[columns, rows]` = from `[rows, columns]` transposed, in squares of four. */
function transpose(from: usize, to: usize, rows: i32, columns: i32): void {
  const fromStep: usize = <usize>columns << 2;
  const toStep: usize = <usize>rows << 2;
  let r = 0;
  for (; r + 4 <= rows; r += 4) {
    let source = from + <usize>r * fromStep;
    let target = to + (<usize>r << 2);
    let c = 0;
    for (; c + 4 <= columns; c += 4) {
      const a = v128.load(source);
      const b = v128.load(source + fromStep);
      const d = v128.load(source + 2 * fromStep);
      const e = v128.load(source + 3 * fromStep);
      const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
      const de = v128.shuffle<i32>(d, e, 0, 4, 1, 5);
      const abHigh = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
      const deHigh = v128.shuffle<i32>(d, e, 2, 6, 3, 7);
      v128.store(target, v128.shuffle<i64>(ab, de, 0, 2));
      v128.store(target + toStep, v128.shuffle<i64>(ab, de, 1, 3));
      v128.store(target + 2 * toStep, v128.shuffle<i64>(abHigh, deHigh, 0, 2));
      v128.store(target + 3 * toStep, v128.shuffle<i64>(abHigh, deHigh, 1, 3));
      source += 16;
      target += 4 * toStep;
    }
    for (; c < columns; c++) {
      for (let i: usize = 0; i < 4; i++) store<u32>(target + 4 * i, load<u32>(source + i * fromStep));
      source += 4;
      target += toStep;
    }
  }
  for (; r < rows; r++) {
    for (let c: usize = 0; c < <usize>columns; c++) {
      store<u32>(to + (<usize>r << 2) + c * toStep, load<u32>(from + <usize>r * fromStep + 4 * c));
    }
  }
}

/** y `[N, C, P]` = x `[N, P, C]`. */
export function channelsFirst(x: usize, y: usize, batch: i32, pixels: i32, channels: i32): void {
  const step: usize = <usize>(pixels * channels) << 2;
  for (let n: usize = 0; n < <usize>batch; n++) transpose(x + n * step, y + n * step, pixels, channels);
}

/** y `[N, P, C]` = x `[N, C, P]`. */
export function channelsLast(x: usize, y: usize, batch: i32, pixels: i32, channels: i32): void {
  const step: usize = <usize>(pixels * channels) << 2;
  for (let n: usize = 0; n < <usize>batch; n++) transpose(x + n * step, y + n * step, channels, pixels);
}

/** Bytes CHANNEL, CHANNEL + 3, + 6, + 9 of `bytes` as floats; CHANNEL is a constant. */
// @ts-ignore: decorator
@inline
function channelOfFour(bytes: v128, CHANNEL: u8): v128 {
  const zero = i32x4.splat(0);
  let lanes: v128;
  // Indices from 16 on read `zero`.
  if (CHANNEL == 0) lanes = i8x16.shuffle(bytes, zero, 0, 16, 16, 16, 3, 16, 16, 16, 6, 16, 16, 16, 9, 16, 16, 16);
  else if (CHANNEL == 1)
    lanes = i8x16.shuffle(bytes, zero, 1, 16, 16, 16, 4, 16, 16, 16, 7, 16, 16, 16, 10, 16, 16, 16);
  else lanes = i8x16.shuffle(bytes, zero, 2, 16, 16, 16, 5, 16, 16, 16, 8, 16, 16, 16, 11, 16, 16, 16);
  return f32x4.convert_i32x4_s(lanes);
}

/**
 * target = source * scale[c] + bias[c]: bytes `[N, P, 3]` to floats, `[N, 3, P]` if planar is not 0, else `[N, P, 3]`.
 */
export function normalizeImages(
  source: usize, target: usize, batch: i32, pixels: i32, planar: i32,
  scale0: f32, scale1: f32, scale2: f32, bias0: f32, bias1: f32, bias2: f32,
): void {
  const plane: usize = planar ? <usize>pixels << 2 : 4;
  const step: usize = planar ? 4 : 12;
  for (let n = 0; n < batch; n++) {
    let p = 0;
    if (planar) {
      // Twelve bytes are wanted and sixteen loaded: the last two pixels of an image are left to the loop below.
      for (; p + 6 <= pixels; p += 4) {
        const bytes = v128.load(source);
        const red = f32x4.mul(channelOfFour(bytes, 0), f32x4.splat(scale0));
        const green = f32x4.mul(channelOfFour(bytes, 1), f32x4.splat(scale1));
        const blue = f32x4.mul(channelOfFour(bytes, 2), f32x4.splat(scale2));
        v128.store(target, f32x4.add(red, f32x4.splat(bias0)));
        v128.store(target + plane, f32x4.add(green, f32x4.splat(bias1)));
        v128.store(target + 2 * plane, f32x4.add(blue, f32x4.splat(bias2)));
        source += 12;
        target += 16;
      }
    }
    for (; p < pixels; p++) {
      store<f32>(target, <f32>load<u8>(source) * scale0 + bias0);
      store<f32>(target + plane, <f32>load<u8>(source, 1) * scale1 + bias1);
      store<f32>(target + 2 * plane, <f32>load<u8>(source, 2) * scale2 + bias2);
      source += 3;
      target += step;
    }
    if (planar) target += 2 * plane;
  }
}
