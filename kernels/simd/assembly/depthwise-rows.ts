/**
 * @file Rows of targets of a depthwise kernel three taps wide, four channels at a time.
 *
 * The weights of up to three kernel rows stay in registers while rows of pixels are walked; each source vector is
 * loaded once a row and feeds every target that it reaches. TAPS (kernel rows inside the map, 1 to 3) is a constant.
 */
import { multiplyAdd } from './multiply-add';

/** x0 * w0 + x1 * w1 + x2 * w2, of which TAPS terms count. */
// @ts-ignore: decorator
@inline
export function dot(TAPS: i32, x0: v128, x1: v128, x2: v128, w0: v128, w1: v128, w2: v128): v128 {
  let sum = f32x4.mul(x0, w0);
  if (TAPS > 1) sum = multiplyAdd(x1, w1, sum);
  if (TAPS > 2) sum = multiplyAdd(x2, w2, sum);
  return sum;
}

/** Row `index` of a column, where TAPS reach it. */
// @ts-ignore: decorator
@inline
export function at(TAPS: i32, index: i32, column: usize, rowStep: usize): v128 {
  return TAPS > index ? v128.load(column + <usize>index * rowStep) : f32x4.splat(0);
}

/**
 * Stride 1: target column o is the sum over j of the source columns o - pad + j times the weight columns j.
 *
 * bytes is a multiple of 16. The source is walked once: a column ends one target, adds to the next and begins a third.
 * AHEAD (a constant): as many rows of source and target as these, those behind them, are read on the way, sixteen bytes
 * a step. Walking down columns of channels defeats the prefetchers of processors, walking along memory does not.
 */
// @ts-ignore: decorator
@inline
function dense(
  TAPS: i32, AHEAD: bool, source: usize, rowStep: usize, sourceStep: usize, pixel: usize, width: i32, pad: i32,
  weight: usize, weightRowStep: usize, weightColumnStep: usize, target: usize, targetStep: usize, targetWidth: i32, rows: i32,
  bytes: usize,
): void {
  const before = min(width, 2 - pad);
  const end = min(width, targetWidth + 2 - pad);
  const first = width + pad - 2;
  let next = source + <usize>(rows - 1 + TAPS) * rowStep;
  const apart = target + <usize>rows * targetStep - next;
  for (let c: usize = 0; c < bytes; c += 16) {
    let w = weight + c;
    const w00 = at(TAPS, 0, w, weightRowStep);
    const w10 = at(TAPS, 1, w, weightRowStep);
    const w20 = at(TAPS, 2, w, weightRowStep);
    w += weightColumnStep;
    const w01 = at(TAPS, 0, w, weightRowStep);
    const w11 = at(TAPS, 1, w, weightRowStep);
    const w21 = at(TAPS, 2, w, weightRowStep);
    w += weightColumnStep;
    const w02 = at(TAPS, 0, w, weightRowStep);
    const w12 = at(TAPS, 1, w, weightRowStep);
    const w22 = at(TAPS, 2, w, weightRowStep);
    for (let row = 0; row < rows; row++) {
      let s = source + <usize>row * sourceStep + c;
      let t = target + <usize>row * targetStep + c;
      // What the columns before give to the target that the next one ends, and to the one after.
      let ending = f32x4.splat(0);
      let begun = ending;
      let column = 0;
      for (; column < before; column++) {
        const x0 = at(TAPS, 0, s, rowStep);
        const x1 = at(TAPS, 1, s, rowStep);
        const x2 = at(TAPS, 2, s, rowStep);
        ending = f32x4.add(begun, dot(TAPS, x0, x1, x2, w01, w11, w21));
        begun = dot(TAPS, x0, x1, x2, w00, w10, w20);
        s += pixel;
      }
      for (; column < end; column++) {
        const x0 = at(TAPS, 0, s, rowStep);
        const x1 = at(TAPS, 1, s, rowStep);
        const x2 = at(TAPS, 2, s, rowStep);
        v128.store(t, f32x4.add(ending, dot(TAPS, x0, x1, x2, w02, w12, w22)));
        ending = f32x4.add(begun, dot(TAPS, x0, x1, x2, w01, w11, w21));
        begun = dot(TAPS, x0, x1, x2, w00, w10, w20);
        if (AHEAD) {
          load<u8>(next);
          load<u8>(next + apart);
          next += 16;
        }
        s += pixel;
        t += pixel;
      }
      // The targets whose last columns lie behind the source.
      if (first >= 0 && first < targetWidth) {
        v128.store(t, ending);
        t += pixel;
      }
      if (first + 1 < targetWidth) v128.store(t, begun);
    }
  }
}

/** Stride 2: as {@link dense}, target column o reads the source columns 2 o - pad + j. */
// @ts-ignore: decorator
@inline
function skipping(
  TAPS: i32, source: usize, rowStep: usize, sourceStep: usize, pixel: usize, width: i32, pad: i32, weight: usize,
  weightRowStep: usize, weightColumnStep: usize, target: usize, targetStep: usize, targetWidth: i32, rows: i32,
  bytes: usize,
): void {
  const whole = min(targetWidth, (width + pad - 1) >> 1);
  for (let c: usize = 0; c < bytes; c += 16) {
    let w = weight + c;
    const w00 = at(TAPS, 0, w, weightRowStep);
    const w10 = at(TAPS, 1, w, weightRowStep);
    const w20 = at(TAPS, 2, w, weightRowStep);
    w += weightColumnStep;
    const w01 = at(TAPS, 0, w, weightRowStep);
    const w11 = at(TAPS, 1, w, weightRowStep);
    const w21 = at(TAPS, 2, w, weightRowStep);
    w += weightColumnStep;
    const w02 = at(TAPS, 0, w, weightRowStep);
    const w12 = at(TAPS, 1, w, weightRowStep);
    const w22 = at(TAPS, 2, w, weightRowStep);
    for (let row = 0; row < rows; row++) {
      let s = source + <usize>row * sourceStep + c;
      let t = target + <usize>row * targetStep + c;
      let begun = f32x4.splat(0);
      if (pad == 0) {
        begun = dot(TAPS, at(TAPS, 0, s, rowStep), at(TAPS, 1, s, rowStep), at(TAPS, 2, s, rowStep), w00, w10, w20);
        s += pixel;
      }
      for (let left = whole; left > 0; left--) {
        let x0 = at(TAPS, 0, s, rowStep);
        let x1 = at(TAPS, 1, s, rowStep);
        let x2 = at(TAPS, 2, s, rowStep);
        const sum = f32x4.add(begun, dot(TAPS, x0, x1, x2, w01, w11, w21));
        s += pixel;
        x0 = at(TAPS, 0, s, rowStep);
        x1 = at(TAPS, 1, s, rowStep);
        x2 = at(TAPS, 2, s, rowStep);
        v128.store(t, f32x4.add(sum, dot(TAPS, x0, x1, x2, w02, w12, w22)));
        begun = dot(TAPS, x0, x1, x2, w00, w10, w20);
        s += pixel;
        t += pixel;
      }
      if (whole < targetWidth) {
        if (2 * whole - pad + 1 < width) {
          const x0 = at(TAPS, 0, s, rowStep);
          const x1 = at(TAPS, 1, s, rowStep);
          const x2 = at(TAPS, 2, s, rowStep);
          begun = f32x4.add(begun, dot(TAPS, x0, x1, x2, w01, w11, w21));
        }
        v128.store(t, begun);
      }
    }
  }
}

/** Whether {@link directRows} can do rows of this geometry; the weights are three columns wide, without dilation. */
export function isDirectRow(stride: i32, width: i32, pad: i32, targetWidth: i32): bool {
  if (stride == 1) return pad >= 0 && pad <= 2 && targetWidth <= width + pad;
  return stride == 2 && (pad == 0 || pad == 1) && targetWidth <= ((width + pad - 1) >> 1) + 1;
}

/**
 * target `[rows, targetWidth, C]`, bytes of each pixel, = taps (1 to 3) source rows times as many weight rows.
 *
 * ahead: as much follows behind source and target, and is fetched.
 */
export function directRows(
  stride: i32, taps: i32, ahead: bool, source: usize, rowStep: usize, sourceStep: usize, pixel: usize, width: i32,
  pad: i32, weight: usize, weightRowStep: usize, weightColumnStep: usize, target: usize, targetStep: usize,
  targetWidth: i32, rows: i32, bytes: usize,
): void {
  if (stride == 1) {
    if (taps == 3 && ahead) {
      dense(
        3, true, source, rowStep, sourceStep, pixel, width, pad, weight, weightRowStep, weightColumnStep, target,
        targetStep, targetWidth, rows, bytes,
      );
    } else if (taps == 3) {
      dense(
        3, false, source, rowStep, sourceStep, pixel, width, pad, weight, weightRowStep, weightColumnStep, target,
        targetStep, targetWidth, rows, bytes,
      );
    } else if (taps == 2) {
      dense(
        2, false, source, rowStep, sourceStep, pixel, width, pad, weight, weightRowStep, weightColumnStep, target,
        targetStep, targetWidth, rows, bytes,
      );
    } else {
      dense(
        1, false, source, rowStep, sourceStep, pixel, width, pad, weight, weightRowStep, weightColumnStep, target,
        targetStep, targetWidth, rows, bytes,
      );
    }
  } else if (taps == 3) {
    skipping(
      3, source, rowStep, sourceStep, pixel, width, pad, weight, weightRowStep, weightColumnStep, target,
      targetStep, targetWidth, rows, bytes,
    );
  } else if (taps == 2) {
    skipping(
      2, source, rowStep, sourceStep, pixel, width, pad, weight, weightRowStep, weightColumnStep, target,
      targetStep, targetWidth, rows, bytes,
    );
  } else {
    skipping(
      1, source, rowStep, sourceStep, pixel, width, pad, weight, weightRowStep, weightColumnStep, target,
      targetStep, targetWidth, rows, bytes,
    );
  }
}
