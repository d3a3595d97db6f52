/** @file Pixels in arrays of single-precision values, as a method's state is saved. */

/** Three bytes a value: whole numbers below 2^24 are exact in single precision. @param bytes a multiple of three */
export function packPixels(bytes: Uint8Array): Float32Array {
  const byte = (at: number): number => bytes[at] ?? 0;
  return Float32Array.from(
    { length: bytes.length / 3 },
    (_, i) => byte(3 * i) + 256 * byte(3 * i + 1) + 65536 * byte(3 * i + 2),
  );
}

export function unpackPixels(values: Float32Array): Uint8Array {
  const bytes = new Uint8Array(3 * values.length);
  for (const [i, value] of values.entries()) {
    bytes[3 * i] = value & 255;
    bytes[3 * i + 1] = (value >>> 8) & 255;
    bytes[3 * i + 2] = value >>> 16;
  }
  return bytes;
}
