/**
 * @file Layer normalization: mean and deviation are those of one row, a pixel's channels, which stays in the first-level
 * cache while it is walked a few times.
 */

// Results of moments; WebAssembly functions as compiled here return one value.
let rowMean: f32 = 0;
let rowInverse: f32 = 0;

// @ts-ignore: decorator
@inline
function sumLanes(value: v128): f32 {
  return (
    f32x4.extract_lane(value, 0) + f32x4.extract_lane(value, 1) +
    (f32x4.extract_lane(value, 2) + f32x4.extract_lane(value, 3))
  );
}

/** Mean, then the deviation around it: in one pass the variance would cancel where the mean is large. */
function moments(x: usize, bytes: usize, epsilon: f32): void {
  const count: f32 = <f32>(bytes >> 2);
  let sum0 = f32x4.splat(0);
  let sum1 = sum0;
  let c: usize = 0;
  for (; c + 32 <= bytes; c += 32) {
    sum0 = f32x4.add(sum0, v128.load(x + c));
    sum1 = f32x4.add(sum1, v128.load(x + c, 16));
  }
  let sum = sumLanes(f32x4.add(sum0, sum1));
  for (; c < bytes; c += 4) sum += load<f32>(x + c);
  const mean = sum / count;
  const means = f32x4.splat(mean);
  sum0 = f32x4.splat(0);
  sum1 = sum0;
  for (c = 0; c + 32 <= bytes; c += 32) {
    const first = f32x4.sub(v128.load(x + c), means);
    const second = f32x4.sub(v128.load(x + c, 16), means);
    sum0 = f32x4.add(sum0, f32x4.mul(first, first));
    sum1 = f32x4.add(sum1, f32x4.mul(second, second));
  }
  sum = sumLanes(f32x4.add(sum0, sum1));
  for (; c < bytes; c += 4) {
    const centred = load<f32>(x + c) - mean;
    sum += centred * centred;
  }
  rowMean = mean;
  rowInverse = <f32>1 / Mathf.sqrt(sum / count + epsilon);
}

/** y = scale * (x - mean) / sqrt(variance + epsilon) + shift in each row; scale 0: ones; shift 0: zeros; y may be x. */
export function layerNormForward(
  x: usize, y: usize, rows: i32, channels: i32, scale: usize, shift: usize, epsilon: f32,
): void {
  const bytes: usize = <usize>channels << 2;
  for (let row = 0; row < rows; row++) {
    moments(x, bytes, epsilon);
    const mean = f32x4.splat(rowMean);
    const inverse = f32x4.splat(rowInverse);
    let c: usize = 0;
    for (; c + 16 <= bytes; c += 16) {
      let value = f32x4.mul(f32x4.sub(v128.load(x + c), mean), inverse);
      if (scale) value = f32x4.mul(value, v128.load(scale + c));
      if (shift) value = f32x4.add(value, v128.load(shift + c));
      v128.store(y + c, value);
    }
    for (; c < bytes; c += 4) {
      let value = (load<f32>(x + c) - rowMean) * rowInverse;
      if (scale) value *= load<f32>(scale + c);
      if (shift) value += load<f32>(shift + c);
      store<f32>(y + c, value);
    }
    x += bytes;
    y += bytes;
  }
}

/**
 * dx = inverse * (g - mean(g) - h * mean(g * h)) with g = scale * dy and h the normalized x; dx is overwritten and may be
 * dy. PARAMETERS (a constant): dscales += dy * h, dshifts += dy, both `[C]`.
 */
// @ts-ignore: decorator
@inline
function rowBackward(
  PARAMETERS: bool, dy: usize, x: usize, dx: usize, bytes: usize, scale: usize, dscales: usize, dshifts: usize,
): void {
  const mean = f32x4.splat(rowMean);
  const inverse = f32x4.splat(rowInverse);
  let sums = f32x4.splat(0);
  let products = f32x4.splat(0);
  let c: usize = 0;
  for (; c + 16 <= bytes; c += 16) {
    let g = v128.load(dy + c);
    const h = f32x4.mul(f32x4.sub(v128.load(x + c), mean), inverse);
    if (PARAMETERS) {
      v128.store(dshifts + c, f32x4.add(v128.load(dshifts + c), g));
      v128.store(dscales + c, f32x4.add(v128.load(dscales + c), f32x4.mul(g, h)));
    }
    if (scale) g = f32x4.mul(g, v128.load(scale + c));
    sums = f32x4.add(sums, g);
    products = f32x4.add(products, f32x4.mul(g, h));
  }
  let sum = sumLanes(sums);
  let product = sumLanes(products);
  for (; c < bytes; c += 4) {
    let g = load<f32>(dy + c);
    const h = (load<f32>(x + c) - rowMean) * rowInverse;
    if (PARAMETERS) {
      store<f32>(dshifts + c, load<f32>(dshifts + c) + g);
      store<f32>(dscales + c, load<f32>(dscales + c) + g * h);
    }
    if (scale) g *= load<f32>(scale + c);
    sum += g;
    product += g * h;
  }
  if (!dx) return;
  const count: f32 = <f32>(bytes >> 2);
  sum /= count;
  product /= count;
  const meanG = f32x4.splat(sum);
  const meanGH = f32x4.splat(product);
  for (c = 0; c + 16 <= bytes; c += 16) {
    let g = v128.load(dy + c);
    const h = f32x4.mul(f32x4.sub(v128.load(x + c), mean), inverse);
    if (scale) g = f32x4.mul(g, v128.load(scale + c));
    v128.store(dx + c, f32x4.mul(inverse, f32x4.sub(f32x4.sub(g, meanG), f32x4.mul(h, meanGH))));
  }
  for (; c < bytes; c += 4) {
    let g = load<f32>(dy + c);
    const h = (load<f32>(x + c) - rowMean) * rowInverse;
    if (scale) g *= load<f32>(scale + c);
    store<f32>(dx + c, rowInverse * (g - sum - h * product));
  }
}

/** Rows whose gradients of the parameters are added up in float32 before they go into float64 totals. */
const CHUNK: i32 = 64;

/** totals (float64) += partial (float32), which is cleared. */
function flush(partial: usize, totals: usize, count: i32): void {
  for (let c = 0; c < count; c++) {
    store<f64>(totals, load<f64>(totals) + <f64>load<f32>(partial));
    store<f32>(partial, 0);
    partial += 4;
    totals += 8;
  }
}

/** target += totals. */
function addTotal(target: usize, totals: usize, channels: i32): void {
  for (let c = 0; c < channels; c++) {
    store<f32>(target, <f32>(<f64>load<f32>(target) + load<f64>(totals)));
    target += 4;
    totals += 8;
  }
}

/**
 * Gradients of {@link layerNormForward}: dx (overwritten, may be dy), dscale and dshift (added to); each may be 0.
 *
 * workspace: 24 bytes a channel, if either of the latter two is wanted, else 0.
 */
export function layerNormBackward(
  dy: usize, x: usize, dx: usize, rows: i32, channels: i32, scale: usize, dscale: usize, dshift: usize, epsilon: f32,
  workspace: usize,
): void {
  const bytes: usize = <usize>channels << 2;
  const totals = workspace + 2 * bytes;
  const parameters = dscale != 0 || dshift != 0;
  if (parameters) memory.fill(workspace, 0, 6 * bytes);
  for (let row = 0; row < rows; row++) {
    moments(x, bytes, epsilon);
    if (parameters) {
      rowBackward(true, dy, x, dx, bytes, scale, workspace, workspace + bytes);
      if (row % CHUNK == CHUNK - 1) flush(workspace, totals, 2 * channels);
    } else rowBackward(false, dy, x, dx, bytes, scale, 0, 0);
    dy += bytes;
    x += bytes;
    if (dx) dx += bytes;
  }
  if (!parameters) return;
  flush(workspace, totals, 2 * channels);
  if (dscale) addTotal(dscale, totals, channels);
  if (dshift) addTotal(dshift, totals + 2 * bytes, channels);
}
