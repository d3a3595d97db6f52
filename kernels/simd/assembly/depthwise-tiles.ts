/**
 * @file Four target pixels at once for depthwise kernels three taps wide, so that a source vector serves several.
 *
 * One row of taps is one pass of the inner loop: its nine loads and four sums just fit the sixteen registers of x64.
 */

// @ts-ignore: decorator
@inline
function dot3(sum: v128, a: v128, b: v128, d: v128, w0: v128, w1: v128, w2: v128): v128 {
  return f32x4.add(f32x4.add(sum, f32x4.mul(a, w0)), f32x4.add(f32x4.mul(b, w1), f32x4.mul(d, w2)));
}

// @ts-ignore: decorator
@inline
function dot2(sum: v128, a: v128, b: v128, w0: v128, w1: v128): v128 {
  return f32x4.add(sum, f32x4.add(f32x4.mul(a, w0), f32x4.mul(b, w1)));
}

/**
 * The loop; STRIDE (1 or 2), LEFT and RIGHT (the first or the last source column lies outside) are constants.
 *
 * `source` is where the first source column is or would be, even below zero. bytes is a multiple of 16.
 */
// @ts-ignore: decorator
@inline
function four(
  STRIDE: i32, LEFT: bool, RIGHT: bool, source: usize, sourceRowStep: usize, pixel: usize, weight: usize,
  weightRowStep: usize, weightColumnStep: usize, tapRows: i32, target: usize, bytes: usize,
): void {
  for (let c: usize = 0; c < bytes; c += 16) {
    let sum0 = f32x4.splat(0);
    let sum1 = sum0;
    let sum2 = sum0;
    let sum3 = sum0;
    let s = source;
    let w = weight;
    for (let i = tapRows; i > 0; i--) {
      const w0 = v128.load(w);
      const w1 = v128.load(w + weightColumnStep);
      const w2 = v128.load(w + 2 * weightColumnStep);
      const s1 = v128.load(s + pixel);
      const s2 = v128.load(s + 2 * pixel);
      if (LEFT) sum0 = dot2(sum0, s1, s2, w1, w2);
      else sum0 = dot3(sum0, v128.load(s), s1, s2, w0, w1, w2);
      const s3 = v128.load(s + 3 * pixel);
      const s4 = v128.load(s + 4 * pixel);
      if (STRIDE == 1) {
        sum1 = dot3(sum1, s1, s2, s3, w0, w1, w2);
        sum2 = dot3(sum2, s2, s3, s4, w0, w1, w2);
        if (RIGHT) sum3 = dot2(sum3, s3, s4, w0, w1);
        else sum3 = dot3(sum3, s3, s4, v128.load(s + 5 * pixel), w0, w1, w2);
      } else {
        sum1 = dot3(sum1, s2, s3, s4, w0, w1, w2);
        const s5 = v128.load(s + 5 * pixel);
        const s6 = v128.load(s + 6 * pixel);
        sum2 = dot3(sum2, s4, s5, s6, w0, w1, w2);
        const s7 = v128.load(s + 7 * pixel);
        if (RIGHT) sum3 = dot2(sum3, s6, s7, w0, w1);
        else sum3 = dot3(sum3, s6, s7, v128.load(s + 8 * pixel), w0, w1, w2);
      }
      s += sourceRowStep;
      w += weightRowStep;
    }
    v128.store(target, sum0);
    v128.store(target + pixel, sum1);
    v128.store(target + 2 * pixel, sum2);
    v128.store(target + 3 * pixel, sum3);
    source += 16;
    target += 16;
    weight += 16;
  }
}

function four1(
  source: usize, sourceRowStep: usize, pixel: usize, weight: usize, weightRowStep: usize, weightColumnStep: usize,
  tapRows: i32, target: usize, bytes: usize,
): void {
  four(1, false, false, source, sourceRowStep, pixel, weight, weightRowStep, weightColumnStep, tapRows, target, bytes);
}

function four1Left(
  source: usize, sourceRowStep: usize, pixel: usize, weight: usize, weightRowStep: usize, weightColumnStep: usize,
  tapRows: i32, target: usize, bytes: usize,
): void {
  four(1, true, false, source, sourceRowStep, pixel, weight, weightRowStep, weightColumnStep, tapRows, target, bytes);
}

function four1Right(
  source: usize, sourceRowStep: usize, pixel: usize, weight: usize, weightRowStep: usize, weightColumnStep: usize,
  tapRows: i32, target: usize, bytes: usize,
): void {
  four(1, false, true, source, sourceRowStep, pixel, weight, weightRowStep, weightColumnStep, tapRows, target, bytes);
}

function four2(
  source: usize, sourceRowStep: usize, pixel: usize, weight: usize, weightRowStep: usize, weightColumnStep: usize,
  tapRows: i32, target: usize, bytes: usize,
): void {
  four(2, false, false, source, sourceRowStep, pixel, weight, weightRowStep, weightColumnStep, tapRows, target, bytes);
}

function four2Left(
  source: usize, sourceRowStep: usize, pixel: usize, weight: usize, weightRowStep: usize, weightColumnStep: usize,
  tapRows: i32, target: usize, bytes: usize,
): void {
  four(2, true, false, source, sourceRowStep, pixel, weight, weightRowStep, weightColumnStep, tapRows, target, bytes);
}

function four2Right(
  source: usize, sourceRowStep: usize, pixel: usize, weight: usize, weightRowStep: usize, weightColumnStep: usize,
  tapRows: i32, target: usize, bytes: usize,
): void {
  four(2, false, true, source, sourceRowStep, pixel, weight, weightRowStep, weightColumnStep, tapRows, target, bytes);
}


/** Four target pixels whose sources begin at column `base`; returns whether it could do them. */
export function directFour(
  stride: i32, source: usize, rowStep: usize, pixel: usize, base: i32, width: i32, weight: usize,
  weightRowStep: usize, weightColumnStep: usize, tapRows: i32, target: usize, bytes: usize,
): bool {
  const left = base < 0;
  const right = base + 3 * stride + 2 >= width;
  if (base < -1 || base + 3 * stride + 2 > width || (left && right)) return false;
  source += <usize>base * pixel;
  if (stride == 1) {
    if (left) four1Left(source, rowStep, pixel, weight, weightRowStep, weightColumnStep, tapRows, target, bytes);
    else if (right) four1Right(source, rowStep, pixel, weight, weightRowStep, weightColumnStep, tapRows, target, bytes);
    else four1(source, rowStep, pixel, weight, weightRowStep, weightColumnStep, tapRows, target, bytes);
  } else if (left) four2Left(source, rowStep, pixel, weight, weightRowStep, weightColumnStep, tapRows, target, bytes);
  else if (right) four2Right(source, rowStep, pixel, weight, weightRowStep, weightColumnStep, tapRows, target, bytes);
  else four2(source, rowStep, pixel, weight, weightRowStep, weightColumnStep, tapRows, target, bytes);
  return true;
}

/**
 * Four input-gradient pixels of a kernel three wide, stride 2: the first is reached by taps 0 and 2, the next by tap 1.
 *
 * `source` is the column of dy that tap 0 of the first pixel reads; the column before and the one after may be absent
 * (LEFT, RIGHT, constants). Steps are as in locateTransposed: rows are walked upwards by negative steps.
 */
// @ts-ignore: decorator
@inline
function fourHalves(
  LEFT: bool, RIGHT: bool, source: usize, sourceRowStep: usize, pixel: usize, weight: usize, weightRowStep: usize,
  tapRows: i32, target: usize, bytes: usize,
): void {
  for (let c: usize = 0; c < bytes; c += 16) {
    let sum0 = f32x4.splat(0);
    let sum1 = sum0;
    let sum2 = sum0;
    let sum3 = sum0;
    let s = source;
    let w = weight;
    for (let i = tapRows; i > 0; i--) {
      const w0 = v128.load(w);
      const w1 = v128.load(w + pixel);
      const w2 = v128.load(w + 2 * pixel);
      const s1 = v128.load(s);
      if (LEFT) sum0 = f32x4.add(sum0, f32x4.mul(s1, w0));
      else sum0 = dot2(sum0, v128.load(s - pixel), s1, w2, w0);
      sum1 = f32x4.add(sum1, f32x4.mul(s1, w1));
      if (RIGHT) sum2 = f32x4.add(sum2, f32x4.mul(s1, w2));
      else {
        const s2 = v128.load(s + pixel);
        sum2 = dot2(sum2, s1, s2, w2, w0);
        sum3 = f32x4.add(sum3, f32x4.mul(s2, w1));
      }
      s += sourceRowStep;
      w += weightRowStep;
    }
    v128.store(target, sum0);
    v128.store(target + pixel, sum1);
    v128.store(target + 2 * pixel, sum2);
    v128.store(target + 3 * pixel, sum3);
    source += 16;
    target += 16;
    weight += 16;
  }
}

/** Four input-gradient pixels, stride 2, if it can; `column` of dy is read by tap 0 of the first. */
export function transposedFour(
  source: usize, rowStep: usize, pixel: usize, column: i32, width: i32, weight: usize, weightRowStep: usize,
  tapRows: i32, target: usize, bytes: usize,
): bool {
  const left = column == 0;
  const right = column + 1 == width;
  if (column < 0 || column >= width || (left && right)) return false;
  source += <usize>column * pixel;
  if (left) fourHalves(true, false, source, rowStep, pixel, weight, weightRowStep, tapRows, target, bytes);
  else if (right) fourHalves(false, true, source, rowStep, pixel, weight, weightRowStep, tapRows, target, bytes);
  else fourHalves(false, false, source, rowStep, pixel, weight, weightRowStep, tapRows, target, bytes);
  return true;
}
