/**
 * @file Batches of images in an order that (seed, epoch) alone decides, one batch read ahead of its use.
 */

import { setImmediate as turn } from 'node:timers/promises';
import { UsageError } from '../../errors.ts';
import { shuffle } from '../random.ts';
import { type Augmentation, applyAugment, drawAugment, isCacheable, noAugmentation } from './augment.ts';
import type { Dataset } from './dataset.ts';

export interface Batch {
  /** `count` images, RGB, one byte a channel, HWC. Valid until the next batch is asked for, then overwritten. */
  readonly images: Uint8Array;
  /** Class of each image. */
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
  /** Where the images of two batches lie in turn, a whole batch each; default: memory of their own. */
  readonly buffers?: readonly [Uint8Array, Uint8Array];
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
 * Yields what `load` gives for the positions from `from` to below `end`, each loaded while the caller works on the one before.
 * What was begun is waited for, also if the caller stops early.
 */
export async function* ahead<Loaded>(
  from: number,
  end: number,
  load: (position: number) => Promise<Loaded>,
): AsyncGenerator<Loaded, void, undefined> {
  const begin = (position: number): Promise<Loaded> | null => {
    if (position >= end) return null;
    const loading = load(position);
    // It fails where it is awaited. Until then, or if the caller stops early, nobody else listens.
    loading.catch(() => undefined);
    return loading;
  };
  let pending = begin(from);
  try {
    for (let position = from; pending; position++) {
      const ready = await pending;
      pending = begin(position + 1);
      yield ready;
    }
  } finally {
    // The data set must not be closed below a read that is under way.
    await pending?.catch(() => undefined);
  }
}

/**
 * Yields one epoch over `indices`.
 *
 * Two buffers take turns: while the caller works on one batch the next is read into the other, so memory stays at two
 * batches (and one image with augmentation). Images of a batch are read together, as fast as the data set allows.
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
  const imageBytes = dataset.imageSize ** 2 * 3;
  const room = Math.min(batch, order.length);
  const buffers = options.buffers ?? [new Uint8Array(room * imageBytes), new Uint8Array(room * imageBytes)];
  const read = imageReader(dataset, options);
  yield* ahead(from, batchesPerEpoch(order.length, batch), async (position): Promise<Batch> => {
    const samples = order.subarray(position * batch, (position + 1) * batch);
    const count = samples.length;
    const images = (buffers[position % 2] as Uint8Array).subarray(0, count * imageBytes);
    await read(samples, (place) => images.subarray(place * imageBytes, (place + 1) * imageBytes));
    const labels = Int32Array.from(samples, (sample) => dataset.label(sample));
    return { images, labels, indices: samples, count, position };
  });
}

/** Reads `samples`, changed as their draws say; the i-th goes to `target(i)`. One call at a time. */
export type ImageReader = (samples: Uint32Array, target: (index: number) => Uint8Array) => Promise<void>;

/** The images of an epoch. */
export function imageReader(
  dataset: Dataset,
  { seed, epoch, augmentation = noAugmentation }: Pick<BatchOptions, 'seed' | 'epoch' | 'augmentation'>,
): ImageReader {
  const { imageSize } = dataset;
  const raw = isCacheable(augmentation) ? null : new Uint8Array(imageSize ** 2 * 3);
  return async (samples, target) => {
    await Promise.all(Array.from(samples, (sample, index) => dataset.read(sample, target(index))));
    if (!raw) return;
    for (const [index, sample] of samples.entries()) {
      const image = target(index);
      raw.set(image);
      applyAugment(drawAugment(augmentation, imageSize, seed, epoch, sample), raw, image, imageSize);
      // The engine's answer may have come meanwhile, and the next step should not wait for a whole batch.
      await turn();
    }
  };
}
