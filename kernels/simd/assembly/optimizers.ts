/**
 * @file Optimizer steps with the meaning of PyTorch's. Settings come as float64, so that 1 - beta2 keeps its digits.
 */

// @ts-ignore: decorator
@inline
function fused(a: v128, b: v128, c: v128): v128 {
  return f32x4.add(f32x4.mul(a, b), c);
}

/**
 * d = g + weightDecay * w; buffer = momentum * buffer + d; w -= learningRate * (buffer, or d + momentum * buffer with
 * nesterov).
 *
 * momentumBuffer 0: w -= learningRate * d. A buffer of zeros gives PyTorch's first step, buffer = d. clear 1: g is
 * zeroed once it has been used, which is cheaper than a pass of its own.
 */
export function sgd(
  w: usize, g: usize, momentumBuffer: usize, count: i32, learningRate: f64, momentum: f64, weightDecay: f64,
  nesterov: i32, clear: i32,
): void {
  const bytes: usize = <usize>count << 2;
  const rate = -<f32>learningRate;
  const keep = <f32>momentum;
  const decay = <f32>weightDecay;
  const rates = f32x4.splat(rate);
  const keeps = f32x4.splat(keep);
  const decays = f32x4.splat(decay);
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) {
    const weight = v128.load(w + i);
    let d = fused(decays, weight, v128.load(g + i));
    if (momentumBuffer) {
      const buffer = fused(keeps, v128.load(momentumBuffer + i), d);
      v128.store(momentumBuffer + i, buffer);
      d = nesterov ? fused(keeps, buffer, d) : buffer;
    }
    if (clear) v128.store(g + i, f32x4.splat(0));
    v128.store(w + i, fused(rates, d, weight));
  }
  for (; i < bytes; i += 4) {
    const weight = load<f32>(w + i);
    let d = decay * weight + load<f32>(g + i);
    if (momentumBuffer) {
      const buffer = keep * load<f32>(momentumBuffer + i) + d;
      store<f32>(momentumBuffer + i, buffer);
      d = nesterov ? keep * buffer + d : buffer;
    }
    if (clear) store<f32>(g + i, 0);
    store<f32>(w + i, rate * d + weight);
  }
}

/**
 * m += (1 - beta1) * (g - m); v = beta2 * v + (1 - beta2) * g^2; w -= learningRate / correction1 * m / (sqrt(v) /
 * correction2 + epsilon), with correction1 = 1 - beta1^t and correction2 = sqrt(1 - beta2^t).
 *
 * decoupled 0 (Adam): weightDecay * w is added to g first; else (AdamW): w is scaled by 1 - learningRate * weightDecay.
 * clear: as in {@link sgd}.
 */
export function adam(
  w: usize, g: usize, m: usize, v: usize, count: i32, learningRate: f64, beta1: f64, beta2: f64, epsilon: f64,
  weightDecay: f64, correction1: f64, correction2: f64, decoupled: i32, clear: i32,
): void {
  const bytes: usize = <usize>count << 2;
  const shrink: f32 = decoupled ? <f32>(1 - learningRate * weightDecay) : 1;
  const decay: f32 = decoupled ? 0 : <f32>weightDecay;
  const take1 = <f32>(1 - beta1);
  const keep2 = <f32>beta2;
  const take2 = <f32>(1 - beta2);
  const step = -<f32>(learningRate / correction1);
  const root = <f32>correction2;
  const floor = <f32>epsilon;
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) {
    const old = v128.load(w + i);
    const gradient = fused(f32x4.splat(decay), old, v128.load(g + i));
    const oldMean = v128.load(m + i);
    const mean = fused(f32x4.splat(take1), f32x4.sub(gradient, oldMean), oldMean);
    const kept = f32x4.mul(f32x4.splat(keep2), v128.load(v + i));
    const square = fused(f32x4.mul(f32x4.splat(take2), gradient), gradient, kept);
    v128.store(m + i, mean);
    v128.store(v + i, square);
    const denominator = f32x4.add(f32x4.div(f32x4.sqrt(square), f32x4.splat(root)), f32x4.splat(floor));
    const move = f32x4.mul(f32x4.splat(step), f32x4.div(mean, denominator));
    if (clear) v128.store(g + i, f32x4.splat(0));
    v128.store(w + i, fused(f32x4.splat(shrink), old, move));
  }
  for (; i < bytes; i += 4) {
    const old = load<f32>(w + i);
    const gradient = decay * old + load<f32>(g + i);
    const mean = take1 * (gradient - load<f32>(m + i)) + load<f32>(m + i);
    const square = take2 * gradient * gradient + keep2 * load<f32>(v + i);
    store<f32>(m + i, mean);
    store<f32>(v + i, square);
    const move = step * (mean / (sqrt(square) / root + floor));
    if (clear) store<f32>(g + i, 0);
    store<f32>(w + i, shrink * old + move);
  }
}
