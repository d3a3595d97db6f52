/** @file Corrupts images the way CIFAR-C and ImageNet-C do, each from its own seed. */
import { setImmediate } from 'node:timers/promises';
import { UsageError } from '../../errors.ts';
import { Random } from '../../train/random.ts';
import { defocusBlur, gaussian, glassBlur, motionBlur, zoomBlur } from './blur.ts';
import { contrast, elasticTransform, jpegCompression, pixelate } from './digital.ts';
import { saturate } from './extra.ts';
import { allCorruptionNames, type CorruptionName, corruptionNames, extraCorruptionNames } from './names.ts';
import { gaussianNoise, impulseNoise, shotNoise, speckleNoise } from './noise.ts';
import type { Operation } from './operation.ts';
import { spatter } from './spatter.ts';
import { type CorruptionParameters, tableFor } from './tables.ts';
import { brightness, fog, frost, snow } from './weather.ts';

const operations: {
  readonly [Name in CorruptionName]: Operation<CorruptionParameters[Name], Uint8Array | Promise<Uint8Array>>;
} = {
  gaussian_noise: gaussianNoise,
  shot_noise: shotNoise,
  impulse_noise: impulseNoise,
  defocus_blur: defocusBlur,
  glass_blur: glassBlur,
  motion_blur: motionBlur,
  zoom_blur: zoomBlur,
  snow,
  frost,
  fog,
  brightness,
  contrast,
  elastic_transform: elasticTransform,
  pixelate,
  jpeg_compression: jpegCompression,
  speckle_noise: speckleNoise,
  gaussian_blur: gaussian,
  spatter,
  saturate,
};

/** Keys these random numbers apart from everything else drawn from a seed. */
const corruptionStream = 0x434f5252;

/** Smallest side in pixels; below it, zooms and elastic distortions have nothing to work on. */
const smallestSide = 8;

export interface CorruptOptions {
  /** One of `allCorruptionNames`. */
  readonly corruption: string;
  /** 1 (weak) to 5 (strong). */
  readonly severity: number;
  /** Any whole number. */
  readonly seed: number;
  /** Position of the image in its data set: what sets its random numbers apart from another image's. */
  readonly index: number;
}

/**
 * Corrupts one image: u8, RGB, channels-last, `side` x `side`, side from 8. The result is of the same kind; the image stays.
 *
 * Parameters are CIFAR-C's up to 64 px, ImageNet-C's above (`tableFor`). Random numbers depend on corruption, severity, seed and
 * index only, so the images of a set can be made one by one and in any order.
 *
 * @throws UsageError for an unknown corruption or severity, a seed or index that is no whole number, or a wrong length
 */
export async function corrupt(
  image: Uint8Array,
  side: number,
  { corruption, severity, seed, index }: CorruptOptions,
): Promise<Uint8Array> {
  checkImages(image, side, 1);
  return apply(corruptionNamed(corruption), image, side, { severity: checkedSeverity(severity), seed, index });
}

export interface CorruptImagesOptions extends Omit<CorruptOptions, 'index'> {
  /** Index of the first image; the others count on. Default 0. */
  readonly firstIndex?: number;
}

/** Images between two looks at the event loop; also the JPEGs under way at a time. */
const atOnce = 32;

/** Corrupts images that lie one after the other, as `corrupt` does each. `onProgress` gets the number that is done. */
export async function corruptImages(
  images: Uint8Array,
  side: number,
  { corruption, severity, seed, firstIndex = 0 }: CorruptImagesOptions,
  onProgress?: (done: number) => void,
): Promise<Uint8Array> {
  const imageBytes = side * side * 3;
  const count = images.length / imageBytes;
  checkImages(images, side, Math.max(0, Math.floor(count)));
  const name = corruptionNamed(corruption);
  const options = { severity: checkedSeverity(severity), seed };
  const result = new Uint8Array(images.length);
  for (let start = 0; start < count; start += atOnce) {
    const size = Math.min(atOnce, count - start);
    const made = Array.from({ length: size }, (_, i) => {
      const image = images.subarray((start + i) * imageBytes, (start + i + 1) * imageBytes);
      return apply(name, image, side, { ...options, index: firstIndex + start + i });
    });
    for (const [i, image] of (await Promise.all(made)).entries()) result.set(image, (start + i) * imageBytes);
    onProgress?.(start + size);
    await setImmediate();
  }
  return result;
}

function apply<Name extends CorruptionName>(
  name: Name,
  image: Uint8Array,
  side: number,
  { severity, seed, index }: Omit<CorruptOptions, 'corruption'>,
): Uint8Array | Promise<Uint8Array> {
  for (const [what, value] of Object.entries({ seed, index })) {
    if (!Number.isSafeInteger(value))
      throw new UsageError(`${what} must be a whole number: ${value}`, { [what]: value });
  }
  const operation: Operation<CorruptionParameters[Name], Uint8Array | Promise<Uint8Array>> = operations[name];
  const parameters = tableFor(side).parameters[name][severity - 1] as CorruptionParameters[Name];
  const key = [corruptionStream, allCorruptionNames.indexOf(name), severity, seed, index];
  return operation(image, side, parameters, new Random(...key));
}

/** The name if it is one. @throws UsageError, which lists them */
export function corruptionNamed(text: string): CorruptionName {
  const name = allCorruptionNames.find((candidate) => candidate === text);
  if (name !== undefined) return name;
  throw new UsageError(
    `unknown corruption ${JSON.stringify(text)}: expected one of ${corruptionNames.join(', ')}, ` +
      `or of the extra set ${extraCorruptionNames.join(', ')}`,
    { corruption: text, corruptions: allCorruptionNames },
  );
}

function checkedSeverity(severity: number): number {
  if (Number.isInteger(severity) && severity >= 1 && severity <= 5) return severity;
  throw new UsageError(`severity must be a whole number from 1 to 5: ${severity}`, { severity });
}

/** @throws UsageError if images of this side in pixels cannot be corrupted */
export function checkSide(side: number): void {
  if (Number.isInteger(side) && side >= smallestSide) return;
  throw new UsageError(`side must be a whole number from ${smallestSide}: ${side}`, { side });
}

function checkImages(images: Uint8Array, side: number, count: number): void {
  checkSide(side);
  const expected = side * side * 3 * count;
  if (images.length === expected) return;
  throw new UsageError(
    `corrupt: expected ${count === 1 ? 'an image' : 'images'} of ${side} x ${side} x 3 bytes but got ${images.length} bytes`,
    { side, expected, actual: images.length },
  );
}
