/**
 * @file Depthwise convolution and its input gradient: both gather, for each target pixel, the taps that reach it.
 *
 * x `[N, H, W, C]`, w `[KH, KW, C]`, y `[N, OH, OW, C]`. y[oh, ow] = sum w[ki, kj] * x[oh * s - pad + ki * d, ...] and
 * dx[ih, iw] = sum w[ki, kj] * dy[(ih + pad - ki * d) / s, ...]. With stride 1 the second is the first with the kernel
 * turned round. Kernels three wide are done by rows (depthwise-rows.ts, depthwise-spread.ts), the others pixel by pixel
 * (depthwise-pixel.ts); there channels are cut into blocks, so that the source rows of a target row stay in the first-level
 * cache.
 */
import { blockBytes, gatherPixel } from './depthwise-pixel';
import { directRows, isDirectRow } from './depthwise-rows';
import { transposedRow } from './depthwise-spread';

// Results of the two functions below; WebAssembly functions as compiled here return one value.
let firstTap: i32 = 0;
let tapCount: i32 = 0;
let firstSource: i32 = 0;

/** Taps along one axis that lie inside the source, for target position `base` = target * stride - pad. */
// @ts-ignore: decorator
@inline
function locateDirect(base: i32, kernel: i32, dilation: i32, size: i32): void {
  firstTap = base < 0 ? (dilation - 1 - base) / dilation : 0;
  firstSource = base + firstTap * dilation;
  tapCount = min(kernel - firstTap, (size - firstSource + dilation - 1) / dilation);
}

/** As above for source * stride = target + pad - tap * dilation: every tapStep-th tap, highest source first. */
// @ts-ignore: decorator
@inline
function locateTransposed(
  position: i32, kernel: i32, stride: i32, dilation: i32, size: i32, tapStep: i32, sourceStep: i32,
): void {
  let tap = 0;
  while (tap < tapStep && (position - tap * dilation) % stride != 0) tap++;
  let source = (position - tap * dilation) / stride;
  // Truncation towards zero is harmless: the remainder is zero unless there is no tap at all.
  if (tap == tapStep) source = -1;
  while (source >= size) {
    source -= sourceStep;
    tap += tapStep;
  }
  firstTap = tap;
  firstSource = source;
  tapCount = source < 0 ? 0 : min((kernel - tap + tapStep - 1) / tapStep, source / sourceStep + 1);
}

// Rows of maps up to this wide are done one at a time, wider ones in strips of about as many pixels as STRIP_PIXELS.
export const NARROW: i32 = 8;
export const STRIP_PIXELS: i32 = 144;
// From this width on, rows to come are fetched ahead.
export const WIDE: i32 = 32;
// Longer rows are cut, so that what a walk touches, a cache line a pixel, is still there when the next channels follow.
const WALK: i32 = 64;

/** Convolution whose kernel is read from `w` on in weightRowStep and weightColumnStep bytes, which may be negative. */
function correlate(
  source: usize, w: usize, target: usize, batch: i32, height: i32, width: i32, channels: i32, kernelHeight: i32,
  kernelWidth: i32, strideH: i32, strideW: i32, dilationH: i32, dilationW: i32, padTop: i32, padLeft: i32,
  targetHeight: i32, targetWidth: i32, weightRowStep: usize, weightColumnStep: usize, firstChannel: i32,
  lastChannel: i32,
): void {
  const pixel: usize = <usize>channels << 2;
  const span: usize = <usize>(lastChannel - firstChannel) << 2;
  const skipped: usize = <usize>firstChannel << 2;
  const row: usize = <usize>width * pixel;
  const targetRow: usize = <usize>targetWidth * pixel;
  const rowStep: usize = <usize>dilationH * row;
  const columnStep: usize = <usize>dilationW * pixel;
  const sourceEnd = source + <usize>(batch * height) * row;
  const targetEnd = target + <usize>(batch * targetHeight) * targetRow;
  // Not by the range of channels: each channel is computed in the same way, whoever has its neighbours.
  const byRows = kernelWidth == 3 && dilationW == 1 && channels % 4 == 0
    && isDirectRow(strideW, width, padLeft, targetWidth);
  const block = byRows ? span : blockBytes(span, 512);
  // One past the last target row that all kernel rows reach.
  const whole = min(targetHeight, (height - 1 - (kernelHeight - 1) * dilationH + padTop) / strideH + 1);
  const strip = width > NARROW ? max(1, STRIP_PIXELS / width) : 1;
  const walks = (targetWidth + WALK - 1) / WALK;
  const walk = (targetWidth + walks - 1) / walks;
  const mayFetch = width > WIDE && targetWidth <= width && span == pixel;
  source += skipped;
  w += skipped;
  target += skipped;
  for (let n = 0; n < batch; n++) {
    for (let c: usize = 0; c < span; c += block) {
      const bytes = min(block, span - c);
      for (let oh = 0; oh < targetHeight; oh++) {
        locateDirect(oh * strideH - padTop, kernelHeight, dilationH, height);
        const tapRows = tapCount;
        const from = source + <usize>firstSource * row + c;
        const kernel = w + <usize>firstTap * weightRowStep + c;
        const to = target + <usize>oh * targetRow + c;
        if (byRows && tapRows > 0 && tapRows <= 3) {
          const rows = tapRows == kernelHeight ? min(strip, whole - oh) : 1;
          const ahead = mayFetch && to + <usize>(2 * rows) * targetRow <= targetEnd
            && from + <usize>(rows - 1 + tapRows) * rowStep + <usize>rows * row <= sourceEnd;
          for (let ow = 0; ow < targetWidth; ow += walk) {
            const left = ow > 0 ? ow * strideW - padLeft : 0;
            directRows(
              strideW, tapRows, ahead, from + <usize>left * pixel, rowStep, <usize>strideH * row, pixel, width - left,
              ow > 0 ? 0 : padLeft, kernel, weightRowStep, weightColumnStep, to + <usize>ow * pixel, targetRow,
              min(walk, targetWidth - ow), rows, bytes,
            );
          }
          oh += rows - 1;
          continue;
        }
        for (let ow = 0; ow < targetWidth; ow++) {
          locateDirect(ow * strideW - padLeft, kernelWidth, dilationW, width);
          gatherPixel(
            from + <usize>firstSource * pixel, rowStep, columnStep, kernel + <usize>firstTap * weightColumnStep,
            weightRowStep, weightColumnStep, tapRows, tapCount, to + <usize>ow * pixel, bytes,
          );
        }
      }
    }
    source += <usize>height * row;
    target += <usize>targetHeight * targetRow;
  }
}

/**
 * y = x `[batch, height, width, C]` convolved with w `[kernelHeight, kernelWidth, C]`; y is overwritten.
 *
 * Of the channels, firstChannel .. lastChannel (exclusive) are computed, with the same bits in whatever ranges; the
 * first is a multiple of 8.
 */
export function depthwiseForward(
  x: usize, w: usize, y: usize, batch: i32, height: i32, width: i32, channels: i32, kernelHeight: i32,
  kernelWidth: i32, strideH: i32, strideW: i32, dilationH: i32, dilationW: i32, padTop: i32, padLeft: i32,
  outHeight: i32, outWidth: i32, firstChannel: i32, lastChannel: i32,
): void {
  const tap: usize = <usize>channels << 2;
  correlate(
    x, w, y, batch, height, width, channels, kernelHeight, kernelWidth, strideH, strideW, dilationH, dilationW,
    padTop, padLeft, outHeight, outWidth, <usize>kernelWidth * tap, tap, firstChannel, lastChannel,
  );
}

function greatestCommonDivisor(a: i32, b: i32): i32 {
  while (b != 0) {
    const rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

/** dx = gradient of {@link depthwiseForward} for its input, dy `[batch, outHeight, outWidth, C]`; dx is overwritten. */
export function depthwiseInputGradient(
  dy: usize, w: usize, dx: usize, batch: i32, height: i32, width: i32, channels: i32, kernelHeight: i32,
  kernelWidth: i32, strideH: i32, strideW: i32, dilationH: i32, dilationW: i32, padTop: i32, padLeft: i32,
  outHeight: i32, outWidth: i32, firstChannel: i32, lastChannel: i32,
): void {
  const pixel: usize = <usize>channels << 2;
  const weightRow: usize = <usize>kernelWidth * pixel;
  if (strideH == 1 && strideW == 1) {
    const last = w + <usize>(kernelHeight * kernelWidth - 1) * pixel;
    correlate(
      dy, last, dx, batch, outHeight, outWidth, channels, kernelHeight, kernelWidth, 1, 1, dilationH, dilationW,
      (kernelHeight - 1) * dilationH - padTop, (kernelWidth - 1) * dilationW - padLeft, height, width,
      0 - weightRow, 0 - pixel, firstChannel, lastChannel,
    );
    return;
  }
  const tapStepH = strideH / greatestCommonDivisor(strideH, dilationH);
  const tapStepW = strideW / greatestCommonDivisor(strideW, dilationW);
  const byRows = kernelWidth == 3 && strideW == 2 && dilationW == 1 && channels % 4 == 0
    && (padLeft == 0 || padLeft == 1);
  const sourceStepH = dilationH * tapStepH / strideH;
  const sourceStepW = dilationW * tapStepW / strideW;
  const span: usize = <usize>(lastChannel - firstChannel) << 2;
  const skipped: usize = <usize>firstChannel << 2;
  const block = byRows ? span : blockBytes(span, 512);
  const mayFetch = width > WIDE && span == pixel;
  const row: usize = <usize>outWidth * pixel;
  dy += skipped;
  w += skipped;
  dx += skipped;
  for (let n = 0; n < batch; n++) {
    for (let c: usize = 0; c < span; c += block) {
      const bytes = min(block, span - c);
      for (let ih = 0; ih < height; ih++) {
        locateTransposed(ih + padTop, kernelHeight, strideH, dilationH, outHeight, tapStepH, sourceStepH);
        const tapRows = tapCount;
        const from = dy + <usize>firstSource * row + c;
        const kernel = w + <usize>firstTap * weightRow + c;
        const to = dx + <usize>(ih * width) * pixel + c;
        if (byRows && (tapRows == 1 || tapRows == 2)) {
          transposedRow(
            tapRows, mayFetch && ih + 1 < height, from, 0 - <usize>sourceStepH * row, pixel, outWidth, padLeft, kernel,
            <usize>tapStepH * weightRow, to, width, bytes,
          );
          continue;
        }
        for (let iw = 0; iw < width; iw++) {
          locateTransposed(iw + padLeft, kernelWidth, strideW, dilationW, outWidth, tapStepW, sourceStepW);
          gatherPixel(
            from + <usize>firstSource * pixel, 0 - <usize>sourceStepH * row, 0 - <usize>sourceStepW * pixel,
            kernel + <usize>firstTap * pixel, <usize>tapStepH * weightRow, <usize>tapStepW * pixel,
            tapRows, tapCount, to + <usize>iw * pixel, bytes,
          );
        }
      }
    }
    dy += <usize>outHeight * row;
    dx += <usize>(height * width) * pixel;
  }
}
