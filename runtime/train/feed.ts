/** @file What the engine is fed: augmented images, or their cached features; the next batch is made ready during a step. */
import type { Engine, EngineInput } from '../engine/engine.ts';
import { type InputSlot, type InputSlots, inputSlots } from '../engine/input-slots.ts';
import { isDue, isRenewable } from '../governor/renewable.ts';
import { type Augmentation, drawAugment, noAugmentation, variantOf } from './data/augment.ts';
import { ahead, batches, batchesPerEpoch, epochOrder, type ImageReader, imageReader } from './data/batches.ts';
import type { Dataset } from './data/dataset.ts';
import type { FeatureCache } from './feature-cache.ts';

export interface FeedBatch {
  /** Valid until the next batch is asked for. */
  readonly input: EngineInput;
  readonly labels: Int32Array;
  readonly position: number;
  /** Milliseconds the engine has spent on it already: on features that were not cached. */
  readonly millis: number;
}

export interface FeedOptions {
  readonly batch: number;
  readonly seed: number;
  readonly epoch: number;
  readonly shuffle: boolean;
  readonly augmentation: Augmentation;
  /** Batch to begin with. */
  readonly from: number;
}

/**
 * One epoch of batches. With a cache, images are read only for features that are not there yet. Between two batches a renewable
 * engine is renewed if that is due, and the feed goes on with the batch that is next.
 */
export async function* feed(
  engine: Engine,
  dataset: Dataset,
  indices: Uint32Array,
  options: FeedOptions,
  cache: FeatureCache | null,
): AsyncGenerator<FeedBatch> {
  let { from } = options;
  for (let done = false; !done; ) {
    done = true;
    for await (const batch of untilRenewed(engine, dataset, indices, { ...options, from }, cache)) {
      // Before the first one, too: memory may have gone while the engine was opened, and a step takes all of its plan's.
      done = !isDue(engine);
      if (!done) break;
      yield batch;
      from = batch.position + 1;
    }
    if (!isDue(engine) || !isRenewable(engine)) continue;
    await engine.renew();
    if (!engine.isOpen) return;
  }
}

async function* untilRenewed(
  engine: Engine,
  dataset: Dataset,
  indices: Uint32Array,
  options: FeedOptions,
  cache: FeatureCache | null,
): AsyncGenerator<FeedBatch> {
  const slots = engine.inputs ?? inputSlots(engine.plan);
  if (cache && (!isRenewable(engine) || engine.takesCached)) {
    yield* new CachedFeed(engine, slots, dataset, options, cache).batches(epochOrder(indices, options));
    return;
  }
  const buffers = [slots[0].images, slots[1].images] as const;
  for await (const { images, labels, count, position } of batches(dataset, indices, { ...options, buffers })) {
    yield { input: { count, images }, labels, position, millis: 0 };
  }
}

/** A sample of a batch, or rather one of its variants. */
interface Row {
  /** Place in the batch. */
  readonly index: number;
  readonly sample: number;
  readonly variant: number;
}

/** A batch in a slot: its cached features, and the images of the others. */
interface CachedBatch {
  readonly slot: InputSlot;
  readonly samples: Uint32Array;
  readonly position: number;
  readonly missing: readonly Row[];
}

class CachedFeed {
  readonly #engine: Engine;
  readonly #slots: InputSlots;
  readonly #dataset: Dataset;
  readonly #options: FeedOptions;
  readonly #cache: FeatureCache;
  readonly #read: ImageReader;
  /** Computed features on their way to the disk. */
  #kept: Promise<unknown> = Promise.resolve();

  constructor(engine: Engine, slots: InputSlots, dataset: Dataset, options: FeedOptions, cache: FeatureCache) {
    this.#engine = engine;
    this.#slots = slots;
    this.#dataset = dataset;
    this.#options = options;
    this.#cache = cache;
    this.#read = imageReader(dataset, options);
  }

  async *batches(order: Uint32Array): AsyncGenerator<FeedBatch> {
    const { batch, from } = this.#options;
    const load = (position: number): Promise<CachedBatch> =>
      this.#load(order.subarray(position * batch, (position + 1) * batch), position);
    try {
      for await (const loaded of ahead(from, batchesPerEpoch(order.length, batch), load)) {
        const { slot, samples, position } = loaded;
        const millis = await this.#complete(loaded);
        const features = this.#features(slot, 0, samples.length);
        const labels = Int32Array.from(samples, (sample) => this.#dataset.label(sample));
        yield { input: { count: samples.length, features }, labels, position, millis };
      }
      await this.#kept;
    } finally {
      // The slots are another feed's from here on, and the cache may be closed.
      await this.#kept.catch(() => undefined);
    }
  }

  async #load(samples: Uint32Array, position: number): Promise<CachedBatch> {
    // What was computed for the batch before last may still be read from this slot.
    await this.#kept;
    const slot = this.#slots[position % 2] as InputSlot;
    const rows = Array.from(samples, (sample, index): Row => ({ index, sample, variant: this.#variant(sample) }));
    const missing: Row[] = [];
    for (const row of rows) {
      const { index, sample, variant } = row;
      if (!this.#cache.has(sample, variant)) missing.push(row);
      else await this.#cache.get(sample, variant, this.#features(slot, index, 1));
    }
    const target = (index: number): Uint8Array => this.#images(slot, missing[index]?.index ?? 0, 1);
    await this.#read(
      Uint32Array.from(missing, ({ sample }) => sample),
      target,
    );
    return { slot, samples, position, missing };
  }

  /** Computes what is missing and lets it go to the disk meanwhile; milliseconds that the engine took. */
  async #complete({ slot, missing }: CachedBatch): Promise<number> {
    if (missing.length === 0) return 0;
    const started = performance.now();
    await Promise.all(
      runs(missing).map(({ index, count }) =>
        this.#engine.features(this.#images(slot, index, count), count, this.#features(slot, index, count)),
      ),
    );
    const millis = performance.now() - started;
    const writes = missing.map(({ index, sample, variant }) =>
      this.#cache.put(sample, variant, this.#features(slot, index, 1)),
    );
    this.#kept = Promise.all([this.#kept, ...writes]);
    // It fails where it is awaited.
    this.#kept.catch(() => undefined);
    return millis;
  }

  #images({ images }: InputSlot, index: number, count: number): Uint8Array {
    const size = this.#dataset.imageSize ** 2 * 3;
    return images.subarray(index * size, (index + count) * size);
  }

  #features({ features }: InputSlot, index: number, count: number): Float32Array {
    const size = features.length / this.#engine.plan.batch;
    return features.subarray(index * size, (index + count) * size);
  }

  #variant(sample: number): number {
    const { augmentation, seed, epoch } = this.#options;
    return variantOf(drawAugment(augmentation, this.#dataset.imageSize, seed, epoch, sample));
  }
}

/** Rows that lie side by side, to be computed in one call. */
function runs(rows: readonly Row[]): readonly { readonly index: number; readonly count: number }[] {
  const found: { index: number; count: number }[] = [];
  for (const { index } of rows) {
    const last = found.at(-1);
    if (last && last.index + last.count === index) last.count += 1;
    else found.push({ index, count: 1 });
  }
  return found;
}

/** Plain order, no augmentation: how images are evaluated. */
export function evaluationFeed(batch: number): FeedOptions {
  return { batch, seed: 0, epoch: 0, shuffle: false, augmentation: noAugmentation, from: 0 };
}
