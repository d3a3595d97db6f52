/** @file Blurs: defocus, glass, motion, zoom, gaussian. */
import { correlate, gaussianBlur, gaussianKernel, inside, type Kernel } from './filters.ts';
import { motionBlur as blurAlongLine } from './motion.ts';
import { type Operation, toBytes, unitValues } from './operation.ts';
import type { CorruptionParameters } from './tables.ts';
import { clippedZoom } from './zoom.ts';

/** A Gaussian, with the outermost pixels repeated beyond the edge. */
export const gaussian: Operation<number> = (image, side, sigma) =>
  toBytes(gaussianBlur(unitValues(image), side, 3, { sigma }));

/** An antialiased disk. */
export const defocusBlur: Operation<CorruptionParameters['defocus_blur']> = (image, side, [radius, aliasSigma]) =>
  toBytes(correlate(unitValues(image), side, 3, diskKernel(radius, aliasSigma)));

const diskKernels = new Map<string, Kernel>();

/**
 * The pixels within `radius`, smoothed by a Gaussian of 3 x 3 (above 8 px, 5 x 5), on a grid of at least 17 x 17, in single
 * precision. Below a radius of 1 only the centre lies within, so that the smoothing is all there is.
 */
function diskKernel(radius: number, aliasSigma: number): Kernel {
  const key = `${radius} ${aliasSigma}`;
  const known = diskKernels.get(key);
  if (known) return known;
  const reach = Math.max(8, radius);
  const extent = 2 * reach + 1;
  const disk = new Float32Array(extent * extent);
  for (let i = 0; i < disk.length; i++) {
    const [y, x] = [Math.trunc(i / extent) - reach, (i % extent) - reach];
    disk[i] = x * x + y * y <= radius * radius ? 1 : 0;
  }
  const count = disk.reduce((sum, value) => sum + value, 0);
  const weights = smoothed(
    disk.map((value) => value / count),
    extent,
    gaussianKernel(aliasSigma, radius <= 8 ? 1 : 2).map(Math.fround),
  );
  const kernel = { extent, weights };
  diskKernels.set(key, kernel);
  return kernel;
}

/** Rows, then columns, in single precision, the border mirrored without its pixel. */
function smoothed(values: Float32Array, extent: number, weights: Float64Array): Float32Array {
  const reach = (weights.length - 1) / 2;
  const pass = (from: Float32Array, alongRows: boolean) =>
    from.map((_, i) => {
      const [y, x] = [Math.trunc(i / extent), i % extent];
      return weights.reduce((sum, weight, k) => {
        const near = inside((alongRows ? x : y) + k - reach, extent, 'reflect101');
        return sum + weight * (from[alongRows ? y * extent + near : near * extent + x] as number);
      }, 0);
    });
  return pass(pass(values, true), false);
}

/**
 * Blurred, pixels replaced by near ones, blurred again. The replaced pixel takes its neighbour's value and the neighbour keeps
 * its own (the source's swap of two numpy views is none), going up and left from the lower right corner; offsets are
 * -reach to reach - 1.
 */
export const glassBlur: Operation<CorruptionParameters['glass_blur']> = (
  image,
  side,
  [sigma, reach, rounds],
  random,
) => {
  const pixels = toBytes(gaussianBlur(unitValues(image), side, 3, { sigma }));
  for (let round = 0; round < rounds; round++) {
    for (let y = side - reach; y > reach; y--) {
      for (let x = side - reach; x > reach; x--) {
        const right = random.integer(-reach, reach - 1);
        const down = random.integer(-reach, reach - 1);
        const [to, from] = [3 * (y * side + x), 3 * ((y + down) * side + x + right)];
        pixels.copyWithin(to, from, from + 3);
      }
    }
  }
  return toBytes(gaussianBlur(unitValues(pixels), side, 3, { sigma }));
};

/** Along a line between 45 degrees up and 45 degrees down. */
export const motionBlur: Operation<CorruptionParameters['motion_blur']> = (image, side, [radius, sigma], random) =>
  blurAlongLine(image, side, 3, radius, sigma, random.uniform(-45, 45));

/** The mean of the image and its enlargements by 1, 1 + step, ... below the end; single precision, as in the source. */
export const zoomBlur: Operation<CorruptionParameters['zoom_blur']> = (image, side, [end, step]) => {
  const values = new Float32Array(image).map((byte) => byte / 255);
  const sum = new Float32Array(values.length);
  const factors = zoomFactors(end, step);
  for (const factor of factors) {
    const zoomed = clippedZoom(values, side, 3, factor);
    for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (zoomed[i] as number);
  }
  for (let i = 0; i < sum.length; i++) {
    sum[i] = Math.fround((values[i] as number) + (sum[i] as number)) / (factors.length + 1);
  }
  return toBytes(sum);
};

/** np.arange(1, end, step) to the last bit: rounding decides about the last factor and about the pixels cut. */
function zoomFactors(end: number, step: number): number[] {
  const difference = 1 + step - 1;
  return Array.from({ length: Math.ceil((end - 1) / step) }, (_, i) => 1 + i * difference);
}
