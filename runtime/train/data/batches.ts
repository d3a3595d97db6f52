/**
 * @file Batches of images in an order that (seed, epoch) alone decides, one batch read ahead of its use.
 */

import { UsageError } from '../../errors.ts';
import { shuffle } from '../random.ts';
import { type Augmentation, applyAugment, drawAugment, isCacheable, noAugmentation } from './augment.ts';
import type { Dataset } from './dataset.ts';

export interface Batch {
  /** `count` images, RGB, one byte a channel, HWC. Valid until the next batch is asked for, then overwritten. */
  readonly images: Uint8Array;
  /** Class of each image. Valid as long as `images`. */
  readonly labels: Int32Array;
  /** Sample of each image in the data set. */
  readonly indices: Uint32Array;
  /** Images in this batch; the last one of an epoch may hold fewer. */
  readonly count: number;
  /** Position in the epoch, 0 for the first batch. */
  readonly position: number;
}

export interface BatchOptions {
  /** Images a batch. */
  readonly batch: number;
  readonly seed: number;
  readonly epoch: number;
  /** False keeps the order of `indices`, as evaluation wants it. */
  readonly shuffle?: boolean;
  readonly augmentation?: Augmentation;
  /** Batch to begin with: a resumed epoch continues where it stopped. */
  readonly from?: number;
}

/** Samples of an epoch in the order in which `batches` yields them. */
export function epochOrder(
  indices: ArrayLike<number>,
  { seed, epoch, shuffle: shuffled = true }: Pick<BatchOptions, 'seed' | 'epoch' | 'shuffle'>,
): Uint32Array {
  if (!shuffled) return Uint32Array.from(indices);
  return shuffle(indices.length, seed, epoch).map((position) => indices[position] as number);
}

/** Batches of an epoch, counting a last one that is not full. */
export function batchesPerEpoch(samples: number, batch: number): number {
  return Math.ceil(samples / batch);
}

/**
 * Yields one epoch over `indices`.
 *
 * Two buffers take turns: while the caller works on one batch the next is read into the other, so memory stays at two
 * batches (three with augmentation). Images of a batch are read together, as fast as the data set allows.
 */
export async function* batches(
  dataset: Dataset,
  indices: ArrayLike<number>,
  options: BatchOptions,
): AsyncGenerator<Batch, void, undefined> {
  const { batch, from = 0 } = options;
  if (!(Number.isInteger(batch) && batch > 0)) {
    throw new UsageError(`batch: expected a whole number above 0 but got ${batch}`, { batch });
  }
  const order = epochOrder(indices, options);
  const end = batchesPerEpoch(order.length, batch);
  const read = loader(dataset, order, options);
  const load = (position: number) => {
    const batchRead = read(position);
    // It fails where it is awaited. Until then, or if the caller stops early, nobody else listens.
    batchRead.catch(() => undefined);
    return batchRead;
  };
  let pending = from < end ? load(from) : null;
  try {
    for (let position = from; position < end; position++) {
      const ready = (await pending) as Batch;
      pending = position + 1 < end ? load(position + 1) : null;
      yield ready;
    }
  } finally {
    // A caller that stops early leaves one read under way; the data set must not be closed below it.
    await pending?.catch(() => undefined);
  }
}

function loader(dataset: Dataset, order: Uint32Array, options: BatchOptions): (position: number) => Promise<Batch> {
  const { batch, seed, epoch, augmentation = noAugmentation } = options;
  const { imageSize } = dataset;
  const imageBytes = imageSize * imageSize * 3;
  const room = Math.min(batch, order.length);
  const slots = [0, 1].map(() => ({
    images: new Uint8Array(room * imageBytes),
    labels: new Int32Array(room),
  }));
  // One is enough: a batch is read and augmented to the end before the next read begins.
  const raw = isCacheable(augmentation) ? null : new Uint8Array(room * imageBytes);
  return async (position) => {
    const slot = slots[position % 2] as (typeof slots)[number];
    const samples = order.subarray(position * batch, (position + 1) * batch);
    const count = samples.length;
    const image = (buffer: Uint8Array, place: number) => buffer.subarray(place * imageBytes, (place + 1) * imageBytes);
    const reads = Array.from(samples, (sample, place) => {
      slot.labels[place] = dataset.label(sample);
      return dataset.read(sample, image(raw ?? slot.images, place));
    });
    await Promise.all(reads);
    if (raw) {
      samples.forEach((sample, place) => {
        const draw = drawAugment(augmentation, imageSize, seed, epoch, sample);
        applyAugment(draw, image(raw, place), image(slot.images, place), imageSize);
      });
    }
    return {
      images: slot.images.subarray(0, count * imageBytes),
      labels: slot.labels.subarray(0, count),
      indices: samples,
      count,
      position,
    };
  };
}
