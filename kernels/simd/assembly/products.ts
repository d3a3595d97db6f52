/**
 * @file Products of row-major matrices: y = a b, y = a b^T and y += a^T b.
 *
 * An element of y is summed in one order that follows from the shapes alone: tiles, ranges of rows, threads and processors give the
 * same bits, as long as all of them round a multiply-add once, or all twice (multiply-add.ts). Sizes are numbers of floats; nothing is
 * copied or packed, so a product needs no memory besides its operands.
 */
import { multiplyAdd } from './multiply-add';

/** Rows of b that one pass sums over: a tile's columns of so many rows stay in the first-level cache while all rows of a pass. */
const DEPTH: i32 = 256;

/** Bytes of a that stay in the second-level cache while all columns of b pass. */
const LEFT_BYTES: i32 = 1 << 17;

/** Rows of a tile: as many sums in flight as a multiply-add takes cycles, within sixteen registers. */
const TILE_ROWS: i32 = 4;

/** Writes or adds WIDTH (a constant) sums of a row. */
// @ts-ignore: decorator
@inline
function put(y: usize, first: v128, second: v128, add: bool, WIDTH: i32): void {
  if (WIDTH == 1) {
    store<f32>(y, add ? load<f32>(y) + f32x4.extract_lane(first, 0) : f32x4.extract_lane(first, 0));
    return;
  }
  v128.store(y, add ? f32x4.add(v128.load(y), first) : first);
  if (WIDTH == 8) v128.store(y, add ? f32x4.add(v128.load(y, 16), second) : second, 16);
}

/**
 * ROWS x WIDTH elements of y (constants; 4 or 1, and 8, 4 or 1). Rows of the left side are leftRow bytes apart, what is summed over is
 * leftStep bytes apart in it and rightStep in b.
 */
// @ts-ignore: decorator
@inline
function tile(
  a: usize, leftRow: usize, leftStep: usize, b: usize, rightStep: usize, y: usize, depth: i32, add: bool, ROWS: i32,
  WIDTH: i32,
): void {
  let sum00 = f32x4.splat(0);
  let sum01 = sum00;
  let sum10 = sum00;
  let sum11 = sum00;
  let sum20 = sum00;
  let sum21 = sum00;
  let sum30 = sum00;
  let sum31 = sum00;
  const twoRows = <usize>2 * leftRow;
  const threeRows = <usize>3 * leftRow;
  for (let step = 0; step < depth; step++) {
    const b0 = WIDTH == 1 ? v128.load_splat<f32>(b) : v128.load(b);
    const b1 = WIDTH == 8 ? v128.load(b, 16) : b0;
    const a0 = v128.load_splat<f32>(a);
    sum00 = multiplyAdd(a0, b0, sum00);
    if (WIDTH == 8) sum01 = multiplyAdd(a0, b1, sum01);
    if (ROWS == 4) {
      const a1 = v128.load_splat<f32>(a + leftRow);
      sum10 = multiplyAdd(a1, b0, sum10);
      if (WIDTH == 8) sum11 = multiplyAdd(a1, b1, sum11);
      const a2 = v128.load_splat<f32>(a + twoRows);
      sum20 = multiplyAdd(a2, b0, sum20);
      if (WIDTH == 8) sum21 = multiplyAdd(a2, b1, sum21);
      const a3 = v128.load_splat<f32>(a + threeRows);
      sum30 = multiplyAdd(a3, b0, sum30);
      if (WIDTH == 8) sum31 = multiplyAdd(a3, b1, sum31);
    }
    a += leftStep;
    b += rightStep;
  }
  put(y, sum00, sum01, add, WIDTH);
  if (ROWS == 4) {
    put(y + rightStep, sum10, sum11, add, WIDTH);
    put(y + <usize>2 * rightStep, sum20, sum21, add, WIDTH);
    put(y + <usize>3 * rightStep, sum30, sum31, add, WIDTH);
  }
}

/** WIDTH columns of some rows. */
// @ts-ignore: decorator
@inline
function column(
  a: usize, leftRow: usize, leftStep: usize, b: usize, rightStep: usize, y: usize, depth: i32, rows: i32, add: bool,
  WIDTH: i32,
): void {
  let row = 0;
  for (; row + TILE_ROWS <= rows; row += TILE_ROWS) {
    tile(a, leftRow, leftStep, b, rightStep, y, depth, add, TILE_ROWS, WIDTH);
    a += <usize>TILE_ROWS * leftRow;
    y += <usize>TILE_ROWS * rightStep;
  }
  for (; row < rows; row++) {
    tile(a, leftRow, leftStep, b, rightStep, y, depth, add, 1, WIDTH);
    a += leftRow;
    y += rightStep;
  }
}

/** Rows firstRow to lastRow of y [.., n], whose rows are as far apart as those of b [k, n]; sums over DEPTH of k at a time. */
function multiply(
  a: usize, leftRow: usize, leftStep: usize, b: usize, y: usize, k: i32, n: i32, firstRow: i32, lastRow: i32, add: bool,
): void {
  const rightStep = <usize>n << 2;
  for (let first = 0; first < k; first += DEPTH) {
    const depth = min(DEPTH, k - first);
    const together = LEFT_BYTES / (4 * DEPTH);
    const right = b + <usize>first * rightStep;
    for (let row = firstRow; row < lastRow; row += together) {
      const rows = min(together, lastRow - row);
      const left = a + <usize>row * leftRow + <usize>first * leftStep;
      const target = y + <usize>row * rightStep;
      let at: usize = 0;
      for (; at + 32 <= rightStep; at += 32) {
        column(left, leftRow, leftStep, right + at, rightStep, target + at, depth, rows, add, 8);
      }
      if (at + 16 <= rightStep) {
        column(left, leftRow, leftStep, right + at, rightStep, target + at, depth, rows, add, 4);
        at += 16;
      }
      for (; at < rightStep; at += 4) {
        column(left, leftRow, leftStep, right + at, rightStep, target + at, depth, rows, add, 1);
      }
    }
    add = true;
  }
}

/** y [m, n] = a [m, k] b [k, n], the rows in the range. */
export function productNn(
  a: usize, b: usize, y: usize, m: i32, k: i32, n: i32, firstRow: i32, lastRow: i32,
): void {
  multiply(a, <usize>k << 2, 4, b, y, k, n, firstRow, lastRow, false);
}

/** y [m, n] += a [k, m]^T b [k, n], the rows in the range. */
export function productTnAdd(
  a: usize, b: usize, y: usize, m: i32, k: i32, n: i32, firstRow: i32, lastRow: i32,
): void {
  multiply(a, 4, <usize>m << 2, b, y, k, n, firstRow, lastRow, true);
}

/** The sums of four vectors' lanes, each as (lane 0 + lane 2) + (lane 1 + lane 3). */
// @ts-ignore: decorator
@inline
function laneSums(s0: v128, s1: v128, s2: v128, s3: v128): v128 {
  const s01 = f32x4.add(v128.shuffle<f32>(s0, s1, 0, 1, 4, 5), v128.shuffle<f32>(s0, s1, 2, 3, 6, 7));
  const s23 = f32x4.add(v128.shuffle<f32>(s2, s3, 0, 1, 4, 5), v128.shuffle<f32>(s2, s3, 2, 3, 6, 7));
  return f32x4.add(v128.shuffle<f32>(s01, s23, 0, 2, 4, 6), v128.shuffle<f32>(s01, s23, 1, 3, 5, 7));
}

/** The sums of a row of y: COLUMNS (a constant; 4 or 1) sums of lanes, and what is left of rows that are no whole vectors. */
// @ts-ignore: decorator
@inline
function finish(
  a: usize, b: usize, y: usize, whole: usize, bytes: usize, s0: v128, s1: v128, s2: v128, s3: v128, COLUMNS: i32,
): void {
  let sums = laneSums(s0, s1, s2, s3);
  for (let at = whole; at < bytes; at += 4) {
    let right = v128.load_splat<f32>(b + at);
    if (COLUMNS == 4) {
      right = v128.load_lane<f32>(b + bytes + at, right, 1);
      right = v128.load_lane<f32>(b + 2 * bytes + at, right, 2);
      right = v128.load_lane<f32>(b + 3 * bytes + at, right, 3);
    }
    sums = multiplyAdd(v128.load_splat<f32>(a + at), right, sums);
  }
  if (COLUMNS == 4) v128.store(y, sums);
  else v128.store_lane<f32>(y, sums, 0);
}

/** ROWS x COLUMNS elements (constants; 2 or 1, and 4 or 1) of y: sums along rows of `bytes` bytes of both sides. */
// @ts-ignore: decorator
@inline
function dots(a: usize, b: usize, y: usize, targetRow: usize, bytes: usize, ROWS: i32, COLUMNS: i32): void {
  let sum00 = f32x4.splat(0);
  let sum01 = sum00;
  let sum02 = sum00;
  let sum03 = sum00;
  let sum10 = sum00;
  let sum11 = sum00;
  let sum12 = sum00;
  let sum13 = sum00;
  const twoRows = <usize>2 * bytes;
  const threeRows = <usize>3 * bytes;
  const whole = bytes & ~15;
  for (let at: usize = 0; at < whole; at += 16) {
    const left = a + at;
    const right = b + at;
    const a0 = v128.load(left);
    const a1 = ROWS == 2 ? v128.load(left + bytes) : a0;
    const b0 = v128.load(right);
    sum00 = multiplyAdd(a0, b0, sum00);
    if (ROWS == 2) sum10 = multiplyAdd(a1, b0, sum10);
    if (COLUMNS == 4) {
      const b1 = v128.load(right + bytes);
      sum01 = multiplyAdd(a0, b1, sum01);
      if (ROWS == 2) sum11 = multiplyAdd(a1, b1, sum11);
      const b2 = v128.load(right + twoRows);
      sum02 = multiplyAdd(a0, b2, sum02);
      if (ROWS == 2) sum12 = multiplyAdd(a1, b2, sum12);
      const b3 = v128.load(right + threeRows);
      sum03 = multiplyAdd(a0, b3, sum03);
      if (ROWS == 2) sum13 = multiplyAdd(a1, b3, sum13);
    }
  }
  finish(a, b, y, whole, bytes, sum00, sum01, sum02, sum03, COLUMNS);
  if (ROWS == 2) finish(a + bytes, b, y + targetRow, whole, bytes, sum10, sum11, sum12, sum13, COLUMNS);
}

/** COLUMNS rows of b with some rows of a. */
// @ts-ignore: decorator
@inline
function dotColumns(a: usize, b: usize, y: usize, targetRow: usize, bytes: usize, rows: i32, COLUMNS: i32): void {
  let row = 0;
  for (; row + 2 <= rows; row += 2) {
    dots(a, b, y, targetRow, bytes, 2, COLUMNS);
    a += <usize>2 * bytes;
    y += <usize>2 * targetRow;
  }
  if (row < rows) dots(a, b, y, targetRow, bytes, 1, COLUMNS);
}

/** y [m, n] = a [m, k] b [n, k]^T, the rows in the range. */
export function productNt(
  a: usize, b: usize, y: usize, m: i32, k: i32, n: i32, firstRow: i32, lastRow: i32,
): void {
  const bytes = <usize>k << 2;
  const targetRow = <usize>n << 2;
  const together = max(2, (LEFT_BYTES / <i32>bytes) & ~1);
  for (let first = firstRow; first < lastRow; first += together) {
    const rows = min(together, lastRow - first);
    const left = a + <usize>first * bytes;
    const target = y + <usize>first * targetRow;
    let c = 0;
    for (; c + 4 <= n; c += 4) {
      dotColumns(left, b + <usize>c * bytes, target + (<usize>c << 2), targetRow, bytes, rows, 4);
    }
    for (; c < n; c++) {
      dotColumns(left, b + <usize>c * bytes, target + (<usize>c << 2), targetRow, bytes, rows, 1);
    }
  }
}
