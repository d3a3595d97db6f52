/**
 * @file Weight gradient of the depthwise convolution: dw[ki, kj] += sum over pixels of x * dy.
 *
 * A strip of rows of x meets its rows of dy, with four channels of nine taps (depthwise-weight-rows.ts) or 16 channels
 * of one in registers. The float32 sum of a strip is added to dw, so no long sum is carried in one register.
 */

import { NARROW, STRIP_PIXELS, WIDE } from './depthwise';
import { blockBytes } from './depthwise-pixel';
import { accumulate, sumRows } from './depthwise-weight-rows';

// As many pixels as are summed in float32 before the sum goes to dw, and as stay in the first-level cache.
const SUMMED_PIXELS: i32 = 64;

/** dw[0 .. bytes) += sum of x * dy over `rows` by `columns` pixels, for one tap; steps are in bytes. */
function sumTap(
  x: usize, xRowStep: usize, xStep: usize, dy: usize, dyRowStep: usize, dyStep: usize, rows: i32, columns: i32,
  dw: usize, bytes: usize,
): void {
  const xNext = xRowStep - <usize>columns * xStep;
  const dyNext = dyRowStep - <usize>columns * dyStep;
  let c: usize = 0;
  for (; c + 64 <= bytes; c += 64) {
    let sum0 = f32x4.splat(0);
    let sum1 = sum0;
    let sum2 = sum0;
    let sum3 = sum0;
    let a = x + c;
    let b = dy + c;
    for (let row = rows; row > 0; row--) {
      for (let column = columns; column > 0; column--) {
        sum0 = f32x4.add(sum0, f32x4.mul(v128.load(a), v128.load(b)));
        sum1 = f32x4.add(sum1, f32x4.mul(v128.load(a, 16), v128.load(b, 16)));
        sum2 = f32x4.add(sum2, f32x4.mul(v128.load(a, 32), v128.load(b, 32)));
        sum3 = f32x4.add(sum3, f32x4.mul(v128.load(a, 48), v128.load(b, 48)));
        a += xStep;
        b += dyStep;
      }
      a += xNext;
      b += dyNext;
    }
    accumulate(dw + c, sum0);
    accumulate(dw + c + 16, sum1);
    accumulate(dw + c + 32, sum2);
    accumulate(dw + c + 48, sum3);
  }
  for (; c < bytes; c += 4) {
    let sum: f32 = 0;
    let a = x + c;
    let b = dy + c;
    for (let row = rows; row > 0; row--) {
      for (let column = columns; column > 0; column--) {
        sum += load<f32>(a) * load<f32>(b);
        a += xStep;
        b += dyStep;
      }
      a += xNext;
      b += dyNext;
    }
    store<f32>(dw + c, load<f32>(dw + c) + sum);
  }
}

/** First target column whose source column, at column * stride + offset, is not negative. */
// @ts-ignore: decorator
@inline
function firstInside(offset: i32, stride: i32): i32 {
  return offset < 0 ? (stride - 1 - offset) / stride : 0;
}

/** One past the last target column whose source column is below `size`. */
// @ts-ignore: decorator
@inline
function endInside(offset: i32, stride: i32, size: i32, outSize: i32): i32 {
  return offset >= size ? 0 : min(outSize, (size - 1 - offset) / stride + 1);
}

/** Weight gradient tap by tap, for any kernel. Pointers stand at the first of the channels, span bytes a pixel. */
function byTaps(
  x: usize, dy: usize, dw: usize, batch: i32, height: i32, width: i32, pixel: usize, kernelHeight: i32,
  kernelWidth: i32, strideH: i32, strideW: i32, dilationH: i32, dilationW: i32, padTop: i32, padLeft: i32,
  outHeight: i32, outWidth: i32, span: usize,
): void {
  const block = blockBytes(span, 512);
  const row: usize = <usize>width * pixel;
  const outRow: usize = <usize>outWidth * pixel;
  const xRowStep: usize = <usize>strideH * row;
  const xStep: usize = <usize>strideW * pixel;
  const strip = max(1, SUMMED_PIXELS / outWidth);
  for (let n = 0; n < batch; n++) {
    for (let c: usize = 0; c < span; c += block) {
      const bytes = min(block, span - c);
      for (let top = 0; top < outHeight; top += strip) {
        for (let ki = 0; ki < kernelHeight; ki++) {
          const down = ki * dilationH - padTop;
          const oh = max(top, firstInside(down, strideH));
          const rows = endInside(down, strideH, height, min(outHeight, top + strip)) - oh;
          if (rows <= 0) continue;
          const xRow = x + <usize>(oh * strideH + down) * row + c;
          const dyRow = dy + <usize>oh * outRow + c;
          for (let kj = 0; kj < kernelWidth; kj++) {
            const right = kj * dilationW - padLeft;
            const first = firstInside(right, strideW);
            const columns = endInside(right, strideW, width, outWidth) - first;
            sumTap(
              xRow + <usize>(first * strideW + right) * pixel, xRowStep, xStep, dyRow + <usize>first * pixel, outRow,
              pixel, rows, columns, dw + <usize>(ki * kernelWidth + kj) * pixel + c, bytes,
            );
          }
        }
      }
    }
    x += <usize>height * row;
    dy += <usize>outHeight * outRow;
  }
}

/** Weight gradient of a kernel three wide and at most three high, the channels a multiple of 4. */
function byRows(
  x: usize, dy: usize, dw: usize, batch: i32, height: i32, width: i32, pixel: usize, kernelHeight: i32, strideH: i32,
  strideW: i32, dilationH: i32, dilationW: i32, padTop: i32, padLeft: i32, outHeight: i32, outWidth: i32, span: usize,
): void {
  const row: usize = <usize>width * pixel;
  const outRow: usize = <usize>outWidth * pixel;
  const xEnd = x + <usize>(batch * height) * row;
  const dyEnd = dy + <usize>(batch * outHeight) * outRow;
  const strip = width > NARROW ? max(1, STRIP_PIXELS / outWidth) : 1;
  // One past the last row of dy that all kernel rows reach.
  const whole = min(outHeight, (height - 1 - (kernelHeight - 1) * dilationH + padTop) / strideH + 1);
  const mayFetch = width > WIDE && span == pixel && strideH == 1 && outWidth >= width;
  for (let n = 0; n < batch; n++) {
    for (let oh = 0; oh < outHeight; oh++) {
      const top = oh * strideH - padTop;
      const firstTap = firstInside(top, dilationH);
      const taps = endInside(top, dilationH, height, kernelHeight) - firstTap;
      if (taps <= 0) continue;
      const rows = taps == kernelHeight ? min(strip, whole - oh) : 1;
      const from = x + <usize>(top + firstTap * dilationH) * row;
      const to = dy + <usize>oh * outRow;
      const ahead = mayFetch && to + <usize>(2 * rows) * outRow <= dyEnd
        && from + <usize>(2 * rows + (taps - 1) * dilationH) * row <= xEnd;
      sumRows(
        taps, ahead, from, <usize>strideH * row, <usize>dilationH * row, strideW, dilationW, padLeft, width, to, pixel,
        outWidth, rows, dw + <usize>(3 * firstTap) * pixel, 3 * pixel, span,
      );
      oh += rows - 1;
    }
    x += <usize>height * row;
    dy += <usize>outHeight * outRow;
  }
}

/**
 * dw += gradient for the weight; x `[batch, height, width, C]`, dy `[batch, outHeight, outWidth, C]`.
 *
 * firstChannel, lastChannel: as for depthwiseForward.
 */
export function depthwiseWeightGradient(
  x: usize, dy: usize, dw: usize, batch: i32, height: i32, width: i32, channels: i32, kernelHeight: i32,
  kernelWidth: i32, strideH: i32, strideW: i32, dilationH: i32, dilationW: i32, padTop: i32, padLeft: i32,
  outHeight: i32, outWidth: i32, firstChannel: i32, lastChannel: i32,
): void {
  const pixel: usize = <usize>channels << 2;
  const span: usize = <usize>(lastChannel - firstChannel) << 2;
  const skipped: usize = <usize>firstChannel << 2;
  if (kernelWidth == 3 && kernelHeight <= 3 && channels % 4 == 0) {
    byRows(
      x + skipped, dy + skipped, dw + skipped, batch, height, width, pixel, kernelHeight, strideH, strideW, dilationH,
      dilationW, padTop, padLeft, outHeight, outWidth, span,
    );
  } else {
    byTaps(
      x + skipped, dy + skipped, dw + skipped, batch, height, width, pixel, kernelHeight, kernelWidth, strideH, strideW,
      dilationH, dilationW, padTop, padLeft, outHeight, outWidth, span,
    );
  }
}
