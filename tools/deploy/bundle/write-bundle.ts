/** @file Writes a bundle: a tar archive, compressed in JavaScript, so that its bytes do not depend on the zlib of this Node. */
import type { FileHandle } from 'node:fs/promises';
import { Gzip } from 'fflate';
import { writeAll, writeAtomically } from '../../../runtime/delta/atomic-file.ts';
import { type BundleFile, bytesOf } from './bundle-file.ts';
import { tarEnd, tarHeader, tarPadding } from './tar.ts';

/** Compressed at a time: small pieces would be blocks of their own, which compress worse. */
const PIECE_BYTES = 1 << 20;

/**
 * @param files in the order in which they are to stand
 * @returns size of the archive in bytes
 * @throws DataError if a file cannot be read or the archive not be written; then there is none, or the former one
 */
export async function writeBundle(path: string, files: readonly BundleFile[]): Promise<number> {
  let written = 0;
  await writeAtomically(path, async (file) => {
    const archive = new Compressed(file);
    for (const each of files) {
      const bytes = await bytesOf(each);
      await archive.add(tarHeader({ path: each.path, mode: each.mode, bytes: bytes.length }));
      await archive.add(bytes);
      await archive.add(tarPadding(bytes.length));
    }
    await archive.add(tarEnd());
    written = await archive.end();
  });
  return written;
}

class Compressed {
  readonly #file: FileHandle;
  readonly #gzip: Gzip;
  readonly #piece = new Uint8Array(PIECE_BYTES);
  #filled = 0;
  #ready: Uint8Array[] = [];
  #written = 0;

  constructor(file: FileHandle) {
    this.#file = file;
    // A time of 0 stands for none.
    this.#gzip = new Gzip({ level: 6, mtime: 0 }, (bytes) => this.#ready.push(bytes));
  }

  async add(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + PIECE_BYTES - this.#filled);
      this.#piece.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
      if (this.#filled === PIECE_BYTES) await this.#push(false);
    }
  }

  /** Bytes written. */
  async end(): Promise<number> {
    await this.#push(true);
    return this.#written;
  }

  async #push(isLast: boolean): Promise<void> {
    this.#gzip.push(this.#piece.subarray(0, this.#filled), isLast);
    this.#filled = 0;
    for (const bytes of this.#ready) this.#written += await writeAll(this.#file, bytes, this.#written);
    this.#ready = [];
  }
}
