/** @file Decodes the images of a stream, within limits of bytes and pixels; a bad one gives its reason and no error. */

import { readFile, stat } from 'node:fs/promises';
import { type Fit, squareDecoder } from '../../train/data/decode.ts';
import type { RawSize } from './split.ts';

export type FrameImage =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'encoded'; readonly bytes: Uint8Array }
  /** Bare RGB, u8, HWC. */
  | { readonly kind: 'raw'; readonly bytes: Uint8Array; readonly size: RawSize };

export type DecodedFrame =
  /** u8, RGB, channels-last, side x side x 3. */
  | { readonly kind: 'pixels'; readonly pixels: Uint8Array }
  /** The same words for the same reason. */
  | { readonly kind: 'damaged'; readonly reason: string };

export interface FrameDecoder {
  decode(image: FrameImage): Promise<DecodedFrame>;
}

export interface FrameDecoderOptions {
  /** Side of the network's input in pixels. */
  readonly imageSize: number;
  /** How a frame that is not square is made so. */
  readonly fit: Fit;
  /** Longest file or encoded image; default 64 MiB. */
  readonly limitBytes: number;
}

/** Longest encoded image, unless told otherwise. */
export const defaultFrameBytes = 64 * 2 ** 20;

/** Most pixels of a frame: 8192 x 8192, which takes 192 MiB where a format must be decoded whole. */
const mostPixels = 2 ** 26;

export async function openFrameDecoder(options: FrameDecoderOptions): Promise<FrameDecoder> {
  const { imageSize, fit, limitBytes } = options;
  const square = await squareDecoder({ imageSize, fit }, mostPixels);
  const pixelsOf = async (image: FrameImage): Promise<Uint8Array> => {
    if (image.kind === 'raw') {
      const { width, height } = image.size;
      if (width === imageSize && height === imageSize) return image.bytes;
      return square.raw(image.bytes, { width, height, channels: 3 }, 'lanczos3');
    }
    const bytes = image.kind === 'file' ? await readWithin(image.path, limitBytes) : image.bytes;
    if (!isImage(bytes)) throw new Error(bytes.length === 0 ? 'empty' : 'not a JPEG, PNG or WebP image');
    return square.encoded(bytes);
  };
  return {
    decode: (image) =>
      pixelsOf(image).then(
        (pixels) => ({ kind: 'pixels', pixels }),
        (error: unknown) => ({ kind: 'damaged', reason: reasonOf(error) }),
      ),
  };
}

/** Whether bytes begin as a JPEG, PNG or WebP image does: what is decoded of strangers. */
export function isImage(bytes: Uint8Array): boolean {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 12)).toString('latin1');
  return head.startsWith('\xff\xd8\xff') || head.startsWith('\x89PNG\r\n\x1a\n') || /^RIFF.{4}WEBP/s.test(head);
}

async function readWithin(path: string, limitBytes: number): Promise<Uint8Array> {
  const found = await stat(path);
  // A pipe or a device in a folder would be waited for without an end.
  if (!found.isFile()) throw new Error('not a file');
  if (found.size > limitBytes) throw new Error(`longer than ${limitBytes} bytes`);
  return readFile(path);
}

/** In words that do not name the file, so that the same reasons add up. */
function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'file is gone';
  if (code !== undefined) return `file cannot be read (${code})`;
  return (message.split('\n')[0] as string).slice(0, 100);
}
