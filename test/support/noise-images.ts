/** @file Images of seeded noise, which make files long enough to be cut anywhere. */

import sharp, { type Sharp } from 'sharp';
import { Random } from '../../runtime/train/random.ts';

/** RGB noise of a size in pixels; the same seed gives the same image. */
export function noiseImage(width: number, height: number, seed: number): Sharp {
  const random = new Random(seed);
  const pixels = Uint8Array.from({ length: width * height * 3 }, () => random.integer(0, 255));
  return sharp(pixels, { raw: { width, height, channels: 3 } });
}
