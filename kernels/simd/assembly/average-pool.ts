/**
 * @file Average pool. Channels are the lanes.
 *
 * x `[N, H, W, C]`, y `[N, OH, OW, C]`; every window has a tap inside the map. The backward pass scatters, as that of the
 * maximum pool does.
 */
import { endTap, firstTap, locate } from './window-taps';

/** Taps inside -before .. size + after, for a window that begins at `base`. */
// @ts-ignore: decorator
@inline
function countTaps(base: i32, kernel: i32, dilation: i32, before: i32, end: i32): i32 {
  locate(base + before, kernel, dilation, before + end);
  return endTap - firstTap;
}

/** target[0 .. bytes) = factor * the sum of the taps of a window. */
// @ts-ignore: decorator
@inline
function mean(
  source: usize, rowStep: usize, columnStep: usize, rows: i32, columns: i32, factor: f32, target: usize, bytes: usize,
): void {
  const next = rowStep - <usize>columns * columnStep;
  const factors = f32x4.splat(factor);
  let c: usize = 0;
  for (; c + 32 <= bytes; c += 32) {
    let sum0 = f32x4.splat(0);
    let sum1 = sum0;
    let s = source + c;
    for (let i = rows; i > 0; i--) {
      for (let j = columns; j > 0; j--) {
        sum0 = f32x4.add(sum0, v128.load(s));
        sum1 = f32x4.add(sum1, v128.load(s, 16));
        s += columnStep;
      }
      s += next;
    }
    v128.store(target + c, f32x4.mul(sum0, factors));
    v128.store(target + c, f32x4.mul(sum1, factors), 16);
  }
  for (; c < bytes; c += 4) {
    let sum: f32 = 0;
    let s = source + c;
    for (let i = rows; i > 0; i--) {
      for (let j = columns; j > 0; j--) {
        sum += load<f32>(s);
        s += columnStep;
      }
      s += next;
    }
    store<f32>(target + c, sum * factor);
  }
}

/** The taps of a window += factor * dy[0 .. bytes). */
// @ts-ignore: decorator
@inline
function spread(
  dy: usize, factor: f32, target: usize, rowStep: usize, columnStep: usize, rows: i32, columns: i32, bytes: usize,
): void {
  const factors = f32x4.splat(factor);
  for (let i = rows; i > 0; i--) {
    let to = target;
    for (let j = columns; j > 0; j--) {
      let c: usize = 0;
      for (; c + 16 <= bytes; c += 16) {
        v128.store(to + c, f32x4.add(v128.load(to + c), f32x4.mul(v128.load(dy + c), factors)));
      }
      for (; c < bytes; c += 4) store<f32>(to + c, load<f32>(to + c) + load<f32>(dy + c) * factor);
      to += columnStep;
    }
    target += rowStep;
  }
}

/** Walks the windows of an average pool; BACKWARD (a constant) spreads `y`, the gradient, else `y` is written. */
// @ts-ignore: decorator
@inline
function averagePool(
  BACKWARD: bool, x: usize, y: usize, batch: i32, height: i32, width: i32, channels: i32, kernelHeight: i32,
  kernelWidth: i32, strideH: i32, strideW: i32, dilationH: i32, dilationW: i32, padTop: i32, padLeft: i32,
  outHeight: i32, outWidth: i32, countTop: i32, countLeft: i32, countBottom: i32, countRight: i32,
): void {
  const pixel: usize = <usize>channels << 2;
  const row: usize = <usize>width * pixel;
  const rowStep: usize = <usize>dilationH * row;
  const columnStep: usize = <usize>dilationW * pixel;
  for (let n = 0; n < batch; n++) {
    for (let oh = 0; oh < outHeight; oh++) {
      const ih = oh * strideH - padTop;
      const countedRows = countTaps(ih, kernelHeight, dilationH, countTop, height + countBottom);
      locate(ih, kernelHeight, dilationH, height);
      const top = firstTap;
      const rows = endTap - firstTap;
      for (let ow = 0; ow < outWidth; ow++) {
        const iw = ow * strideW - padLeft;
        const counted = countedRows * countTaps(iw, kernelWidth, dilationW, countLeft, width + countRight);
        locate(iw, kernelWidth, dilationW, width);
        const factor: f32 = <f32>1 / <f32>counted;
        const first = x + <usize>((ih + top * dilationH) * width + iw + firstTap * dilationW) * pixel;
        const columns = endTap - firstTap;
        if (BACKWARD) spread(y, factor, first, rowStep, columnStep, rows, columns, pixel);
        else mean(first, rowStep, columnStep, rows, columns, factor, y, pixel);
        y += pixel;
      }
    }
    x += <usize>height * row;
  }
}

/** y = the mean over the taps inside the map and the given widths of padding around it, which count as zeros. */
export function averagePoolForward(
  x: usize, y: usize, batch: i32, height: i32, width: i32, channels: i32, kernelHeight: i32, kernelWidth: i32,
  strideH: i32, strideW: i32, dilationH: i32, dilationW: i32, padTop: i32, padLeft: i32, outHeight: i32, outWidth: i32,
  countTop: i32, countLeft: i32, countBottom: i32, countRight: i32,
): void {
  averagePool(
    false, x, y, batch, height, width, channels, kernelHeight, kernelWidth, strideH, strideW, dilationH, dilationW,
    padTop, padLeft, outHeight, outWidth, countTop, countLeft, countBottom, countRight,
  );
}

/** dx = gradient of {@link averagePoolForward}; dx is overwritten. */
export function averagePoolBackward(
  dy: usize, dx: usize, batch: i32, height: i32, width: i32, channels: i32, kernelHeight: i32, kernelWidth: i32,
  strideH: i32, strideW: i32, dilationH: i32, dilationW: i32, padTop: i32, padLeft: i32, outHeight: i32, outWidth: i32,
  countTop: i32, countLeft: i32, countBottom: i32, countRight: i32,
): void {
  memory.fill(dx, 0, <usize>(batch * height * width * channels) << 2);
  averagePool(
    true, dx, dy, batch, height, width, channels, kernelHeight, kernelWidth, strideH, strideW, dilationH, dilationW,
    padTop, padLeft, outHeight, outWidth, countTop, countLeft, countBottom, countRight,
  );
}
