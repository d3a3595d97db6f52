/**
 * @file Depthwise convolution and its input gradient: both gather, for each target pixel, the taps that reach it.
 *
 * x `[N, H, W, C]`, w `[KH, KW, C]`, y `[N, OH, OW, C]`. y[oh, ow] = sum w[ki, kj] * x[oh * s - pad + ki * d, ...] and
 * dx[ih, iw] = sum w[ki, kj] * dy[(ih + pad - ki * d) / s, ...]. With stride 1 the second is the first with the kernel
 * turned round. Channels are cut into blocks, so that the source rows of a target row stay in the first-level cache.
 */
import { directFour, transposedFour } from './depthwise-tiles';

/** Bytes of a pixel a block takes: at most `limit`, all blocks alike, whole cache lines. */
export function blockBytes(pixel: usize, limit: usize): usize {
  const blocks = (pixel + limit - 1) / limit;
  return ((pixel + blocks - 1) / blocks + 63) & ~63;
}

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

/** target[0 .. bytes) = sum over a grid of taps of source * weight; steps are in bytes and may be negative. */
function gatherPixel(
  source: usize, sourceRowStep: usize, sourceColumnStep: usize, weight: usize, weightRowStep: usize,
  weightColumnStep: usize, tapRows: i32, tapColumns: i32, target: usize, bytes: usize,
): void {
  // After a row of taps the pointers stand tapColumns further; this takes them to the next row.
  const sourceNext = sourceRowStep - <usize>tapColumns * sourceColumnStep;
  const weightNext = weightRowStep - <usize>tapColumns * weightColumnStep;
  if (tapColumns <= 0) tapRows = 0;
  let c: usize = 0;
  for (; c + 64 <= bytes; c += 64) {
    let sum0 = f32x4.splat(0);
    let sum1 = sum0;
    let sum2 = sum0;
    let sum3 = sum0;
    let s = source + c;
    let w = weight + c;
    for (let i = tapRows; i > 0; i--) {
      for (let j = tapColumns; j > 0; j--) {
        sum0 = f32x4.add(sum0, f32x4.mul(v128.load(s), v128.load(w)));
        sum1 = f32x4.add(sum1, f32x4.mul(v128.load(s, 16), v128.load(w, 16)));
        sum2 = f32x4.add(sum2, f32x4.mul(v128.load(s, 32), v128.load(w, 32)));
        sum3 = f32x4.add(sum3, f32x4.mul(v128.load(s, 48), v128.load(w, 48)));
        s += sourceColumnStep;
        w += weightColumnStep;
      }
      s += sourceNext;
      w += weightNext;
    }
    v128.store(target + c, sum0);
    v128.store(target + c, sum1, 16);
    v128.store(target + c, sum2, 32);
    v128.store(target + c, sum3, 48);
  }
  for (; c + 16 <= bytes; c += 16) {
    let sum = f32x4.splat(0);
    let s = source + c;
    let w = weight + c;
    for (let i = tapRows; i > 0; i--) {
      for (let j = tapColumns; j > 0; j--) {
        sum = f32x4.add(sum, f32x4.mul(v128.load(s), v128.load(w)));
        s += sourceColumnStep;
        w += weightColumnStep;
      }
      s += sourceNext;
      w += weightNext;
    }
    v128.store(target + c, sum);
  }
  for (; c < bytes; c += 4) {
    let sum: f32 = 0;
    let s = source + c;
    let w = weight + c;
    for (let i = tapRows; i > 0; i--) {
      for (let j = tapColumns; j > 0; j--) {
        sum += load<f32>(s) * load<f32>(w);
        s += sourceColumnStep;
        w += weightColumnStep;
      }
      s += sourceNext;
      w += weightNext;
    }
    store<f32>(target + c, sum);
  }
}

/** Convolution whose kernel is read from `w` on in weightRowStep and weightColumnStep bytes, which may be negative. */
function correlate(
  source: usize, w: usize, target: usize, batch: i32, height: i32, width: i32, channels: i32, kernelHeight: i32,
  kernelWidth: i32, strideH: i32, strideW: i32, dilationH: i32, dilationW: i32, padTop: i32, padLeft: i32,
  targetHeight: i32, targetWidth: i32, weightRowStep: usize, weightColumnStep: usize,
): void {
  const pixel: usize = <usize>channels << 2;
  const block = blockBytes(pixel, 512);
  const row: usize = <usize>width * pixel;
  const rowStep: usize = <usize>dilationH * row;
  const columnStep: usize = <usize>dilationW * pixel;
  const wide = kernelWidth == 3 && dilationW == 1 && strideW <= 2 && targetWidth >= 4 && channels % 4 == 0;
  for (let n = 0; n < batch; n++) {
    for (let c: usize = 0; c < pixel; c += block) {
      const bytes = min(block, pixel - c);
      for (let oh = 0; oh < targetHeight; oh++) {
        locateDirect(oh * strideH - padTop, kernelHeight, dilationH, height);
        const tapRows = tapCount;
        const from = source + <usize>firstSource * row + c;
        const kernel = w + <usize>firstTap * weightRowStep + c;
        const to = target + <usize>(oh * targetWidth) * pixel + c;
        for (let ow = 0; ow < targetWidth; ow++) {
          if (wide) {
            // The last four may overlap the four before: computing a pixel twice is cheaper than one by one.
            const at = min(ow, targetWidth - 4);
            const four = directFour(
              strideW, from, rowStep, pixel, at * strideW - padLeft, width, kernel, weightRowStep, weightColumnStep,
              tapRows, to + <usize>at * pixel, bytes,
            );
            if (four) {
              ow = at + 3;
              continue;
            }
          }
          locateDirect(ow * strideW - padLeft, kernelWidth, dilationW, width);
          gatherPixel(
            from + <usize>firstSource * pixel, rowStep, columnStep, kernel + <usize>firstTap * weightColumnStep,
            weightRowStep, weightColumnStep, tapRows, tapCount, to + <usize>ow * pixel, bytes,
          );
        }
      }
    }
    source += <usize>height * row;
    target += <usize>(targetHeight * targetWidth) * pixel;
  }
}

/** y = x `[batch, height, width, C]` convolved with w `[kernelHeight, kernelWidth, C]`; y is overwritten. */
export function depthwiseForward(
  x: usize, w: usize, y: usize, batch: i32, height: i32, width: i32, channels: i32, kernelHeight: i32,
  kernelWidth: i32, strideH: i32, strideW: i32, dilationH: i32, dilationW: i32, padTop: i32, padLeft: i32,
  outHeight: i32, outWidth: i32,
): void {
  const tap: usize = <usize>channels << 2;
  correlate(
    x, w, y, batch, height, width, channels, kernelHeight, kernelWidth, strideH, strideW, dilationH, dilationW,
    padTop, padLeft, outHeight, outWidth, <usize>kernelWidth * tap, tap,
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
  outHeight: i32, outWidth: i32,
): void {
  const pixel: usize = <usize>channels << 2;
  const weightRow: usize = <usize>kernelWidth * pixel;
  if (strideH == 1 && strideW == 1) {
    const last = w + <usize>(kernelHeight * kernelWidth - 1) * pixel;
    correlate(
      dy, last, dx, batch, outHeight, outWidth, channels, kernelHeight, kernelWidth, 1, 1, dilationH, dilationW,
      (kernelHeight - 1) * dilationH - padTop, (kernelWidth - 1) * dilationW - padLeft, height, width,
      0 - weightRow, 0 - pixel,
    );
    return;
  }
  const tapStepH = strideH / greatestCommonDivisor(strideH, dilationH);
  const tapStepW = strideW / greatestCommonDivisor(strideW, dilationW);
  const wide = kernelWidth == 3 && strideW == 2 && dilationW == 1 && width >= 4 && channels % 4 == 0;
  const sourceStepH = dilationH * tapStepH / strideH;
  const sourceStepW = dilationW * tapStepW / strideW;
  const block = blockBytes(pixel, 512);
  const row: usize = <usize>outWidth * pixel;
  for (let n = 0; n < batch; n++) {
    for (let c: usize = 0; c < pixel; c += block) {
      const bytes = min(block, pixel - c);
      for (let ih = 0; ih < height; ih++) {
        locateTransposed(ih + padTop, kernelHeight, strideH, dilationH, outHeight, tapStepH, sourceStepH);
        const tapRows = tapCount;
        const from = dy + <usize>firstSource * row + c;
        const kernel = w + <usize>firstTap * weightRow + c;
        const to = dx + <usize>(ih * width) * pixel + c;
        for (let iw = 0; iw < width; iw++) {
          if (wide) {
            // The last four may overlap the four before, but each four begins where taps 0 and 2 reach.
            const at = min(iw, (width - 4 + padLeft & ~1) - padLeft);
            const four = at >= 0 && at + 3 >= iw && (at + padLeft & 1) == 0 && transposedFour(
              from, 0 - <usize>sourceStepH * row, pixel, at + padLeft >> 1, outWidth, kernel,
              <usize>tapStepH * weightRow, tapRows, to + <usize>at * pixel, bytes,
            );
            if (four) {
              iw = at + 3;
              continue;
            }
          }
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
