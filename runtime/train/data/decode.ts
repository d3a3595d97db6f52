/**
 * @file Turns image files and idx pixels into RGB squares of one size, through sharp.
 *
 * sharp is loaded on first use: a run that reads its images from a finished store never pays for it (27 MB).
 */

import type { Sharp } from 'sharp';
import { readIdx } from './idx.ts';

/** How an image that is not square is made so: stretched, cut at the centre, or set on black. */
export type Fit = 'fill' | 'cover' | 'contain';

/** Where images come from. Plain data: it crosses to the process that decodes. */
export type ImageSource =
  | { readonly kind: 'files'; readonly paths: readonly string[] }
  | { readonly kind: 'idx'; readonly path: string; readonly limit: number | null };

export interface DecodeOptions {
  /** Side of the result in pixels. */
  readonly imageSize: number;
  readonly fit: Fit;
  /** Images decoded at the same time; each takes one thread and the memory of one decoded image. */
  readonly threads: number;
}

export interface Decoder {
  readonly images: number;
  /** RGB, one byte a channel, HWC. Rejects with sharp's message if the image cannot be read in full. */
  decode(image: number): Promise<Uint8Array>;
}

/** Opens a source; an idx file's pixels stay in memory while the decoder lives. */
export async function openDecoder(source: ImageSource, { imageSize, fit, threads }: DecodeOptions): Promise<Decoder> {
  const { default: sharp } = await import('sharp');
  sharp.cache(false);
  // Images are decoded side by side, so libvips needs no threads of its own within one.
  sharp.concurrency(1);
  const finish = (image: Sharp, kernel: 'cubic' | 'lanczos3') =>
    image
      .resize(imageSize, imageSize, { fit, kernel, background: '#000000' })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer();
  const inTurn = limitConcurrency(threads);
  if (source.kind === 'files') {
    const { paths } = source;
    return {
      images: paths.length,
      decode: (image) =>
        inTurn(async () => {
          // 'error' also covers truncated files; 'warning' would refuse photos that every viewer shows.
          const file = sharp(paths[image] as string, { failOn: 'error' });
          const pixels = await finish(file.autoOrient().flatten({ background: '#ffffff' }), 'lanczos3');
          return checkLength(pixels, imageSize);
        }),
    };
  }
  const { shape, data } = await readIdx(source.path, 3, source.limit);
  const [images = 0, height = 0, width = 0] = shape;
  return {
    images,
    decode: (image) =>
      inTurn(async () => {
        const grey = data.subarray(image * height * width, (image + 1) * height * width);
        const pixels = await finish(sharp(grey, { raw: { width, height, channels: 1 } }), 'cubic');
        return checkLength(pixels, imageSize);
      }),
  };
}

function checkLength(pixels: Uint8Array, imageSize: number): Uint8Array {
  const expected = imageSize * imageSize * 3;
  if (pixels.length !== expected) throw new Error(`decoded to ${pixels.length} bytes instead of ${expected}`);
  return pixels;
}

/** Runs at most `most` tasks at a time, in the order they were given. */
function limitConcurrency(most: number): <T>(task: () => Promise<T>) => Promise<T> {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (task) => {
    if (running >= most) await new Promise<void>((resolve) => waiting.push(resolve));
    else running += 1;
    try {
      return await task();
    } finally {
      // The place passes straight to the next in line, so the count stays.
      const next = waiting.shift();
      if (next) next();
      else running -= 1;
    }
  };
}
