/**
 * @file Weight gradient of three kernel columns and up to three kernel rows at once, four channels at a time.
 *
 * All nine sums stay in registers while rows of pixels are walked, so a vector of dy is loaded once for nine products.
 * TAPS (kernel rows whose source rows lie inside the map, 1 to 3) is a constant.
 */
import { multiplyAdd } from './multiply-add';

// @ts-ignore: decorator
@inline
export function accumulate(target: usize, sum: v128): void {
  v128.store(target, f32x4.add(v128.load(target), sum));
}

/** dw of a kernel row += its three sums. */
// @ts-ignore: decorator
@inline
function addRow(dw: usize, pixel: usize, first: v128, second: v128, third: v128): void {
  accumulate(dw, first);
  accumulate(dw + pixel, second);
  accumulate(dw + 2 * pixel, third);
}

/** dw[i, j] of TAPS rows += the products of rows by outWidth pixels of dy with the pixels of x that they read. */
// @ts-ignore: decorator
@inline
function nineSums(
  TAPS: i32, x: usize, xRowStep: usize, tapRowStep: usize, stride: i32, dilation: i32, padLeft: i32, width: i32,
  dy: usize, pixel: usize, outWidth: i32, rows: i32, dw: usize, dwRowStep: usize, bytes: usize,
): void {
  const outRow: usize = <usize>outWidth * pixel;
  const step: usize = <usize>stride * pixel;
  const tapStep: usize = <usize>dilation * pixel;
  for (let c: usize = 0; c < bytes; c += 16) {
    let sum00 = f32x4.splat(0);
    let sum01 = sum00;
    let sum02 = sum00;
    let sum10 = sum00;
    let sum11 = sum00;
    let sum12 = sum00;
    let sum20 = sum00;
    let sum21 = sum00;
    let sum22 = sum00;
    for (let row = 0; row < rows; row++) {
      let s = x + <usize>row * xRowStep - <usize>padLeft * pixel + c;
      let d = dy + <usize>row * outRow + c;
      let column = -padLeft;
      for (let left = outWidth; left > 0; left--) {
        const g = v128.load(d);
        if (<u32>column < <u32>width) {
          sum00 = multiplyAdd(v128.load(s), g, sum00);
          if (TAPS > 1) sum10 = multiplyAdd(v128.load(s + tapRowStep), g, sum10);
          if (TAPS > 2) sum20 = multiplyAdd(v128.load(s + 2 * tapRowStep), g, sum20);
        }
        let at = s + tapStep;
        if (<u32>(column + dilation) < <u32>width) {
          sum01 = multiplyAdd(v128.load(at), g, sum01);
          if (TAPS > 1) sum11 = multiplyAdd(v128.load(at + tapRowStep), g, sum11);
          if (TAPS > 2) sum21 = multiplyAdd(v128.load(at + 2 * tapRowStep), g, sum21);
        }
        at += tapStep;
        if (<u32>(column + 2 * dilation) < <u32>width) {
          sum02 = multiplyAdd(v128.load(at), g, sum02);
          if (TAPS > 1) sum12 = multiplyAdd(v128.load(at + tapRowStep), g, sum12);
          if (TAPS > 2) sum22 = multiplyAdd(v128.load(at + 2 * tapRowStep), g, sum22);
        }
        s += step;
        d += pixel;
        column += stride;
      }
    }
    addRow(dw + c, pixel, sum00, sum01, sum02);
    if (TAPS > 1) addRow(dw + c + dwRowStep, pixel, sum10, sum11, sum12);
    if (TAPS > 2) addRow(dw + c + 2 * dwRowStep, pixel, sum20, sum21, sum22);
  }
}

/**
 * The same for stride and dilation 1 and 0 to 2 columns of padding: walks x, and keeps the last columns of dy.
 *
 * AHEAD (a constant): as many rows as these, those behind them, are read on the way.
 */
// @ts-ignore: decorator
@inline
function denseSums(
  TAPS: i32, AHEAD: bool, x: usize, xRowStep: usize, tapRowStep: usize, padLeft: i32, width: i32, dy: usize,
  pixel: usize, outWidth: i32, rows: i32, dw: usize, dwRowStep: usize, bytes: usize,
): void {
  const outRow: usize = <usize>outWidth * pixel;
  let next = x + <usize>rows * xRowStep + <usize>(TAPS - 1) * tapRowStep;
  const apart = dy + <usize>rows * outRow - next;
  for (let c: usize = 0; c < bytes; c += 16) {
    let sum00 = f32x4.splat(0);
    let sum01 = sum00;
    let sum02 = sum00;
    let sum10 = sum00;
    let sum11 = sum00;
    let sum12 = sum00;
    let sum20 = sum00;
    let sum21 = sum00;
    let sum22 = sum00;
    for (let row = 0; row < rows; row++) {
      let s = x + <usize>row * xRowStep + c;
      let d = dy + <usize>row * outRow + c;
      // Column i of x meets columns o = i + padLeft, o - 1 and o - 2 of dy.
      let g1 = f32x4.splat(0);
      let g2 = g1;
      if (padLeft > 0) {
        g1 = v128.load(d);
        d += pixel;
      }
      if (padLeft > 1) {
        g2 = g1;
        g1 = v128.load(d);
        d += pixel;
      }
      let o = padLeft;
      for (let left = width; left > 0; left--) {
        const x0 = v128.load(s);
        const x1 = TAPS > 1 ? v128.load(s + tapRowStep) : x0;
        const x2 = TAPS > 2 ? v128.load(s + 2 * tapRowStep) : x0;
        if (<u32>(o - 2) < <u32>outWidth) {
          sum02 = multiplyAdd(x0, g2, sum02);
          if (TAPS > 1) sum12 = multiplyAdd(x1, g2, sum12);
          if (TAPS > 2) sum22 = multiplyAdd(x2, g2, sum22);
        }
        if (<u32>(o - 1) < <u32>outWidth) {
          sum01 = multiplyAdd(x0, g1, sum01);
          if (TAPS > 1) sum11 = multiplyAdd(x1, g1, sum11);
          if (TAPS > 2) sum21 = multiplyAdd(x2, g1, sum21);
        }
        g2 = g1;
        if (<u32>o < <u32>outWidth) {
          g1 = v128.load(d);
          sum00 = multiplyAdd(x0, g1, sum00);
          if (TAPS > 1) sum10 = multiplyAdd(x1, g1, sum10);
          if (TAPS > 2) sum20 = multiplyAdd(x2, g1, sum20);
        }
        if (AHEAD) {
          load<u8>(next);
          load<u8>(next + apart);
          next += 16;
        }
        o++;
        s += pixel;
        d += pixel;
      }
    }
    addRow(dw + c, pixel, sum00, sum01, sum02);
    if (TAPS > 1) addRow(dw + c + dwRowStep, pixel, sum10, sum11, sum12);
    if (TAPS > 2) addRow(dw + c + 2 * dwRowStep, pixel, sum20, sum21, sum22);
  }
}

/**
 * dw `[taps, 3, C]` += what rows by outWidth pixels of dy give, bytes of each; x: the row that their first tap reads.
 *
 * ahead: as many rows follow in x and dy, and are fetched.
 */
export function sumRows(
  taps: i32, ahead: bool, x: usize, xRowStep: usize, tapRowStep: usize, stride: i32, dilation: i32, padLeft: i32,
  width: i32, dy: usize, pixel: usize, outWidth: i32, rows: i32, dw: usize, dwRowStep: usize, bytes: usize,
): void {
  if (stride == 1 && dilation == 1 && padLeft >= 0 && padLeft <= min(2, outWidth)) {
    if (taps == 3 && ahead) {
      denseSums(
        3, true, x, xRowStep, tapRowStep, padLeft, width, dy, pixel, outWidth, rows, dw, dwRowStep, bytes,
      );
    } else if (taps == 3) {
      denseSums(
        3, false, x, xRowStep, tapRowStep, padLeft, width, dy, pixel, outWidth, rows, dw, dwRowStep, bytes,
      );
    } else if (taps == 2) {
      denseSums(
        2, false, x, xRowStep, tapRowStep, padLeft, width, dy, pixel, outWidth, rows, dw, dwRowStep, bytes,
      );
    } else {
      denseSums(
        1, false, x, xRowStep, tapRowStep, padLeft, width, dy, pixel, outWidth, rows, dw, dwRowStep, bytes,
      );
    }
  } else if (taps == 3) {
    nineSums(
      3, x, xRowStep, tapRowStep, stride, dilation, padLeft, width, dy, pixel, outWidth, rows, dw, dwRowStep, bytes,
    );
  } else if (taps == 2) {
    nineSums(
      2, x, xRowStep, tapRowStep, stride, dilation, padLeft, width, dy, pixel, outWidth, rows, dw, dwRowStep, bytes,
    );
  } else {
    nineSums(
      1, x, xRowStep, tapRowStep, stride, dilation, padLeft, width, dy, pixel, outWidth, rows, dw, dwRowStep, bytes,
    );
  }
}
