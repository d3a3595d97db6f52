/**
 * @file Gradient of a grouped convolution's weight: dw[o, t, i] += the sum over the pixels of dy[p, o] * x[p * s + t, i].
 *
 * x `[N, H, W, I]`, dy `[N, OH, OW, O]`, dw `[O, KH, KW, I / groups]`. A block of outputs by inputs stays in registers
 * while the pixels of a strip are walked; inputs are the lanes, or outputs where a group's inputs do not fill them.
 */

/** Target pixels at a time; few where a group is less than a cache line, so that the line is there for the next group. */
const STRIP_PIXELS: i32 = 64;
const NARROW_PIXELS: i32 = 16;

// The strip of one tap: bytes from row to row behind the last column, and from column to column.
let xNext: usize = 0;
let xStep: usize = 0;
let dyNext: usize = 0;
let dyStep: usize = 0;
let rows: i32 = 0;
let columns: i32 = 0;

// @ts-ignore: decorator
@inline
function accumulate(target: usize, sum: v128): void {
  v128.store(target, f32x4.add(v128.load(target), sum));
}

/** Four outputs by eight inputs (four unless WIDE, a constant); step is the bytes of dw from output to output. */
// @ts-ignore: decorator
@inline
function fourOutputs(WIDE: bool, x: usize, dy: usize, dw: usize, step: usize): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  for (let row = rows; row > 0; row--) {
    for (let column = columns; column > 0; column--) {
      const x0 = v128.load(x);
      const x1 = WIDE ? v128.load(x, 16) : x0;
      const g0 = v128.load32_splat(dy);
      a0 = f32x4.add(a0, f32x4.mul(x0, g0));
      if (WIDE) b0 = f32x4.add(b0, f32x4.mul(x1, g0));
      const g1 = v128.load32_splat(dy, 4);
      a1 = f32x4.add(a1, f32x4.mul(x0, g1));
      if (WIDE) b1 = f32x4.add(b1, f32x4.mul(x1, g1));
      const g2 = v128.load32_splat(dy, 8);
      a2 = f32x4.add(a2, f32x4.mul(x0, g2));
      if (WIDE) b2 = f32x4.add(b2, f32x4.mul(x1, g2));
      const g3 = v128.load32_splat(dy, 12);
      a3 = f32x4.add(a3, f32x4.mul(x0, g3));
      if (WIDE) b3 = f32x4.add(b3, f32x4.mul(x1, g3));
      x += xStep;
      dy += dyStep;
    }
    x += xNext;
    dy += dyNext;
  }
  accumulate(dw, a0);
  accumulate(dw + step, a1);
  accumulate(dw + 2 * step, a2);
  accumulate(dw + 3 * step, a3);
  if (!WIDE) return;
  accumulate(dw + 16, b0);
  accumulate(dw + step + 16, b1);
  accumulate(dw + 2 * step + 16, b2);
  accumulate(dw + 3 * step + 16, b3);
}

/** The sum of dy * x, four lanes of the one by one number of the other; LANES says whose lanes they are (0: neither). */
// @ts-ignore: decorator
@inline
function line(LANES: i32, x: usize, dy: usize): v128 {
  let sum = f32x4.splat(0);
  for (let row = rows; row > 0; row--) {
    for (let column = columns; column > 0; column--) {
      const value = LANES == 1 ? v128.load(x) : v128.load32_splat(x);
      sum = f32x4.add(sum, f32x4.mul(value, LANES == 2 ? v128.load(dy) : v128.load32_splat(dy)));
      x += xStep;
      dy += dyStep;
    }
    x += xNext;
    dy += dyNext;
  }
  return sum;
}

// @ts-ignore: decorator
@inline
function addLane(target: usize, value: f32): void {
  store<f32>(target, load<f32>(target) + value);
}

/** dw += the gradient of one group and tap over the strip; xBytes and dyBytes are those of a pixel's channels in it. */
function sumTap(x: usize, xBytes: usize, dy: usize, dyBytes: usize, dw: usize, step: usize): void {
  let o: usize = 0;
  for (; o + 16 <= dyBytes; o += 16) {
    const target = dw + (o >> 2) * step;
    let i: usize = 0;
    for (; i + 32 <= xBytes; i += 32) fourOutputs(true, x + i, dy + o, target + i, step);
    for (; i + 16 <= xBytes; i += 16) fourOutputs(false, x + i, dy + o, target + i, step);
    for (; i < xBytes; i += 4) {
      const sum = line(2, x + i, dy + o);
      addLane(target + i, f32x4.extract_lane(sum, 0));
      addLane(target + step + i, f32x4.extract_lane(sum, 1));
      addLane(target + 2 * step + i, f32x4.extract_lane(sum, 2));
      addLane(target + 3 * step + i, f32x4.extract_lane(sum, 3));
    }
  }
  for (; o < dyBytes; o += 4) {
    const target = dw + (o >> 2) * step;
    let i: usize = 0;
    for (; i + 16 <= xBytes; i += 16) accumulate(target + i, line(1, x + i, dy + o));
    for (; i < xBytes; i += 4) addLane(target + i, f32x4.extract_lane(line(0, x + i, dy + o), 0));
  }
}

/** First target position whose source, at position * stride + offset, is not negative. */
// @ts-ignore: decorator
@inline
function firstInside(offset: i32, stride: i32): i32 {
  return offset < 0 ? (stride - 1 - offset) / stride : 0;
}

/** One past the last target position, `end` at most, whose source is below `size`. */
// @ts-ignore: decorator
@inline
function endInside(offset: i32, stride: i32, size: i32, end: i32): i32 {
  return offset >= size ? 0 : min(end, (size - 1 - offset) / stride + 1);
}

/** dw += the gradient of {@link groupedForward} for its weight. */
export function groupedWeightGradient(
  x: usize, dy: usize, dw: usize, batch: i32, height: i32, width: i32, channels: i32, kernelHeight: i32,
  kernelWidth: i32, strideH: i32, strideW: i32, dilationH: i32, dilationW: i32, padTop: i32, padLeft: i32,
  outHeight: i32, outWidth: i32, outChannels: i32, groups: i32,
): void {
  const pixel: usize = <usize>channels << 2;
  const outPixel: usize = <usize>outChannels << 2;
  const xBytes = pixel / groups;
  const dyBytes = outPixel / groups;
  const row: usize = <usize>width * pixel;
  const outRow: usize = <usize>outWidth * outPixel;
  const step: usize = <usize>(kernelHeight * kernelWidth) * xBytes;
  const pixels = xBytes < 64 ? NARROW_PIXELS : STRIP_PIXELS;
  const across = min(outWidth, pixels);
  const down = pixels / across;
  xStep = <usize>strideW * pixel;
  dyStep = outPixel;
  for (let n = 0; n < batch; n++) {
    for (let top = 0; top < outHeight; top += down) {
      for (let left = 0; left < outWidth; left += across) {
        for (let group: usize = 0; group < <usize>groups; group++) {
          const to = dw + group * (dyBytes >> 2) * step;
          for (let tap = 0; tap < kernelHeight * kernelWidth; tap++) {
            const below = tap / kernelWidth * dilationH - padTop;
            const right = tap % kernelWidth * dilationW - padLeft;
            const oh = max(top, firstInside(below, strideH));
            const ow = max(left, firstInside(right, strideW));
            rows = endInside(below, strideH, height, min(outHeight, top + down)) - oh;
            columns = endInside(right, strideW, width, min(outWidth, left + across)) - ow;
            if (rows <= 0 || columns <= 0) continue;
            xNext = <usize>strideH * row - <usize>columns * xStep;
            dyNext = outRow - <usize>columns * dyStep;
            const source = x + <usize>((oh * strideH + below) * width + ow * strideW + right) * pixel;
            const cotangent = dy + <usize>oh * outRow + <usize>ow * outPixel;
            sumTap(
              source + group * xBytes, xBytes, cotangent + group * dyBytes, dyBytes, to + <usize>tap * xBytes, step,
            );
          }
        }
      }
    }
    x += <usize>height * row;
    dy += <usize>outHeight * outRow;
  }
}
