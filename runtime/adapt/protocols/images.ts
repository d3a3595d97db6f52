/** @file The images of a stream: read from a data set, corrupted, and kept within a bound so that the next method finds them. */
import type { Dataset } from '../../train/data/dataset.ts';
import type { StreamSample } from './stream.ts';

/** Gives the image of a frame: u8, RGB, channels-last; not to be changed by the caller. */
export type ImageProvider = (sample: StreamSample) => Promise<Uint8Array>;

/** Corrupts an image (u8, RGB, channels-last, side x side), the same way whenever the options are the same. */
export type Corrupt = (
  image: Uint8Array,
  side: number,
  options: {
    readonly corruption: string;
    /** 1 to 5. */
    readonly severity: number;
    readonly seed: number;
    /** Of the image in the data set. */
    readonly index: number;
  },
) => Promise<Uint8Array>;

/** Images of a data set as the stream shows them; an image under a condition looks the same in every stream of a seed. */
export function corruptedImages(
  dataset: Pick<Dataset, 'imageSize' | 'read'>,
  corrupt: Corrupt,
  seed: number,
): ImageProvider {
  return async ({ image: index, corruption, severity }) => {
    const image = await dataset.read(index);
    return corruption === null ? image : corrupt(image, dataset.imageSize, { corruption, severity, seed, index });
  };
}

/** Images are kept in pieces of this size, taken as they are needed. */
const pieceBytes = 2 ** 22;

/**
 * Keeps the first images that were made, `maxBytes` of them, for every later stream and method; the others are made again
 * whenever they are asked for. Streams are run from begin to end, where keeping the last ones would find none.
 */
export function keptImages(provide: ImageProvider, imageBytes: number, maxBytes: number): ImageProvider {
  const room = Math.floor(maxBytes / imageBytes);
  const perPiece = Math.max(1, Math.floor(pieceBytes / imageBytes));
  const places = new Map<string, number>();
  const pieces: Uint8Array[] = [];
  const slot = (place: number): Uint8Array => {
    const piece = Math.floor(place / perPiece);
    pieces[piece] ??= new Uint8Array(Math.min(perPiece, room - piece * perPiece) * imageBytes);
    const from = (place % perPiece) * imageBytes;
    return (pieces[piece] as Uint8Array).subarray(from, from + imageBytes);
  };
  return async (sample) => {
    const key = `${sample.corruption} ${sample.severity} ${sample.image}`;
    const place = places.get(key);
    if (place !== undefined) return slot(place);
    const image = await provide(sample);
    if (image.length === imageBytes && places.size < room && !places.has(key)) {
      slot(places.size).set(image);
      places.set(key, places.size);
    }
    return image;
  };
}
