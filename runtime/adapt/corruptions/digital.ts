/** @file What cameras and files do: contrast, elastic distortion, pixelation, JPEG. */
import type Sharp from 'sharp';
import { uniforms } from './draws.ts';
import { gaussianBlur, sampleRgb } from './filters.ts';
import { type Operation, toByte, toBytes } from './operation.ts';
import { resizeBox } from './resize.ts';
import type { CorruptionParameters } from './tables.ts';

/** Distances to the channel's mean over the image, scaled. */
export const contrast: Operation<number> = (image, _side, factor) => {
  const sums = [0, 0, 0];
  for (let i = 0; i < image.length; i++) sums[i % 3] = (sums[i % 3] as number) + (image[i] as number) / 255;
  const means = sums.map((sum) => sum / (image.length / 3));
  return image.map((byte, i) => toByte((byte / 255 - (means[i % 3] as number)) * factor + (means[i % 3] as number)));
};

/** An affine map that moves three points at random, then a smooth random displacement of every pixel. */
export const elasticTransform: Operation<CorruptionParameters['elastic_transform']> = (
  image,
  side,
  [strength, sigma, affine],
  random,
) => {
  const values = new Float32Array(image).map((byte) => byte / 255);
  const moved = warpAffine(values, side, uniforms(6, -affine * side, affine * side, random));
  const displacements = () =>
    gaussianBlur(uniforms(side * side, -1, 1, random), side, 1, {
      sigma: sigma * side,
      border: 'reflect',
      truncate: 3,
    });
  const [right, down] = [displacements(), displacements()];
  const result = new Float32Array(values.length);
  const scale = strength * side;
  for (let pixel = 0; pixel < side * side; pixel++) {
    const x = (pixel % side) + scale * (right[pixel] as number);
    const y = Math.trunc(pixel / side) + scale * (down[pixel] as number);
    sampleRgb(moved, side, x, y, 'reflect', result, 3 * pixel);
  }
  return toBytes(result);
};

/** Moves three points around the centre by `shifts` (x, y, x, y, x, y) and everything else with them. */
function warpAffine(values: Float32Array, side: number, shifts: Float64Array): Float32Array {
  const [centre, reach] = [Math.floor(side / 2), Math.floor(side / 3)];
  const points = [centre + reach, centre + reach, centre + reach, centre - reach, centre - reach, centre - reach];
  const [x0, y0, x1, y1, x2, y2] = points.map((value, i) => value + (shifts[i] as number)) as SixNumbers;
  // Where the edges between the points went: down from the second to the first, right from the third to the second.
  const [downX, downY] = [(x0 - x1) / (2 * reach), (y0 - y1) / (2 * reach)];
  const [rightX, rightY] = [(x1 - x2) / (2 * reach), (y1 - y2) / (2 * reach)];
  const determinant = rightX * downY - downX * rightY;
  const result = new Float32Array(values.length);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const [fromX, fromY] = [x - x2, y - y2];
      const sourceX = centre - reach + (downY * fromX - downX * fromY) / determinant;
      const sourceY = centre - reach + (rightX * fromY - rightY * fromX) / determinant;
      sampleRgb(values, side, sourceX, sourceY, 'reflect101', result, 3 * (y * side + x));
    }
  }
  return result;
}

type SixNumbers = [number, number, number, number, number, number];

/** Fewer pixels and back. */
export const pixelate: Operation<number> = (image, side, share) => {
  const fewer = Math.max(1, Math.trunc(side * share));
  return resizeBox(resizeBox(image, side, fewer), fewer, side);
};

let sharp: typeof Sharp | null = null;

/** A file written and read again: baseline, the standard's tables, chroma at half the resolution, as Pillow writes it. */
export const jpegCompression: Operation<number, Promise<Uint8Array>> = async (image, side, quality) => {
  sharp ??= (await import('sharp')).default;
  const raw = { width: side, height: side, channels: 3 } as const;
  const file = await sharp(image, { raw }).jpeg({ quality, mozjpeg: false, chromaSubsampling: '4:2:0' }).toBuffer();
  const pixels = await sharp(file).raw({ depth: 'uchar' }).toBuffer();
  return new Uint8Array(pixels.buffer, pixels.byteOffset, pixels.length);
};
