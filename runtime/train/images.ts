/** @file The images of a run: what it trains on, what it validates on and what it is tested on. */
import { join } from 'node:path';
import { UsageError } from '../errors.ts';
import { type Dataset, type DatasetOptions, openDataset } from './data/dataset.ts';
import { isFolder, type Skipped } from './data/folder.ts';
import { findIdx } from './data/idx.ts';
import { splitDataset } from './data/split.ts';
import type { Progress } from './data/store-builder.ts';
import { allIndices } from './evaluate.ts';
import type { CheckedModel } from './model-thread.ts';
import type { TrainConfig } from './options.ts';

export interface Part {
  readonly dataset: Dataset;
  readonly indices: Uint32Array;
}

export interface RunImages extends AsyncDisposable {
  readonly train: Part;
  /** Null if none is set aside. */
  readonly validation: Part | null;
  /** What accuracy before and after is measured on: the test part, else the validation split. */
  readonly test: Part;
  readonly skipped: readonly Skipped[];
}

type ImageConfig = Pick<
  TrainConfig,
  'data' | 'test' | 'validation' | 'seed' | 'fit' | 'strict' | 'limit' | 'testLimit' | 'threads' | 'patience'
>;

/**
 * Opens the images of a run, with the model's own order of classes where they have the same names: a head that is kept stays right.
 * A test part is looked for in this order: `test`, the idx files' own, a subfolder `test` or `val`
 * beside `train`; without one the validation split stands in. With one, images are set aside only for early stopping.
 */
export async function openRunImages(
  config: ImageConfig,
  { imageSize, classes: order }: CheckedModel,
  storeFolder: string,
  onProgress?: (progress: Progress) => void,
): Promise<RunImages> {
  const common: DatasetOptions = {
    imageSize,
    storeFolder,
    strict: config.strict,
    fit: config.fit,
    threads: config.threads,
    ...(order && { order }),
    ...(onProgress && { onProgress }),
  };
  const parts = await findParts(config);
  const fraction = parts.test && config.patience === 0 ? 0 : config.validation;
  if (!parts.test && fraction === 0) {
    throw new UsageError('there are no test images: give --test, or set some aside with --validation 0.2');
  }
  const limit = config.limit === null ? {} : { limit: config.limit };
  const opened = await openDataset(parts.train.path, { ...common, ...limit, ...splitOf(parts.train) });
  const testLimit = config.testLimit === null ? {} : { limit: config.testLimit };
  const { classes } = opened.dataset;
  const test = parts.test
    ? await openDataset(parts.test.path, { ...common, ...testLimit, ...splitOf(parts.test), classes }).catch(
        async (error: unknown) => {
          await opened.dataset[Symbol.asyncDispose]();
          throw error;
        },
      )
    : null;
  const split = splitDataset(opened.dataset, fraction, config.seed);
  const validation = split.validation.length > 0 ? { dataset: opened.dataset, indices: split.validation } : null;
  return {
    train: { dataset: opened.dataset, indices: split.train },
    validation,
    test: test ? { dataset: test.dataset, indices: allIndices(test.dataset.samples) } : (validation as Part),
    skipped: [...opened.skipped, ...(test?.skipped ?? [])],
    async [Symbol.asyncDispose]() {
      await opened.dataset[Symbol.asyncDispose]();
      await test?.dataset[Symbol.asyncDispose]();
    },
  };
}

/** A folder of classes, or one part of a folder of idx files. */
interface Location {
  readonly path: string;
  readonly idx: 'train' | 'test' | null;
}

const splitOf = ({ idx }: Location) => (idx === null ? {} : { split: idx });

async function findParts({ data, test }: ImageConfig): Promise<{ train: Location; test: Location | null }> {
  const locate = async (path: string, part: 'train' | 'test'): Promise<Location> => ({
    path,
    idx: (await findIdx(path, part).catch(() => null)) ? part : null,
  });
  const idx = await locate(data, 'train');
  if (idx.idx) return { train: idx, test: await locate(test ?? data, 'test') };
  const inner = join(data, 'train');
  const train = { path: (await isFolder(inner)) ? inner : data, idx: null };
  if (test) return { train, test: await locate(test, 'test') };
  for (const name of ['test', 'val', 'validation']) {
    const path = join(data, name);
    if (train.path === inner && (await isFolder(path))) return { train, test: { path, idx: null } };
  }
  return { train, test: null };
}
