/**
 * @file Features of the frozen part, kept on disk between epochs. Legal where a sample has few variants (none, or a flip):
 * the prefix takes images one by one and gives the same bits each time, so with exact features a cached run equals an uncached
 * one. As 8-bit codes they take a quarter of the disk and differ by half a step of their range (feature-codes.ts).
 */
import { type FileHandle, open, rm, statfs } from 'node:fs/promises';
import { codedBytes } from '../autodiff/training-graph.ts';
import { writeAll } from '../delta/atomic-file.ts';
import { DataError } from '../errors.ts';
import { elements } from '../graph/graph.ts';
import type { Plan } from '../plan/plan.ts';
import { decodeFeatures, encodeFeatures } from './feature-codes.ts';

export interface FeatureCacheOptions {
  /** Of one image's features, channels last. */
  readonly shape: readonly number[];
  readonly precision: 'exact' | '8bit';
  /** Images a sample can become. */
  readonly variants: number;
  /** Of the data set, cached or not. */
  readonly samples: number;
}

/** Beyond this the prefix is run again instead of filling the board's storage. */
const MAX_CACHE_BYTES = 2 ** 31;

/** Space in the file for one image. */
function imageBytes({ shape, precision }: Pick<FeatureCacheOptions, 'shape' | 'precision'>): number {
  return precision === '8bit' ? codedBytes(shape) : 4 * elements(shape);
}

/** Shape of one image's features at the cut; null where nothing is frozen, so that there is nothing to keep. */
export function featureShape({ steps, prefix }: Plan): readonly number[] | null {
  return prefix.nodes > 0 ? (steps.find(({ pass }) => pass === 'prefix')?.shapes.output ?? null) : null;
}

interface CacheNeeds extends Omit<FeatureCacheOptions, 'samples'> {
  /** Images of an epoch. */
  readonly images: number;
}

/** Whether the plan counts the room that features take on their way, and they stay below 2 GiB on disk. */
export function fitsCache({ cachesFeatures }: Plan, needs: CacheNeeds): boolean {
  return cachesFeatures && fileBytes(needs) <= MAX_CACHE_BYTES;
}

/**
 * Whether the disk holds them and as much again, for checkpoints and the exported model.
 * @throws DataError if it does not and they are to be codes: a run that is resumed when there is space would then go another way
 */
export async function fitsDisk(folder: string, needs: CacheNeeds): Promise<boolean> {
  const neededBytes = 2 * fileBytes(needs);
  const { bavail, bsize } = await statfs(folder);
  const freeBytes = bavail * bsize;
  if (freeBytes >= neededBytes) return true;
  if (needs.precision === 'exact') return false;
  throw new DataError(
    `${folder}: not enough disk for cached features, expected ${neededBytes} bytes free but got ${freeBytes}\n` +
      'Hint: free some space, or train without them (--no-cache)',
    { folder, neededBytes, freeBytes },
  );
}

function fileBytes(needs: CacheNeeds): number {
  return needs.images * needs.variants * imageBytes(needs);
}

export class FeatureCache implements AsyncDisposable {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #channels: number;
  readonly #variants: number;
  readonly #bytes: number;
  /** Place of each variant of each sample in the file, -1 where it is not there: they lie in the order they came. */
  readonly #places: Int32Array;
  #used = 0;
  /** Codes as they are read; null where features are kept as they are. */
  readonly #code: Uint8Array | null;

  private constructor(path: string, file: FileHandle, options: FeatureCacheOptions) {
    const { shape, precision, variants, samples } = options;
    this.#path = path;
    this.#file = file;
    this.#channels = shape.at(-1) ?? 1;
    this.#variants = variants;
    this.#bytes = imageBytes(options);
    this.#places = new Int32Array(samples * variants).fill(-1);
    this.#code = precision === '8bit' ? new Uint8Array(this.#bytes) : null;
  }

  /** An empty cache in a new file, which is removed in the end. */
  static async create(path: string, options: FeatureCacheOptions): Promise<FeatureCache> {
    return new FeatureCache(path, await open(path, 'w+'), options);
  }

  has(sample: number, variant: number): boolean {
    return this.#place(sample, variant) >= 0;
  }

  /**
   * Keeps features, and replaces them at once by what `get` will give: whether a sample is read or computed makes no difference.
   * They must not change until they are written.
   * @throws DataError if they cannot be written
   */
  async put(sample: number, variant: number, features: Float32Array): Promise<void> {
    const place = this.#used++;
    const bytes = this.#code ? this.#encode(features) : bytesOf(features);
    try {
      await writeAll(this.#file, bytes, place * this.#bytes);
    } catch (cause) {
      throw new DataError(
        `cannot write the feature cache "${this.#path}": ${cause instanceof Error ? cause.message : cause}\n` +
          'Hint: free some space, or train without it (--no-cache)',
        { path: this.#path },
        { cause },
      );
    }
    this.#places[sample * this.#variants + variant] = place;
  }

  /** One call at a time. @throws DataError if the file was cut off */
  async get(sample: number, variant: number, target: Float32Array): Promise<void> {
    const bytes = this.#code ?? bytesOf(target);
    const { bytesRead } = await this.#file.read(bytes, 0, this.#bytes, this.#place(sample, variant) * this.#bytes);
    if (bytesRead !== this.#bytes) {
      throw new DataError(`the feature cache "${this.#path}" ends early\nHint: the file was changed; resume the run.`, {
        path: this.#path,
      });
    }
    if (this.#code) decodeFeatures(this.#code, this.#channels, target);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
    await rm(this.#path, { force: true });
  }

  #encode(features: Float32Array): Uint8Array {
    const code = new Uint8Array(this.#bytes);
    encodeFeatures(features, this.#channels, code);
    decodeFeatures(code, this.#channels, features);
    return code;
  }

  #place(sample: number, variant: number): number {
    return this.#places[sample * this.#variants + variant] ?? -1;
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
