/**
 * @file Weight gradient of the depthwise convolution: dw[ki, kj] += sum over pixels of x * dy.
 *
 * A strip of rows of x meets its rows of dy, with 16 channels of one tap or 8 of three neighbouring taps in registers.
 * The float32 sum of a strip is added to dw, so no long sum is carried in one register.
 */

import { blockBytes } from './depthwise';

// As many pixels as are summed in float32 before the sum goes to dw, and as stay in the first-level cache.
const STRIP_PIXELS: i32 = 64;

// @ts-ignore: decorator
@inline
function accumulate(target: usize, sum: v128): void {
  v128.store(target, f32x4.add(v128.load(target), sum));
}

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

/** As {@link sumTap} for three taps of a kernel row, tapStep bytes apart in x and pixel bytes apart in dw. */
function sumThreeTaps(
  x: usize, xRowStep: usize, xStep: usize, tapStep: usize, dy: usize, dyRowStep: usize, pixel: usize, rows: i32,
  columns: i32, dw: usize, bytes: usize,
): void {
  const xNext = xRowStep - <usize>columns * xStep;
  const dyNext = dyRowStep - <usize>columns * pixel;
  for (let c: usize = 0; c < bytes; c += 32) {
    let sum0 = f32x4.splat(0);
    let sum1 = sum0;
    let sum2 = sum0;
    let sum3 = sum0;
    let sum4 = sum0;
    let sum5 = sum0;
    let a = x + c;
    let b = dy + c;
    for (let row = rows; row > 0; row--) {
      for (let column = columns; column > 0; column--) {
        const first = v128.load(b);
        const second = v128.load(b, 16);
        sum0 = f32x4.add(sum0, f32x4.mul(v128.load(a), first));
        sum1 = f32x4.add(sum1, f32x4.mul(v128.load(a, 16), second));
        sum2 = f32x4.add(sum2, f32x4.mul(v128.load(a + tapStep), first));
        sum3 = f32x4.add(sum3, f32x4.mul(v128.load(a + tapStep, 16), second));
        sum4 = f32x4.add(sum4, f32x4.mul(v128.load(a + 2 * tapStep), first));
        sum5 = f32x4.add(sum5, f32x4.mul(v128.load(a + 2 * tapStep, 16), second));
        a += xStep;
        b += pixel;
      }
      a += xNext;
      b += dyNext;
    }
    const to = dw + c;
    accumulate(to, sum0);
    accumulate(to + 16, sum1);
    accumulate(to + pixel, sum2);
    accumulate(to + pixel + 16, sum3);
    accumulate(to + 2 * pixel, sum4);
    accumulate(to + 2 * pixel + 16, sum5);
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

/** dw += gradient for the weight; x `[batch, height, width, C]`, dy `[batch, outHeight, outWidth, C]`. */
export function depthwiseWeightGradient(
  x: usize, dy: usize, dw: usize, batch: i32, height: i32, width: i32, channels: i32, kernelHeight: i32,
  kernelWidth: i32, strideH: i32, strideW: i32, dilationH: i32, dilationW: i32, padTop: i32, padLeft: i32,
  outHeight: i32, outWidth: i32,
): void {
  const pixel: usize = <usize>channels << 2;
  const block = blockBytes(pixel, 512);
  const row: usize = <usize>width * pixel;
  const outRow: usize = <usize>outWidth * pixel;
  const xRowStep: usize = <usize>strideH * row;
  const xStep: usize = <usize>strideW * pixel;
  const strip = max(1, STRIP_PIXELS / outWidth);
  for (let n = 0; n < batch; n++) {
    for (let c: usize = 0; c < pixel; c += block) {
      const bytes = min(block, pixel - c);
      for (let top = 0; top < outHeight; top += strip) {
        for (let ki = 0; ki < kernelHeight; ki++) {
          const down = ki * dilationH - padTop;
          const oh = max(top, firstInside(down, strideH));
          const rows = endInside(down, strideH, height, min(outHeight, top + strip)) - oh;
          if (rows <= 0) continue;
          const xRow = x + <usize>(oh * strideH + down) * row + c;
          const dyRow = dy + <usize>oh * outRow + c;
          const dwRow = dw + <usize>(ki * kernelWidth) * pixel + c;
          let kj = 0;
          while (kj < kernelWidth) {
            // Where three taps are all inside they share the loads of dy; each then adds its columns at either edge.
            const three = kj + 3 <= kernelWidth && bytes % 32 == 0;
            const taps = three ? 3 : 1;
            const low = kj * dilationW - padLeft;
            const high = low + (taps - 1) * dilationW;
            const from = firstInside(low, strideW);
            const to = endInside(high, strideW, width, outWidth);
            const shared = three && from < to;
            if (shared) {
              sumThreeTaps(
                xRow + <usize>(from * strideW + low) * pixel, xRowStep, xStep, <usize>dilationW * pixel,
                dyRow + <usize>from * pixel, outRow, pixel, rows, to - from, dwRow + <usize>kj * pixel, bytes,
              );
            }
            for (const end = kj + taps; kj < end; kj++) {
              const right = kj * dilationW - padLeft;
              const first = firstInside(right, strideW);
              const last = endInside(right, strideW, width, outWidth);
              const tap = dwRow + <usize>kj * pixel;
              const left = xRow + <usize>(first * strideW + right) * pixel;
              const leftEnd = shared ? from : last;
              sumTap(
                left, xStep, xRowStep, dyRow + <usize>first * pixel, pixel, outRow, leftEnd - first, rows, tap, bytes,
              );
              if (!shared) continue;
              sumTap(
                xRow + <usize>(to * strideW + right) * pixel, xStep, xRowStep, dyRow + <usize>to * pixel, pixel, outRow,
                last - to, rows, tap, bytes,
              );
            }
          }
        }
      }
    }
    x += <usize>height * row;
    dy += <usize>outHeight * outRow;
  }
}
