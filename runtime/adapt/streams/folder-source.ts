/** @file Frames from the images of a folder and the folders in it, in the natural order of their paths. */

import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { DataError } from '../../errors.ts';
import { arrivesNow, type Frame } from './frame.ts';
import type { FrameDecoder } from './frame-decoder.ts';
import { decodeFrames, type FoundFrame, type FrameSource, SourceCounter } from './frame-source.ts';
import { compareNaturally } from './natural-order.ts';

/** Names that are taken for images. */
export const imageName = /\.(jpe?g|png|webp)$/i;

/** Reads a folder that does not change; hidden entries (a leading dot) and other files are not looked at. */
export class FolderSource implements FrameSource {
  readonly name: string;
  readonly live = false;
  readonly replies = null;
  readonly #paths: readonly string[];
  readonly #loops: number;
  readonly #first: number;
  readonly #decoder: FrameDecoder;
  readonly #counter = new SourceCounter();
  #closed = false;

  private constructor(folder: string, paths: readonly string[], loops: number, first: number, decoder: FrameDecoder) {
    this.name = folder;
    this.#paths = paths;
    this.#loops = loops;
    this.#first = first;
    this.#decoder = decoder;
  }

  /**
   * @param loops How often the folder is read, one time after the other.
   * @param first Index of the first frame that is given; those before are counted and not read.
   * @throws DataError if the folder cannot be listed or holds no image
   */
  static async open(folder: string, loops: number, first: number, decoder: FrameDecoder): Promise<FolderSource> {
    const paths = await listImages(folder);
    if (paths.length === 0) {
      throw new DataError(`${folder}: expected images (.jpg, .jpeg, .png or .webp) but found none`, { folder });
    }
    return new FolderSource(folder, paths, loops, first, decoder);
  }

  counts() {
    return this.#counter.counts();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Frame> {
    yield* decodeFrames(this.#files(), this.#decoder, this.#counter);
  }

  async *#files(): AsyncGenerator<FoundFrame> {
    for (let loop = 0; loop < this.#loops; loop += 1) {
      for (const path of this.#paths) {
        if (this.#closed) return;
        if (this.#counter.seen < this.#first) {
          this.#counter.see();
          continue;
        }
        yield {
          name: relative(this.name, path),
          arrival: arrivesNow(),
          image: { kind: 'file', path },
        };
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
  }
}

/** Links to files are followed, links to folders are not, so that none is entered without an end. */
async function listImages(folder: string): Promise<string[]> {
  const paths: string[] = [];
  const open = [folder];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    const inside = at;
    const entries = await readdir(inside, { withFileTypes: true }).catch((cause: Error) => {
      throw new DataError(`${inside}: cannot be listed (${cause.message})`, { folder: inside }, { cause });
    });
    for (const entry of entries) {
      if (entry.name.startsWith('.')) continue;
      if (entry.isDirectory()) open.push(join(inside, entry.name));
      else if (imageName.test(entry.name)) paths.push(join(inside, entry.name));
    }
  }
  return paths.sort(compareNaturally);
}
