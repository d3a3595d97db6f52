/** @file A frame made small enough to be shown with others in a strip. */

/** Longest side of a thumbnail in pixels. */
const SIDE = 72;

export interface SmallImage {
  /** u8, RGB, channels-last, side x side x 3. */
  readonly pixels: Uint8Array;
  readonly side: number;
}

/** Every so many pixels one, without smoothing: a copy of 15 KB at most, made in about 20 us. */
export function shrunk(pixels: Uint8Array, side: number): SmallImage {
  const small = Math.min(SIDE, side);
  const copy = new Uint8Array(3 * small * small);
  for (let y = 0, to = 0; y < small; y++) {
    const row = Math.floor((y * side) / small) * side;
    for (let x = 0; x < small; x++, to += 3) {
      const from = 3 * (row + Math.floor((x * side) / small));
      copy[to] = pixels[from] ?? 0;
      copy[to + 1] = pixels[from + 1] ?? 0;
      copy[to + 2] = pixels[from + 2] ?? 0;
    }
  }
  return { pixels: copy, side: small };
}

/** As JPEG, in base64; compressed by a thread of the pool. */
export async function jpegText({ pixels, side }: SmallImage): Promise<string> {
  const { default: sharp } = await import('sharp');
  const image = sharp(pixels, { raw: { width: side, height: side, channels: 3 } });
  return (await image.jpeg({ quality: 75 }).toBuffer()).toString('base64');
}
