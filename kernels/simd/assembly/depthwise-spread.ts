/**
 * @file Rows of the input gradient of a depthwise kernel three taps wide with stride 2, four channels at a time.
 */
import { at, dot } from './depthwise-rows';

/**
 * A row of the input gradient with stride 2: column j of dy reaches the target columns 2 j - pad + (0, 1, 2).
 *
 * TAPS is 1 or 2. Steps may be negative. AHEAD (a constant): the next target row is read on the way, as in dense.
 */
// @ts-ignore: decorator
@inline
function spreadRow(
  TAPS: i32, AHEAD: bool, source: usize, rowStep: usize, pixel: usize, width: i32, pad: i32, weight: usize,
  weightRowStep: usize, target: usize, targetWidth: i32, bytes: usize,
): void {
  const zero = f32x4.splat(0);
  let next = target + <usize>targetWidth * pixel;
  for (let c: usize = 0; c < bytes; c += 16) {
    let w = weight + c;
    const w00 = at(TAPS, 0, w, weightRowStep);
    const w10 = at(TAPS, 1, w, weightRowStep);
    w += pixel;
    const w01 = at(TAPS, 0, w, weightRowStep);
    const w11 = at(TAPS, 1, w, weightRowStep);
    w += pixel;
    const w02 = at(TAPS, 0, w, weightRowStep);
    const w12 = at(TAPS, 1, w, weightRowStep);
    let begun = zero;
    let s = source + c;
    let t = target + c;
    let column = 0;
    let to = 0;
    if (pad == 1) {
      const x0 = at(TAPS, 0, s, rowStep);
      const x1 = at(TAPS, 1, s, rowStep);
      v128.store(t, dot(TAPS, x0, x1, zero, w01, w11, zero));
      begun = dot(TAPS, x0, x1, zero, w02, w12, zero);
      s += pixel;
      t += pixel;
      column = 1;
      to = 1;
    }
    for (; column < width && to + 2 <= targetWidth; column++, to += 2) {
      const x0 = at(TAPS, 0, s, rowStep);
      const x1 = at(TAPS, 1, s, rowStep);
      v128.store(t, f32x4.add(begun, dot(TAPS, x0, x1, zero, w00, w10, zero)));
      v128.store(t + pixel, dot(TAPS, x0, x1, zero, w01, w11, zero));
      begun = dot(TAPS, x0, x1, zero, w02, w12, zero);
      s += pixel;
      t += 2 * pixel;
      if (AHEAD) {
        load<u8>(next);
        next += 32;
      }
    }
    if (to < targetWidth) {
      if (column < width) {
        begun = f32x4.add(begun, dot(TAPS, at(TAPS, 0, s, rowStep), at(TAPS, 1, s, rowStep), zero, w00, w10, zero));
      }
      v128.store(t, begun);
      for (to++; to < targetWidth; to++) {
        t += pixel;
        v128.store(t, zero);
      }
    }
  }
}

/**
 * The target row of an input gradient with stride 2 that taps (1 or 2) rows of dy reach; pad is 0 or 1.
 *
 * ahead: another target row follows, and is fetched.
 */
export function transposedRow(
  taps: i32, ahead: bool, source: usize, rowStep: usize, pixel: usize, width: i32, pad: i32, weight: usize,
  weightRowStep: usize, target: usize, targetWidth: i32, bytes: usize,
): void {
  if (taps == 2) {
    if (ahead) {
      spreadRow(2, true, source, rowStep, pixel, width, pad, weight, weightRowStep, target, targetWidth, bytes);
    } else spreadRow(2, false, source, rowStep, pixel, width, pad, weight, weightRowStep, target, targetWidth, bytes);
  } else if (ahead) {
    spreadRow(1, true, source, rowStep, pixel, width, pad, weight, weightRowStep, target, targetWidth, bytes);
  } else spreadRow(1, false, source, rowStep, pixel, width, pad, weight, weightRowStep, target, targetWidth, bytes);
}
