/**
 * @file What takes channels apart and puts them together, and products, element by element or by a gate.
 */
import { channelsFirst } from './layout';

/** Of each row, copies bytes (a multiple of 4); source and target are the first bytes, the steps those from row to row. */
export function copyColumns(
  source: usize, sourceStep: usize, target: usize, targetStep: usize, rows: i32, bytes: usize,
): void {
  for (let row = 0; row < rows; row++) {
    let i: usize = 0;
    for (; i + 16 <= bytes; i += 16) v128.store(target + i, v128.load(source + i));
    for (; i < bytes; i += 4) store<u32>(target + i, load<u32>(source + i));
    source += sourceStep;
    target += targetStep;
  }
}

/** y[j * groups + k] = x[k * channels / groups + j] in each row; its inverse has channels / groups groups. */
export function shuffleChannels(x: usize, y: usize, rows: i32, channels: i32, groups: i32): void {
  const half: usize = <usize>channels << 1;
  if (groups == 2) {
    for (let row = 0; row < rows; row++) {
      let i: usize = 0;
      for (; i + 16 <= half; i += 16) {
        const a = v128.load(x + i);
        const b = v128.load(x + half + i);
        v128.store(y + 2 * i, v128.shuffle<i32>(a, b, 0, 4, 1, 5));
        v128.store(y + 2 * i, v128.shuffle<i32>(a, b, 2, 6, 3, 7), 16);
      }
      for (; i < half; i += 4) {
        store<u32>(y + 2 * i, load<u32>(x + i));
        store<u32>(y + 2 * i, load<u32>(x + half + i), 4);
      }
      x += 2 * half;
      y += 2 * half;
    }
  } else if (groups * 2 == channels) {
    for (let row = 0; row < rows; row++) {
      let i: usize = 0;
      for (; i + 16 <= half; i += 16) {
        const a = v128.load(x + 2 * i);
        const b = v128.load(x + 2 * i, 16);
        v128.store(y + i, v128.shuffle<i32>(a, b, 0, 2, 4, 6));
        v128.store(y + half + i, v128.shuffle<i32>(a, b, 1, 3, 5, 7));
      }
      for (; i < half; i += 4) {
        store<u32>(y + i, load<u32>(x + 2 * i));
        store<u32>(y + half + i, load<u32>(x + 2 * i, 4));
      }
      x += 2 * half;
      y += 2 * half;
    }
  } else channelsFirst(x, y, rows, groups, channels / groups);
}

/** y = a * b over count floats; y may be a or b. */
export function multiply(a: usize, b: usize, y: usize, count: i32): void {
  const bytes: usize = <usize>count << 2;
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) v128.store(y + i, f32x4.mul(v128.load(a + i), v128.load(b + i)));
  for (; i < bytes; i += 4) store<f32>(y + i, load<f32>(a + i) * load<f32>(b + i));
}

/** y `[N, P, C]` = a `[N, P, C]` * gate `[N, C]`; y may be a. */
export function multiplyGate(a: usize, gate: usize, y: usize, batch: i32, pixels: i32, channels: i32): void {
  const rowBytes: usize = <usize>channels << 2;
  for (let n = 0; n < batch; n++) {
    for (let p = 0; p < pixels; p++) {
      multiply(a, gate, y, channels);
      a += rowBytes;
      y += rowBytes;
    }
    gate += rowBytes;
  }
}

/** Pixels that are added up in a register before the sum is added to memory: sums of sums lose fewer digits. */
const CHUNK: i32 = 64;

/** target[0..3] += sum. */
// @ts-ignore: decorator
@inline
function accumulate(target: usize, sum: v128): void {
  v128.store(target, f32x4.add(v128.load(target), sum));
}

/** dgate `[N, C]` = the sum over the pixels of dy * a, both `[N, P, C]`; dgate is overwritten. */
export function gateGradient(dy: usize, a: usize, dgate: usize, batch: i32, pixels: i32, channels: i32): void {
  const rowBytes: usize = <usize>channels << 2;
  memory.fill(dgate, 0, <usize>batch * rowBytes);
  for (let n = 0; n < batch; n++) {
    for (let p = 0; p < pixels; p += CHUNK) {
      const some = min(CHUNK, pixels - p);
      let c: usize = 0;
      for (; c + 64 <= rowBytes; c += 64) {
        let sum0 = f32x4.splat(0);
        let sum1 = sum0;
        let sum2 = sum0;
        let sum3 = sum0;
        let g = dy + c;
        let v = a + c;
        for (let left = some; left > 0; left--) {
          sum0 = f32x4.add(sum0, f32x4.mul(v128.load(g), v128.load(v)));
          sum1 = f32x4.add(sum1, f32x4.mul(v128.load(g, 16), v128.load(v, 16)));
          sum2 = f32x4.add(sum2, f32x4.mul(v128.load(g, 32), v128.load(v, 32)));
          sum3 = f32x4.add(sum3, f32x4.mul(v128.load(g, 48), v128.load(v, 48)));
          g += rowBytes;
          v += rowBytes;
        }
        accumulate(dgate + c, sum0);
        accumulate(dgate + c + 16, sum1);
        accumulate(dgate + c + 32, sum2);
        accumulate(dgate + c + 48, sum3);
      }
      for (; c + 16 <= rowBytes; c += 16) {
        let sum = f32x4.splat(0);
        let g = dy + c;
        let v = a + c;
        for (let left = some; left > 0; left--) {
          sum = f32x4.add(sum, f32x4.mul(v128.load(g), v128.load(v)));
          g += rowBytes;
          v += rowBytes;
        }
        accumulate(dgate + c, sum);
      }
      for (; c < rowBytes; c += 4) {
        let sum: f32 = 0;
        let g = dy + c;
        let v = a + c;
        for (let left = some; left > 0; left--) {
          sum += load<f32>(g) * load<f32>(v);
          g += rowBytes;
          v += rowBytes;
        }
        store<f32>(dgate + c, load<f32>(dgate + c) + sum);
      }
      dy += <usize>some * rowBytes;
      a += <usize>some * rowBytes;
    }
    dgate += rowBytes;
  }
}
