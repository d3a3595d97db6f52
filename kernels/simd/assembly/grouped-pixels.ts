/**
 * @file Four target pixels of one group: the inner loops of grouped.ts.
 *
 * Target channels are the lanes, the group's source channels are summed over. A loaded weight serves all four pixels.
 */

/** Target pixels at a time. */
export const PIXELS: i32 = 4;

// Geometry of the walk that is under way: as parameters of a function called at every fourth pixel they would cost more.
let sourceHeight: i32 = 0;
let sourceWidth: i32 = 0;
/** Bytes of a source pixel, and of the pixel's channels in one group. */
let sourcePixel: usize = 0;
let sourceGroup: usize = 0;
let targetGroup: usize = 0;
let rows: i32 = 0;
let columns: i32 = 0;
let rowTapStep: i32 = 0;
let columnTapStep: i32 = 0;
let rowDivisor: i32 = 1;
let columnDivisor: i32 = 1;
/** Source columns, and bytes of the target, from one of the four pixels to the next. */
let sourceColumnStep: i32 = 0;
let targetColumnStep: usize = 0;
/** Bytes in w from source channel to source channel, from tap to tap. */
let weightSourceStep: usize = 0;
let weightTapStep: usize = 0;
/** A pixel's channels of one group, all zero: what padding reads. */
let zeros: usize = 0;

export function setSource(height: i32, width: i32, pixel: usize, group: usize, zeroPixel: usize): void {
  sourceHeight = height;
  sourceWidth = width;
  sourcePixel = pixel;
  sourceGroup = group;
  zeros = zeroPixel;
  memory.fill(zeroPixel, 0, group);
}

export function setTarget(columnStep: usize, group: usize): void {
  targetColumnStep = columnStep;
  targetGroup = group;
}

/** Tap (i, j) of a target pixel is at source row (firstRow + i * rowStep) / divisorH, if that is whole; columns alike. */
export function setTaps(
  tapRows: i32, tapColumns: i32, rowStep: i32, columnStep: i32, divisorH: i32, divisorW: i32, pixelStep: i32,
  bytesToChannel: usize, bytesToTap: usize,
): void {
  rows = tapRows;
  columns = tapColumns;
  rowTapStep = rowStep;
  columnTapStep = columnStep;
  rowDivisor = divisorH;
  columnDivisor = divisorW;
  sourceColumnStep = pixelStep;
  weightSourceStep = bytesToChannel;
  weightTapStep = bytesToTap;
}

// The source pixels of a tap, found by locate.
let source0: usize = 0;
let source1: usize = 0;
let source2: usize = 0;
let source3: usize = 0;

// @ts-ignore: decorator
@inline
function pixelAt(row: usize, column: i32): usize {
  return column >= 0 && column < sourceWidth ? row + <usize>column * sourcePixel : zeros;
}

/** Sets source0 to source3 for one tap; false if no pixel of the four has it. */
// @ts-ignore: decorator
@inline
function locate(row: usize, position: i32, count: i32): bool {
  // Pixels of one walk agree in the remainder, so a tap is for all or for none.
  if (columnDivisor != 1) {
    if (position % columnDivisor != 0) return false;
    position /= columnDivisor;
  }
  const last = position + (count - 1) * sourceColumnStep;
  if (position >= 0 && last < sourceWidth && count == PIXELS) {
    const step = <usize>sourceColumnStep * sourcePixel;
    source0 = row + <usize>position * sourcePixel;
    source1 = source0 + step;
    source2 = source1 + step;
    source3 = source2 + step;
    return true;
  }
  if (last < 0 || position >= sourceWidth) return false;
  source0 = pixelAt(row, position);
  source1 = count > 1 ? pixelAt(row, position + sourceColumnStep) : zeros;
  source2 = count > 2 ? pixelAt(row, position + 2 * sourceColumnStep) : zeros;
  source3 = count > 3 ? pixelAt(row, position + 3 * sourceColumnStep) : zeros;
  return true;
}

/** Source row of a tap, or -1. */
// @ts-ignore: decorator
@inline
function rowOf(position: i32): i32 {
  if (rowDivisor != 1) {
    if (position % rowDivisor != 0) return -1;
    position /= rowDivisor;
  }
  return position < sourceHeight ? position : -1;
}

/** Channels of up to four target pixels of one group; WIDE (a constant): eight channels, else four. */
// @ts-ignore: decorator
@inline
function lanes(
  WIDE: bool, source: usize, weight: usize, target: usize, firstRow: i32, firstColumn: i32, count: i32,
): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  for (let ki = 0; ki < rows; ki++) {
    const ih = rowOf(firstRow + ki * rowTapStep);
    if (ih < 0) continue;
    const row = source + <usize>(ih * sourceWidth) * sourcePixel;
    for (let kj = 0; kj < columns; kj++) {
      if (!locate(row, firstColumn + kj * columnTapStep, count)) continue;
      let w = weight + <usize>(ki * columns + kj) * weightTapStep;
      const s0 = source0;
      const s1 = source1;
      const s2 = source2;
      const s3 = source3;
      let s: usize = 0;
      // Written out: for a group of four this is all there is, and a loop around each would cost as much again.
      if (!WIDE) for (; s + 16 <= sourceGroup; s += 16) {
        const w0 = v128.load(w);
        a0 = f32x4.add(a0, f32x4.mul(v128.load32_splat(s0 + s), w0));
        a1 = f32x4.add(a1, f32x4.mul(v128.load32_splat(s1 + s), w0));
        a2 = f32x4.add(a2, f32x4.mul(v128.load32_splat(s2 + s), w0));
        a3 = f32x4.add(a3, f32x4.mul(v128.load32_splat(s3 + s), w0));
        w += weightSourceStep;
        const w1 = v128.load(w);
        a0 = f32x4.add(a0, f32x4.mul(v128.load32_splat(s0 + s, 4), w1));
        a1 = f32x4.add(a1, f32x4.mul(v128.load32_splat(s1 + s, 4), w1));
        a2 = f32x4.add(a2, f32x4.mul(v128.load32_splat(s2 + s, 4), w1));
        a3 = f32x4.add(a3, f32x4.mul(v128.load32_splat(s3 + s, 4), w1));
        w += weightSourceStep;
        const w2 = v128.load(w);
        a0 = f32x4.add(a0, f32x4.mul(v128.load32_splat(s0 + s, 8), w2));
        a1 = f32x4.add(a1, f32x4.mul(v128.load32_splat(s1 + s, 8), w2));
        a2 = f32x4.add(a2, f32x4.mul(v128.load32_splat(s2 + s, 8), w2));
        a3 = f32x4.add(a3, f32x4.mul(v128.load32_splat(s3 + s, 8), w2));
        w += weightSourceStep;
        const w3 = v128.load(w);
        a0 = f32x4.add(a0, f32x4.mul(v128.load32_splat(s0 + s, 12), w3));
        a1 = f32x4.add(a1, f32x4.mul(v128.load32_splat(s1 + s, 12), w3));
        a2 = f32x4.add(a2, f32x4.mul(v128.load32_splat(s2 + s, 12), w3));
        a3 = f32x4.add(a3, f32x4.mul(v128.load32_splat(s3 + s, 12), w3));
        w += weightSourceStep;
      }
      for (; s < sourceGroup; s += 4) {
        const v0 = v128.load32_splat(s0 + s);
        const v1 = v128.load32_splat(s1 + s);
        const v2 = v128.load32_splat(s2 + s);
        const v3 = v128.load32_splat(s3 + s);
        const w0 = v128.load(w);
        a0 = f32x4.add(a0, f32x4.mul(v0, w0));
        a1 = f32x4.add(a1, f32x4.mul(v1, w0));
        a2 = f32x4.add(a2, f32x4.mul(v2, w0));
        a3 = f32x4.add(a3, f32x4.mul(v3, w0));
        if (WIDE) {
          const w1 = v128.load(w, 16);
          b0 = f32x4.add(b0, f32x4.mul(v0, w1));
          b1 = f32x4.add(b1, f32x4.mul(v1, w1));
          b2 = f32x4.add(b2, f32x4.mul(v2, w1));
          b3 = f32x4.add(b3, f32x4.mul(v3, w1));
        }
        w += weightSourceStep;
      }
    }
  }
  v128.store(target, a0);
  if (WIDE) v128.store(target, b0, 16);
  if (count > 1) v128.store(target + targetColumnStep, a1);
  if (WIDE && count > 1) v128.store(target + targetColumnStep, b1, 16);
  if (count > 2) v128.store(target + 2 * targetColumnStep, a2);
  if (WIDE && count > 2) v128.store(target + 2 * targetColumnStep, b2, 16);
  if (count > 3) v128.store(target + 3 * targetColumnStep, a3);
  if (WIDE && count > 3) v128.store(target + 3 * targetColumnStep, b3, 16);
}

/** One channel of up to four target pixels. */
// @ts-ignore: decorator
@inline
function lane(source: usize, weight: usize, target: usize, firstRow: i32, firstColumn: i32, count: i32): void {
  let a0: f32 = 0;
  let a1: f32 = 0;
  let a2: f32 = 0;
  let a3: f32 = 0;
  for (let ki = 0; ki < rows; ki++) {
    const ih = rowOf(firstRow + ki * rowTapStep);
    if (ih < 0) continue;
    const row = source + <usize>(ih * sourceWidth) * sourcePixel;
    for (let kj = 0; kj < columns; kj++) {
      if (!locate(row, firstColumn + kj * columnTapStep, count)) continue;
      let w = weight + <usize>(ki * columns + kj) * weightTapStep;
      const s0 = source0;
      const s1 = source1;
      const s2 = source2;
      const s3 = source3;
      for (let s: usize = 0; s < sourceGroup; s += 4) {
        const value = load<f32>(w);
        a0 += load<f32>(s0 + s) * value;
        a1 += load<f32>(s1 + s) * value;
        a2 += load<f32>(s2 + s) * value;
        a3 += load<f32>(s3 + s) * value;
        w += weightSourceStep;
      }
    }
  }
  store<f32>(target, a0);
  if (count > 1) store<f32>(target + targetColumnStep, a1);
  if (count > 2) store<f32>(target + 2 * targetColumnStep, a2);
  if (count > 3) store<f32>(target + 3 * targetColumnStep, a3);
}

export function pixelsOfGroup(
  source: usize, weight: usize, target: usize, firstRow: i32, firstColumn: i32, count: i32,
): void {
  let c: usize = 0;
  for (; c + 32 <= targetGroup; c += 32) {
    lanes(true, source, weight + c, target + c, firstRow, firstColumn, count);
  }
  for (; c + 16 <= targetGroup; c += 16) {
    lanes(false, source, weight + c, target + c, firstRow, firstColumn, count);
  }
  for (; c < targetGroup; c += 4) lane(source, weight + c, target + c, firstRow, firstColumn, count);
}
