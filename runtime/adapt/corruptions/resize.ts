/** @file Resizing by the box filter, as Pillow does it. */

/** Fraction bits of the weights: 8-bit values times weights of at most 1 stay below 2^31. */
const fractionBits = 22;

/** Which source pixels make a target pixel, and their weights in units of 2^-22. */
interface Box {
  readonly start: number;
  readonly weights: Int32Array;
}

/** Resizes an image (u8, RGB, channels-last): rows first, rounded to bytes, then columns. */
export function resizeBox(image: Uint8Array, side: number, newSide: number): Uint8Array {
  if (newSide === side) return image.slice();
  const boxes = boxesOf(side, newSide);
  const narrow = new Uint8Array(side * newSide * 3);
  for (let y = 0; y < side; y++) pass(image, y * side * 3, 3, narrow, y * newSide * 3, 3, boxes);
  const result = new Uint8Array(newSide * newSide * 3);
  for (let x = 0; x < newSide; x++) pass(narrow, x * 3, newSide * 3, result, x * 3, newSide * 3, boxes);
  return result;
}

/** One line of pixels; strides are the distances from a pixel to the next. */
function pass(
  source: Uint8Array,
  sourceStart: number,
  sourceStride: number,
  target: Uint8Array,
  targetStart: number,
  targetStride: number,
  boxes: readonly Box[],
): void {
  boxes.forEach(({ start, weights }, position) => {
    for (let c = 0; c < 3; c++) {
      let sum = 1 << (fractionBits - 1);
      for (let k = 0; k < weights.length; k++) {
        sum += (source[sourceStart + (start + k) * sourceStride + c] as number) * (weights[k] as number);
      }
      target[targetStart + position * targetStride + c] = sum >> fractionBits;
    }
  });
}

/** A source pixel counts in full if its centre lies in the target pixel's box, which is never narrower than a pixel. */
function boxesOf(side: number, newSide: number): readonly Box[] {
  const scale = side / newSide;
  const width = Math.max(scale, 1);
  return Array.from({ length: newSide }, (_, position) => {
    const centre = (position + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - width / 2 + 0.5), 0);
    const end = Math.min(Math.trunc(centre + width / 2 + 0.5), side);
    const inBox = (pixel: number) => {
      const place = (pixel - centre + 0.5) / width;
      return place > -0.5 && place <= 0.5;
    };
    const counted = Array.from({ length: end - first }, (_, k) => first + k).filter(inBox);
    const weight = Math.round(2 ** fractionBits / counted.length);
    return { start: counted[0] ?? first, weights: new Int32Array(counted.length).fill(weight) };
  });
}
