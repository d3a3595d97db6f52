/**
 * @file Activations that are more than a clipping: values, derivatives, and few-bit codes of the derivative.
 *
 * A code row holds ceil(C / 8) groups of BITS bytes; channel c of a group is bits [BITS c, BITS (c + 1)) of the group's
 * little-endian number. Function numbers stand in kernels/smooth-functions.ts order.
 */
import { multiplyAdd } from './multiply-add';

// @ts-ignore: decorator
@inline
function splat(value: f32): v128 {
  return f32x4.splat(value);
}

/** e^x to about 1e-7 relative: Cody-Waite reduction and a polynomial on +-ln(2)/2; the ends are held at e^-87, e^88. */
function exponential(value: v128): v128 {
  const x = f32x4.pmin(f32x4.pmax(value, splat(-87)), splat(88));
  const n = f32x4.nearest(f32x4.mul(x, splat(1.44269504)));
  let r = f32x4.sub(x, f32x4.mul(n, splat(0.693359375)));
  r = f32x4.sub(r, f32x4.mul(n, splat(-2.12194440e-4)));
  // Taylor's coefficients up to r^7 leave less than half a unit in the last place on this interval.
  let p = splat(1.98412698e-4);
  p = multiplyAdd(p, r, splat(1.38888889e-3));
  p = multiplyAdd(p, r, splat(8.33333333e-3));
  p = multiplyAdd(p, r, splat(4.16666667e-2));
  p = multiplyAdd(p, r, splat(1.66666667e-1));
  p = multiplyAdd(p, r, splat(0.5));
  p = multiplyAdd(p, r, splat(1));
  p = multiplyAdd(p, r, splat(1));
  const scale = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23);
  return f32x4.mul(p, scale);
}

// @ts-ignore: decorator
@inline
function sigmoid(x: v128): v128 {
  return f32x4.div(splat(1), f32x4.add(splat(1), exponential(f32x4.neg(x))));
}

// @ts-ignore: decorator
@inline
function tanh(x: v128): v128 {
  return f32x4.sub(f32x4.mul(splat(2), sigmoid(f32x4.add(x, x))), splat(1));
}

/** The normal distribution function, absolute error below 1e-7 (Abramowitz and Stegun 7.1.26 for erf). */
function normalCdf(x: v128): v128 {
  const z = f32x4.mul(f32x4.abs(x), splat(0.70710678));
  const t = f32x4.div(splat(1), multiplyAdd(splat(0.3275911), z, splat(1)));
  let p = splat(1.061405429);
  p = multiplyAdd(p, t, splat(-1.453152027));
  p = multiplyAdd(p, t, splat(1.421413741));
  p = multiplyAdd(p, t, splat(-0.284496736));
  p = multiplyAdd(p, t, splat(0.254829592));
  const tail = f32x4.mul(f32x4.mul(f32x4.mul(p, t), exponential(f32x4.neg(f32x4.mul(z, z)))), splat(0.5));
  return v128.bitselect(tail, f32x4.sub(splat(1), tail), f32x4.lt(x, splat(0)));
}

// @ts-ignore: decorator
@inline
function geluTanhOf(x: v128): v128 {
  return tanh(f32x4.mul(splat(0.79788456), multiplyAdd(f32x4.mul(splat(0.044715), x), f32x4.mul(x, x), x)));
}

// @ts-ignore: decorator
@inline
function clamp(x: v128, low: f32, high: f32): v128 {
  return f32x4.pmin(f32x4.pmax(x, splat(low)), splat(high));
}

/** f(x); FN is the index in activationFunctions. */
// @ts-ignore: decorator
@inline
function valueOf(FN: i32, x: v128, alpha: f32, beta: f32): v128 {
  if (FN == 0) return f32x4.mul(f32x4.mul(x, clamp(f32x4.add(x, splat(3)), 0, 6)), splat(1.0 / 6.0));
  if (FN == 1) return clamp(multiplyAdd(splat(alpha), x, splat(beta)), 0, 1);
  if (FN == 2) return sigmoid(x);
  if (FN == 3) return f32x4.mul(x, sigmoid(x));
  if (FN == 4) return f32x4.mul(x, normalCdf(x));
  if (FN == 5) return f32x4.mul(f32x4.mul(splat(0.5), x), f32x4.add(splat(1), geluTanhOf(x)));
  if (FN == 6) return tanh(x);
  const below = FN == 7
    ? f32x4.mul(splat(alpha), x)
    : f32x4.mul(splat(alpha), f32x4.sub(exponential(x), splat(1)));
  return v128.bitselect(below, x, f32x4.lt(x, splat(0)));
}

/** f' from what the function keeps: x for 0, 3, 4, 5 and y for the others. */
// @ts-ignore: decorator
@inline
function slopeOf(FN: i32, kept: v128, alpha: f32, beta: f32): v128 {
  const one = splat(1);
  if (FN == 0) {
    const inner = multiplyAdd(kept, splat(1.0 / 3.0), splat(0.5));
    const low = v128.bitselect(splat(0), inner, f32x4.le(kept, splat(-3)));
    return v128.bitselect(one, low, f32x4.ge(kept, splat(3)));
  }
  if (FN == 1) return v128.and(splat(alpha), v128.and(f32x4.gt(kept, splat(0)), f32x4.lt(kept, one)));
  if (FN == 2) return f32x4.mul(kept, f32x4.sub(one, kept));
  if (FN == 3) {
    const s = sigmoid(kept);
    return f32x4.mul(s, multiplyAdd(kept, f32x4.sub(one, s), one));
  }
  if (FN == 4) {
    const density = f32x4.mul(exponential(f32x4.mul(f32x4.mul(kept, kept), splat(-0.5))), splat(0.39894228));
    return multiplyAdd(kept, density, normalCdf(kept));
  }
  if (FN == 5) {
    const t = geluTanhOf(kept);
    const inner = multiplyAdd(f32x4.mul(splat(0.134145), kept), kept, one);
    const second = f32x4.mul(f32x4.mul(f32x4.mul(splat(0.39894228), kept), f32x4.sub(one, f32x4.mul(t, t))), inner);
    return multiplyAdd(splat(0.5), f32x4.add(one, t), second);
  }
  if (FN == 6) return f32x4.sub(one, f32x4.mul(kept, kept));
  const below = FN == 7 ? splat(alpha) : f32x4.add(kept, splat(alpha));
  return v128.bitselect(one, below, f32x4.gt(kept, splat(0)));
}

/** Loads or stores the 1 to 3 values at the end of a tensor without touching what lies behind it. */
function loadRest(from: usize, count: i32): v128 {
  let value = splat(0);
  if (count > 0) value = f32x4.replace_lane(value, 0, load<f32>(from));
  if (count > 1) value = f32x4.replace_lane(value, 1, load<f32>(from, 4));
  if (count > 2) value = f32x4.replace_lane(value, 2, load<f32>(from, 8));
  return value;
}

function storeRest(to: usize, value: v128, count: i32): void {
  if (count > 0) store<f32>(to, f32x4.extract_lane(value, 0));
  if (count > 1) store<f32>(to, f32x4.extract_lane(value, 1), 4);
  if (count > 2) store<f32>(to, f32x4.extract_lane(value, 2), 8);
}

// @ts-ignore: decorator
@inline
function forwardLoop(FN: i32, x: usize, y: usize, count: i32, alpha: f32, beta: f32): void {
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    v128.store(y, valueOf(FN, v128.load(x), alpha, beta));
    x += 16;
    y += 16;
  }
  if (i < count) storeRest(y, valueOf(FN, loadRest(x, count - i), alpha, beta), count - i);
}

// @ts-ignore: decorator
@inline
function backwardLoop(FN: i32, dy: usize, kept: usize, dx: usize, count: i32, alpha: f32, beta: f32): void {
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    v128.store(dx, f32x4.mul(v128.load(dy), slopeOf(FN, v128.load(kept), alpha, beta)));
    dy += 16;
    kept += 16;
    dx += 16;
  }
  if (i < count) {
    storeRest(dx, f32x4.mul(loadRest(dy, count - i), slopeOf(FN, loadRest(kept, count - i), alpha, beta)), count - i);
  }
}

/** y = f(x) over `count` values; y may be x. */
export function smoothForward(fn: i32, x: usize, y: usize, count: i32, alpha: f32, beta: f32): void {
  switch (fn) {
    case 0: forwardLoop(0, x, y, count, alpha, beta); break;
    case 1: forwardLoop(1, x, y, count, alpha, beta); break;
    case 2: forwardLoop(2, x, y, count, alpha, beta); break;
    case 3: forwardLoop(3, x, y, count, alpha, beta); break;
    case 4: forwardLoop(4, x, y, count, alpha, beta); break;
    case 5: forwardLoop(5, x, y, count, alpha, beta); break;
    case 6: forwardLoop(6, x, y, count, alpha, beta); break;
    case 7: forwardLoop(7, x, y, count, alpha, beta); break;
    default: forwardLoop(8, x, y, count, alpha, beta);
  }
}

/** dx = dy f', from the kept input or output; dx may be dy. */
export function smoothBackward(
  fn: i32, dy: usize, kept: usize, dx: usize, count: i32, alpha: f32, beta: f32,
): void {
  switch (fn) {
    case 0: backwardLoop(0, dy, kept, dx, count, alpha, beta); break;
    case 1: backwardLoop(1, dy, kept, dx, count, alpha, beta); break;
    case 2: backwardLoop(2, dy, kept, dx, count, alpha, beta); break;
    case 3: backwardLoop(3, dy, kept, dx, count, alpha, beta); break;
    case 4: backwardLoop(4, dy, kept, dx, count, alpha, beta); break;
    case 5: backwardLoop(5, dy, kept, dx, count, alpha, beta); break;
    case 6: backwardLoop(6, dy, kept, dx, count, alpha, beta); break;
    case 7: backwardLoop(7, dy, kept, dx, count, alpha, beta); break;
    default: backwardLoop(8, dy, kept, dx, count, alpha, beta);
  }
}

/** Codes of four values: how many borders each has reached. */
// @ts-ignore: decorator
@inline
function codesOf(x: v128, borders: usize, bits: i32): v128 {
  let codes = i32x4.splat(0);
  const end = borders + (((<usize>1 << bits) - 1) << 2);
  // A comparison that holds is -1 in every bit.
  for (let border = borders; border < end; border += 4) {
    codes = i32x4.sub(codes, f32x4.ge(x, v128.load32_splat(border)));
  }
  return codes;
}

// @ts-ignore: decorator
@inline
function packed(codes: v128, bits: i32): i32 {
  return i32x4.extract_lane(codes, 0) | (i32x4.extract_lane(codes, 1) << bits)
    | (i32x4.extract_lane(codes, 2) << (2 * bits)) | (i32x4.extract_lane(codes, 3) << (3 * bits));
}

/** Packs the codes of x `[rows, C]`; `borders` points to 2^bits - 1 rising floats. */
export function encodeSteps(x: usize, rows: i32, channels: i32, borders: usize, bits: i32, code: usize): void {
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < channels; c += 8) {
      const left = channels - c;
      const first = left >= 4 ? v128.load(x) : loadRest(x, left);
      const second = left >= 8 ? v128.load(x, 16) : loadRest(x + 16, left - 4);
      let group = <u32>packed(codesOf(first, borders, bits), bits);
      group |= <u32>packed(codesOf(second, borders, bits), bits) << (4 * bits);
      for (let byte = 0; byte < bits; byte++) store<u8>(code++, <u8>(group >> (8 * byte)));
      x += <usize>min(left, 8) << 2;
    }
  }
}

/** dx = dy levels[code], dy and dx `[rows, C]`; dx may be dy. */
export function decodeSteps(
  dy: usize, dx: usize, rows: i32, channels: i32, levels: usize, bits: i32, code: usize,
): void {
  const mask: u32 = (1 << bits) - 1;
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < channels; c += 8) {
      let group: u32 = 0;
      for (let byte = 0; byte < bits; byte++) group |= <u32>load<u8>(code++) << (8 * byte);
      const count = min(channels - c, 8);
      for (let i = 0; i < count; i++) {
        store<f32>(dx, load<f32>(dy) * load<f32>(levels + (<usize>(group & mask) << 2)));
        group >>= bits;
        dy += 4;
        dx += 4;
      }
    }
  }
}
