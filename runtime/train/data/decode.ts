/**
 * @file Turns image files and idx pixels into RGB squares of one size, through sharp.
 *
 * sharp is loaded on first use: a run that reads its images from a finished store never pays for it (27 MB).
 */

import type { CreateRaw, OutputInfo, Sharp } from 'sharp';
import { readIdx } from './idx.ts';

/** How an image becomes a square of the size asked for: stretched, cut at the centre, set on black, or set on black unscaled. */
export const fits = ['fill', 'cover', 'contain', 'pad'] as const;
export type Fit = (typeof fits)[number];

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

/** Makes RGB squares (u8, HWC) of images in memory or in files; rejects with sharp's message if one cannot be read in full. */
export interface SquareDecoder {
  /** An encoded image: the path of its file, or its bytes. */
  encoded(image: string | Uint8Array): Promise<Uint8Array>;
  /** Bare pixels, u8, HWC. */
  raw(pixels: Uint8Array, size: CreateRaw, kernel: 'cubic' | 'lanczos3'): Promise<Uint8Array>;
}

/** @param limitInputPixels Images of more pixels are refused before they are decoded; `true` is sharp's own limit. */
export async function squareDecoder(
  { imageSize, fit }: Pick<DecodeOptions, 'imageSize' | 'fit'>,
  limitInputPixels: number | boolean = true,
): Promise<SquareDecoder> {
  const { default: sharp } = await import('sharp');
  sharp.cache(false);
  // Images are decoded side by side, so libvips needs no threads of its own within one.
  sharp.concurrency(1);
  const finish = async (image: Sharp, kernel: 'cubic' | 'lanczos3') => {
    const sized = fit === 'pad' ? image : image.resize(imageSize, imageSize, { fit, kernel, background: '#000000' });
    const { data, info } = await sized
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    return checkLength(fit === 'pad' ? padded(data, info, imageSize) : data, imageSize);
  };
  return {
    encoded: (image) =>
      // 'error' also covers truncated files; 'warning' would refuse photos that every viewer shows.
      finish(
        sharp(image, { failOn: 'error', limitInputPixels }).autoOrient().flatten({ background: '#ffffff' }),
        'lanczos3',
      ),
    raw: (pixels, size, kernel) => finish(sharp(pixels, { raw: size }), kernel),
  };
}

/** Opens a source; an idx file's pixels stay in memory while the decoder lives. */
export async function openDecoder(source: ImageSource, options: DecodeOptions): Promise<Decoder> {
  const square = await squareDecoder(options);
  const inTurn = limitConcurrency(options.threads);
  if (source.kind === 'files') {
    const { paths } = source;
    return {
      images: paths.length,
      decode: (image) => inTurn(() => square.encoded(paths[image] as string)),
    };
  }
  const { shape, data } = await readIdx(source.path, 3, source.limit);
  const [images = 0, height = 0, width = 0] = shape;
  return {
    images,
    decode: (image) =>
      inTurn(() => {
        const grey = data.subarray(image * height * width, (image + 1) * height * width);
        return square.raw(grey, { width, height, channels: 1 }, 'cubic');
      }),
  };
}

/** As many black rows and columns on both sides; the odd one goes to the right and below. */
function padded(
  pixels: Uint8Array,
  { width, height, channels }: Pick<OutputInfo, 'width' | 'height' | 'channels'>,
  imageSize: number,
): Uint8Array {
  if (Math.max(width, height) > imageSize) {
    throw new Error(`${width} x ${height} pixels are too many to be padded to ${imageSize} x ${imageSize}`);
  }
  const result = new Uint8Array(imageSize * imageSize * channels);
  const [left, top] = [Math.floor((imageSize - width) / 2), Math.floor((imageSize - height) / 2)];
  for (let y = 0; y < height; y++) {
    const row = pixels.subarray(y * width * channels, (y + 1) * width * channels);
    result.set(row, ((top + y) * imageSize + left) * channels);
  }
  return result;
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
