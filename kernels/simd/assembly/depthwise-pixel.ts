/**
 * @file One target pixel of a depthwise convolution or its input gradient, for any kernel, stride and dilation.
 */
import { multiplyAdd } from './multiply-add';

/** Bytes of a pixel a block takes: at most `limit`, all blocks alike, whole cache lines. */
export function blockBytes(pixel: usize, limit: usize): usize {
  const blocks = (pixel + limit - 1) / limit;
  return ((pixel + blocks - 1) / blocks + 63) & ~63;
}

/** target[0 .. bytes) = sum over a grid of taps of source * weight; steps are in bytes and may be negative. */
export function gatherPixel(
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
        sum0 = multiplyAdd(v128.load(s), v128.load(w), sum0);
        sum1 = multiplyAdd(v128.load(s, 16), v128.load(w, 16), sum1);
        sum2 = multiplyAdd(v128.load(s, 32), v128.load(w, 32), sum2);
        sum3 = multiplyAdd(v128.load(s, 48), v128.load(w, 48), sum3);
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
        sum = multiplyAdd(v128.load(s), v128.load(w), sum);
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
