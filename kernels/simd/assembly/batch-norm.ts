/** @file Sums over the batch for norms with batch statistics; the elementwise rest is affine.ts. */

// @ts-ignore: decorator
@inline
function addTo(sum: usize, value: v128): void {
  v128.store(sum, f32x4.add(v128.load(sum), value));
}

/**
 * sums += column sums of (x - mean), squares += column sums of (x - mean)^2; x `[rows, C]`, mean `[C]`.
 *
 * Rows are summed in runs of 64 first, so that the error does not grow with their number. `scratch` holds 2 C floats.
 * Of the channels, firstChannel .. lastChannel (exclusive) are summed, with the same bits in whatever ranges; the first
 * is a multiple of 8.
 */
export function columnMoments(
  x: usize, rows: i32, channels: i32, mean: usize, sums: usize, squares: usize, scratch: usize,
  firstChannel: i32, lastChannel: i32,
): void {
  const bytes: usize = <usize>channels << 2;
  const first: usize = <usize>firstChannel << 2;
  const end: usize = <usize>lastChannel << 2;
  const vectorEnd = end & ~15;
  for (let row = 0; row < rows; row += 64) {
    const endRow = min(rows, row + 64);
    memory.fill(scratch + first, 0, end - first);
    memory.fill(scratch + bytes + first, 0, end - first);
    for (let r = row; r < endRow; r++, x += bytes) {
      let c = first;
      for (; c < vectorEnd; c += 16) {
        const d = f32x4.sub(v128.load(x + c), v128.load(mean + c));
        addTo(scratch + c, d);
        addTo(scratch + bytes + c, f32x4.mul(d, d));
      }
      for (; c < end; c += 4) {
        const d = load<f32>(x + c) - load<f32>(mean + c);
        store<f32>(scratch + c, load<f32>(scratch + c) + d);
        store<f32>(scratch + bytes + c, load<f32>(scratch + bytes + c) + d * d);
      }
    }
    for (let c = first; c < end; c += 4) {
      store<f32>(sums + c, load<f32>(sums + c) + load<f32>(scratch + c));
      store<f32>(squares + c, load<f32>(squares + c) + load<f32>(scratch + bytes + c));
    }
  }
}

/**
 * First sums of the backward pass: dshift += column sums of dy, dxhat += column sums of dy (x - mean) inverse.
 * x, dy `[rows, C]`; the others `[C]`. firstChannel, lastChannel: as in {@link columnMoments}.
 */
export function batchNormSums(
  dy: usize, x: usize, rows: i32, channels: i32, mean: usize, inverse: usize, dshift: usize, dxhat: usize,
  firstChannel: i32, lastChannel: i32,
): void {
  const bytes: usize = <usize>channels << 2;
  const first: usize = <usize>firstChannel << 2;
  const end: usize = <usize>lastChannel << 2;
  const vectorEnd = end & ~15;
  for (let r = 0; r < rows; r++, x += bytes, dy += bytes) {
    let c = first;
    for (; c < vectorEnd; c += 16) {
      const g = v128.load(dy + c);
      const xhat = f32x4.mul(f32x4.sub(v128.load(x + c), v128.load(mean + c)), v128.load(inverse + c));
      addTo(dshift + c, g);
      addTo(dxhat + c, f32x4.mul(g, xhat));
    }
    for (; c < end; c += 4) {
      const g = load<f32>(dy + c);
      const xhat = (load<f32>(x + c) - load<f32>(mean + c)) * load<f32>(inverse + c);
      store<f32>(dshift + c, load<f32>(dshift + c) + g);
      store<f32>(dxhat + c, load<f32>(dxhat + c) + g * xhat);
    }
  }
}

/**
 * dx = a dy + b (x - mean) + offset per channel; x, dx, dy `[rows, C]`, the others `[C]`; dx may be dy.
 */
export function batchNormInput(
  dy: usize, x: usize, dx: usize, rows: i32, channels: i32, mean: usize, a: usize, b: usize, offset: usize,
): void {
  const bytes: usize = <usize>channels << 2;
  const vectorBytes = bytes & ~15;
  for (let r = 0; r < rows; r++, x += bytes, dy += bytes, dx += bytes) {
    let c: usize = 0;
    for (; c < vectorBytes; c += 16) {
      const left = f32x4.mul(v128.load(dy + c), v128.load(a + c));
      const centred = f32x4.sub(v128.load(x + c), v128.load(mean + c));
      const right = f32x4.add(f32x4.mul(centred, v128.load(b + c)), v128.load(offset + c));
      v128.store(dx + c, f32x4.add(left, right));
    }
    for (; c < bytes; c += 4) {
      const right = (load<f32>(x + c) - load<f32>(mean + c)) * load<f32>(b + c) + load<f32>(offset + c);
      store<f32>(dx + c, load<f32>(dy + c) * load<f32>(a + c) + right);
    }
  }
}
