/**
 * @file Opens labelled images, from an image folder or idx files, and finds what is wrong with them before training.
 */

import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DataError, UsageError } from '../../errors.ts';
import type { Fit, ImageSource } from './decode.ts';
import { isFolder, listImageFolder, type Skipped } from './folder.ts';
import { findIdx, type IdxFiles, readIdx } from './idx.ts';
import { openImageStore } from './image-store.ts';
import type { Progress } from './store-builder.ts';

/** Labelled square images of one size. Close it when done. */
export interface Dataset extends AsyncDisposable {
  readonly classes: readonly string[];
  readonly samples: number;
  /** Side of an image in pixels. */
  readonly imageSize: number;
  /** Class of a sample, an index of `classes`. */
  label(sample: number): number;
  /** What to call a sample in a message: its file, or file and number. */
  name(sample: number): string;
  /** Pixels of a sample: RGB, one byte a channel, HWC, imageSize^2 x 3 bytes, in `target` if it is given. */
  read(sample: number, target?: Uint8Array): Promise<Uint8Array>;
}

export interface DatasetOptions {
  readonly imageSize: number;
  /** Any skipped file is an error, which lists them. Default false. */
  readonly strict?: boolean;
  /** Default `fill`. */
  readonly fit?: Fit;
  /** idx: which part; default `train`. Image folders: the subfolder of that name; default is the folder itself. */
  readonly split?: 'train' | 'test';
  /** Takes this many samples at most: the first of an idx file, the same number of each class of a folder. */
  readonly limit?: number;
  /** Folders: which, in label order (default all, sorted). idx: names of the labels (default "0", "1", ...). */
  readonly classes?: readonly string[];
  /** Folders: the label order where all of them have these names, such as a model's own; default sorted. */
  readonly order?: readonly string[];
  /** Where decoded images are kept for this and later runs. Default: a temporary folder, removed at the end. */
  readonly storeFolder?: string;
  /** Larger data sets are decoded whenever they are read. Default 2 GiB. */
  readonly maxStoreBytes?: number;
  /** Images decoded at the same time. Default 2. */
  readonly threads?: number;
  readonly onProgress?: (progress: Progress) => void;
}

export interface OpenedDataset {
  readonly dataset: Dataset;
  /** Files left out, in the order of the folder. */
  readonly skipped: readonly Skipped[];
  /** True if decoded images of an earlier run were used. */
  readonly reused: boolean;
}

/** Where the images are, and what is known of them before one is decoded. */
interface Listing {
  readonly classes: readonly string[];
  readonly labels: Int32Array;
  readonly source: ImageSource;
  readonly skipped: readonly Skipped[];
  nameOf(image: number): string;
}

const defaultStoreBytes = 2 ** 31;

/**
 * Opens a data set and decodes all of it once, so that a damaged image is known before training begins.
 *
 * @param path `folder/class/*.{jpg,jpeg,png,webp}`, or a folder with `train-images-idx3-ubyte.gz` and its companions.
 * @throws DataError if the folder is missing, a class is empty, fewer than two classes have images, an idx file is
 *   damaged, or (strict) anything would be skipped.
 */
export async function openDataset(path: string, options: DatasetOptions): Promise<OpenedDataset> {
  const { imageSize, strict = false, fit = 'fill', limit, threads = 2, onProgress } = options;
  checkCount('imageSize', imageSize);
  checkCount('threads', threads);
  if (limit !== undefined) checkCount('limit', limit);
  await checkFolder(path);
  const idx = await findIdx(path, options.split ?? 'train');
  const listing = idx ? await listIdx(idx, options) : await listFolder(path, options);
  const temporary = options.storeFolder === undefined ? await mkdtemp(join(tmpdir(), 'edgeshift-')) : null;
  const removeTemporary = async () => {
    if (temporary !== null) await rm(temporary, { recursive: true, force: true });
  };
  try {
    const store = await openImageStore(listing.source, listing.labels.length, {
      folder: options.storeFolder ?? (temporary as string),
      maxBytes: options.maxStoreBytes ?? defaultStoreBytes,
      imageSize,
      fit,
      threads,
      ...(onProgress && { onProgress }),
    });
    const { kept, failed } = store.result;
    if (kept.length + failed.length !== listing.labels.length) {
      await store[Symbol.asyncDispose]();
      throw new DataError(
        `${path}: expected as many images as labels (${listing.labels.length}) but got ${kept.length + failed.length}`,
        { path, labels: listing.labels.length, images: kept.length + failed.length },
      );
    }
    const undecodable = failed.map(({ image, reason }) => ({ path: listing.nameOf(image), reason }));
    const skipped = [...listing.skipped, ...undecodable].sort((one, other) => (one.path < other.path ? -1 : 1));
    const labels = Int32Array.from(kept, (image) => listing.labels[image] as number);
    const close = async () => {
      await store[Symbol.asyncDispose]();
      await removeTemporary();
    };
    try {
      if (strict && skipped.length > 0) throw strictError(path, skipped);
      checkRemaining(path, listing, labels, undecodable);
    } catch (error) {
      await store[Symbol.asyncDispose]();
      throw error;
    }
    const dataset: Dataset = {
      classes: listing.classes,
      samples: kept.length,
      imageSize,
      label: (sample) => labels[sample] as number,
      name: (sample) => listing.nameOf(kept[sample] as number),
      read: async (sample, target = new Uint8Array(imageSize * imageSize * 3)) => {
        await store.read(sample, target);
        return target;
      },
      [Symbol.asyncDispose]: close,
    };
    return { dataset, skipped, reused: store.reused };
  } catch (error) {
    await removeTemporary();
    throw error;
  }
}

async function checkFolder(path: string): Promise<void> {
  if (await isFolder(path)) return;
  const found = await stat(path).then(
    () => 'a file',
    () => 'nothing',
  );
  throw new DataError(
    `${path}: expected a folder of images but found ${found}\n` +
      'Hint: give the folder that holds one folder a class, or one with idx files.',
    { path, found },
  );
}

async function listFolder(path: string, { split, classes, limit, order }: DatasetOptions): Promise<Listing> {
  const folder = split === undefined ? path : join(path, split);
  await checkFolder(folder);
  const { paths, ...listed } = await listImageFolder(folder, classes ?? null, limit ?? null, order);
  return { ...listed, source: { kind: 'files', paths }, nameOf: (image) => paths[image] as string };
}

async function listIdx(files: IdxFiles, { classes, limit }: DatasetOptions): Promise<Listing> {
  const labels = await readIdx(files.labels, 1, limit ?? null);
  const largest = labels.data.reduce((most, label) => Math.max(most, label), 0);
  const names = classes ?? Array.from({ length: Math.max(10, largest + 1) }, (_, label) => `${label}`);
  if (largest >= names.length) {
    throw new DataError(
      `${files.labels}: expected labels below ${names.length} (the classes named) but got ${largest}`,
      {
        path: files.labels,
        classes: names,
        label: largest,
      },
    );
  }
  return {
    classes: names,
    labels: Int32Array.from(labels.data),
    source: { kind: 'idx', path: files.images, limit: limit ?? null },
    skipped: [],
    nameOf: (image) => `${files.images}, image ${image}`,
  };
}

/** After decoding: a folder's class may have lost all its images, and labels of an idx part may all be the same. */
function checkRemaining(path: string, listing: Listing, labels: Int32Array, undecodable: readonly Skipped[]): void {
  const { classes, source } = listing;
  const present = new Set(labels);
  const lost = classes.filter((_, label) => !present.has(label));
  if (source.kind === 'files' && lost.length > 0) {
    throw new DataError(
      `${path}: no image could be read of ${lost.length === 1 ? 'class' : 'classes'} ${lost.join(', ')}\n` +
        list(undecodable),
      { path, classes: lost, skipped: undecodable },
    );
  }
  if (present.size < 2) {
    const only = classes[labels[0] ?? 0];
    throw new DataError(`${path}: expected at least two classes but all ${labels.length} samples are "${only}"`, {
      path,
    });
  }
}

function strictError(path: string, skipped: readonly Skipped[]): DataError {
  return new DataError(
    `${path}: ${skipped.length} ${skipped.length === 1 ? 'file' : 'files'} cannot be used (strict)\n${list(skipped)}\n` +
      'Hint: remove or repair them, or leave strict off to skip them.',
    { path, skipped },
  );
}

function list(skipped: readonly Skipped[]): string {
  const lines = skipped.slice(0, 10).map(({ path, reason }) => `  ${path}: ${reason}`);
  return [...lines, ...(skipped.length > 10 ? [`  and ${skipped.length - 10} more`] : [])].join('\n');
}

function checkCount(name: string, value: number): void {
  if (!(Number.isInteger(value) && value > 0)) {
    throw new UsageError(`${name}: expected a whole number above 0 but got ${value}`, { [name]: value });
  }
}
