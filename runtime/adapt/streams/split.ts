/** @file Cuts a byte stream into images by their own structure: what every splitter gives. */

import type { ByteReader } from './byte-reader.ts';
import { splitImages } from './split-images.ts';
import { splitMultipart } from './split-multipart.ts';

/** What lies in the stream, in its order. */
export type Piece =
  | { readonly kind: 'image'; readonly bytes: Uint8Array }
  /** An image that began and has no end, or a broken structure. */
  | { readonly kind: 'damaged'; readonly reason: string }
  /** Bytes that belong to no image. */
  | { readonly kind: 'garbage'; readonly length: number };

/**
 * How images follow each other: `images` are JPEG and PNG files one after the other, `multipart` is MJPEG with boundary
 * lines, `raw` is bare RGB of a known size; `auto` tells the first two apart.
 */
export type StreamFormat = 'auto' | 'images' | 'multipart' | 'raw';

/** Width and height of raw frames in pixels. */
export interface RawSize {
  readonly width: number;
  readonly height: number;
}

/** @param rawSize Needed by `raw`. */
export async function* split(
  reader: ByteReader,
  format: Exclude<StreamFormat, 'raw'> | RawSize,
): AsyncGenerator<Piece> {
  if (typeof format === 'object') yield* splitRaw(reader, format.width * format.height * 3);
  else if (format === 'multipart' || (format === 'auto' && (await beginsWithBoundary(reader)))) {
    yield* splitMultipart(reader);
  } else yield* splitImages(reader);
}

async function beginsWithBoundary(reader: ByteReader): Promise<boolean> {
  await reader.fill(4);
  return /^(\r?\n)?--/.test(reader.text(0, 4));
}

async function* splitRaw(reader: ByteReader, frameBytes: number): AsyncGenerator<Piece> {
  while (await reader.fill(frameBytes)) yield { kind: 'image', bytes: reader.take(frameBytes) };
  if (reader.length > 0) yield { kind: 'damaged', reason: 'truncated' };
}
