/** @file What the engine is fed: augmented images, or their cached features. */
import type { Engine, EngineInput } from '../engine/engine.ts';
import { GarbageMeter } from '../garbage.ts';
import { type Augmentation, applyAugment, drawAugment, noAugmentation, variantOf } from './data/augment.ts';
import { batches, batchesPerEpoch, epochOrder } from './data/batches.ts';
import type { Dataset } from './data/dataset.ts';
import type { FeatureCache } from './feature-cache.ts';

export interface FeedBatch {
  readonly input: EngineInput;
  readonly labels: Int32Array;
  readonly position: number;
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

/** One epoch of batches. With a cache, images are read only for features that are not there yet. */
export async function* feed(
  engine: Engine,
  dataset: Dataset,
  indices: Uint32Array,
  options: FeedOptions,
  cache: FeatureCache | null,
): AsyncGenerator<FeedBatch> {
  if (!cache) {
    for await (const { images, labels, count, position } of batches(dataset, indices, options)) {
      const pixels = images.subarray(0, count * dataset.imageSize ** 2 * 3);
      yield { input: { count, images: pixels }, labels: labels.slice(0, count), position };
    }
    return;
  }
  const order = epochOrder(indices, options);
  const loader = new FeatureLoader(engine, dataset, options, cache);
  for (let position = options.from; position < batchesPerEpoch(order.length, options.batch); position++) {
    const samples = order.subarray(position * options.batch, (position + 1) * options.batch);
    const labels = Int32Array.from(samples, (sample) => dataset.label(sample));
    yield { input: { count: samples.length, features: await loader.load(samples) }, labels, position };
  }
}

/** Features from the engine, in bytes, that may wait to be collected. */
const COMPUTED_BYTES = 4 << 20;

class FeatureLoader {
  readonly #engine: Engine;
  readonly #dataset: Dataset;
  readonly #options: FeedOptions;
  readonly #cache: FeatureCache;
  readonly #size: number;
  readonly #pixels: Uint8Array;
  readonly #raw: Uint8Array;
  /** One batch, used again for each. */
  readonly #features: Float32Array;
  readonly #computed = new GarbageMeter(COMPUTED_BYTES, 'major');

  constructor(engine: Engine, dataset: Dataset, options: FeedOptions, cache: FeatureCache) {
    const bytes = dataset.imageSize ** 2 * 3;
    this.#engine = engine;
    this.#dataset = dataset;
    this.#options = options;
    this.#cache = cache;
    this.#size = featureElements(engine);
    this.#pixels = new Uint8Array(options.batch * bytes);
    this.#raw = new Uint8Array(bytes);
    this.#features = new Float32Array(options.batch * this.#size);
  }

  /** Features of the samples, in order, valid until the next call; missing ones are computed together and kept. */
  async load(samples: Uint32Array): Promise<Float32Array> {
    const variants = Array.from(samples, (sample) => this.#variant(sample));
    const missing = variants.flatMap((variant, i) => (this.#cache.has(samples[i] ?? 0, variant) ? [] : [i]));
    const bytes = this.#raw.length;
    for (const [slot, i] of missing.entries()) {
      await this.#image(samples[i] ?? 0, this.#pixels.subarray(slot * bytes, (slot + 1) * bytes));
    }
    if (missing.length > 0) {
      const computed = await this.#engine.features(this.#pixels.subarray(0, missing.length * bytes), missing.length);
      for (const [slot, i] of missing.entries()) {
        const features = computed.subarray(slot * this.#size, (slot + 1) * this.#size);
        await this.#cache.put(samples[i] ?? 0, variants[i] ?? 0, features);
      }
      this.#computed.drop(computed.byteLength);
    }
    const features = this.#features.subarray(0, samples.length * this.#size);
    for (const [i, sample] of samples.entries()) {
      await this.#cache.get(sample, variants[i] ?? 0, features.subarray(i * this.#size, (i + 1) * this.#size));
    }
    return features;
  }

  #draw(sample: number) {
    const { augmentation, seed, epoch } = this.#options;
    return drawAugment(augmentation, this.#dataset.imageSize, seed, epoch, sample);
  }

  #variant(sample: number): number {
    return variantOf(this.#draw(sample));
  }

  async #image(sample: number, target: Uint8Array): Promise<void> {
    await this.#dataset.read(sample, this.#raw);
    applyAugment(this.#draw(sample), this.#raw, target, this.#dataset.imageSize);
  }
}

/** Floats of one image at the cut. */
export function featureElements(engine: Engine): number {
  const { plan } = engine;
  return (plan.buffers.find(({ name }) => name === plan.values.cut)?.bytesPerImage ?? 0) / 4;
}

/** Plain order, no augmentation: how images are evaluated. */
export function evaluationFeed(batch: number): FeedOptions {
  return { batch, seed: 0, epoch: 0, shuffle: false, augmentation: noAugmentation, from: 0 };
}
