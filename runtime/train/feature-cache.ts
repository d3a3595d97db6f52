/**
 * @file Features of the frozen part, kept on disk between epochs. Legal where a sample has few variants (none, or a flip):
 * the prefix takes images one by one and gives the same bits each time, so a cached run equals an uncached one.
 */
import { type FileHandle, open, rm } from 'node:fs/promises';
import { writeAll } from '../delta/atomic-file.ts';
import { DataError } from '../errors.ts';

export class FeatureCache implements AsyncDisposable {
  readonly #path: string;
  readonly #file: FileHandle;
  /** Floats of one image. */
  readonly #size: number;
  readonly #variants: number;
  readonly #present: Uint8Array;

  private constructor(path: string, file: FileHandle, size: number, variants: number, samples: number) {
    this.#path = path;
    this.#file = file;
    this.#size = size;
    this.#variants = variants;
    this.#present = new Uint8Array(samples * variants);
  }

  /** An empty cache for `samples` samples of `variants` variants, `size` floats each. */
  static async create(path: string, size: number, variants: number, samples: number): Promise<FeatureCache> {
    return new FeatureCache(path, await open(path, 'w+'), size, variants, samples);
  }

  has(sample: number, variant: number): boolean {
    return this.#present[sample * this.#variants + variant] === 1;
  }

  async put(sample: number, variant: number, features: Float32Array): Promise<void> {
    const slot = sample * this.#variants + variant;
    const bytes = new Uint8Array(features.buffer, features.byteOffset, features.byteLength);
    try {
      await writeAll(this.#file, bytes, slot * 4 * this.#size);
    } catch (cause) {
      throw new DataError(
        `cannot write the feature cache "${this.#path}": ${cause instanceof Error ? cause.message : cause}\n` +
          'Hint: free some space, or train without it (--no-cache)',
        { path: this.#path },
        { cause },
      );
    }
    this.#present[slot] = 1;
  }

  async get(sample: number, variant: number, target: Float32Array): Promise<void> {
    const bytes = new Uint8Array(target.buffer, target.byteOffset, 4 * this.#size);
    const slot = sample * this.#variants + variant;
    await this.#file.read(bytes, 0, bytes.length, slot * 4 * this.#size);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
    await rm(this.#path, { force: true });
  }
}
