/**
 * @file Reads idx files, plain or gzip: the format of MNIST and its relatives.
 *
 * Header: two zero bytes, a type byte (0x08 = unsigned byte), the number of dimensions, then each extent as a
 * big-endian 32-bit number; the values follow, row-major. Source: yann.lecun.com/exdb/mnist.
 */

import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { DataError } from '../../errors.ts';

export interface Idx {
  /** The first extent is cut to the limit, if there was one. */
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/** Files of one part of an idx data set. */
export interface IdxFiles {
  readonly images: string;
  readonly labels: string;
}

/** No value follows beyond this in any sane file; a larger product is a damaged header. */
const largestBytes = 2 ** 32;

/**
 * Reads an idx file of unsigned bytes.
 *
 * @param dimensions Number of dimensions it must have: 3 for images, 1 for labels.
 * @param limit Reads the first items only; null reads all. The rest of the file is not looked at.
 * @throws DataError for a wrong magic number, type or number of dimensions, and for a file that ends early.
 */
export async function readIdx(path: string, dimensions: number, limit: number | null = null): Promise<Idx> {
  const file = createReadStream(path);
  const stream: Readable = path.endsWith('.gz') ? file.pipe(createGunzip()) : file;
  // pipe() does not hand errors on; the reader below waits on the unzipped side alone.
  if (stream !== file) file.on('error', (error) => stream.destroy(error));
  try {
    return await collect(stream, path, dimensions, limit);
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    throw new DataError(
      `${path}: cannot read the idx file (${cause instanceof Error ? cause.message : String(cause)})`,
      { path },
      { cause },
    );
  } finally {
    stream.destroy();
    file.destroy();
  }
}

async function collect(stream: Readable, path: string, dimensions: number, limit: number | null): Promise<Idx> {
  const headerBytes = 4 + 4 * dimensions;
  const header = Buffer.alloc(headerBytes);
  let shape: readonly number[] = [];
  let data = new Uint8Array(0);
  let position = 0;
  for await (const piece of stream) {
    const chunk = piece as Buffer;
    const inHeader = Math.min(chunk.length, Math.max(0, headerBytes - position));
    chunk.copy(header, position, 0, inHeader);
    if (inHeader > 0 && position + inHeader === headerBytes) {
      shape = parseHeader(header, path, dimensions, limit);
      data = new Uint8Array(shape.reduce((product, extent) => product * extent, 1));
    }
    position += inHeader;
    if (position >= headerBytes) {
      const at = position - headerBytes;
      const body = chunk.subarray(inHeader, inHeader + Math.max(0, data.length - at));
      data.set(body, at);
      position += body.length;
      if (position === headerBytes + data.length) return { shape, data };
    }
  }
  const expected = position < headerBytes ? `a header of ${headerBytes} bytes` : `${data.length} values`;
  const found = position < headerBytes ? position : position - headerBytes;
  throw new DataError(`${path}: truncated, expected ${expected} but got ${found}\nHint: fetch the file again.`, {
    path,
    expected,
    found,
  });
}

function parseHeader(header: Buffer, path: string, dimensions: number, limit: number | null): number[] {
  const refuse = (expected: string, actual: string): never => {
    throw new DataError(
      `${path}: not an idx file of ${dimensions} dimensions: expected ${expected} but got ${actual}`,
      {
        path,
        expected,
        actual,
      },
    );
  };
  if (header.readUInt16BE(0) !== 0) refuse('two zero bytes first', `0x${header.toString('hex', 0, 4)}`);
  if (header[2] !== 0x08) refuse('type 0x08 (unsigned byte)', `type 0x${header.toString('hex', 2, 3)}`);
  if (header[3] !== dimensions) refuse(`${dimensions} dimensions`, `${header[3]}`);
  const shape = Array.from({ length: dimensions }, (_, axis) => header.readUInt32BE(4 + 4 * axis));
  if (shape.includes(0)) refuse('extents above 0', shape.join(' x '));
  shape[0] = Math.min(shape[0] as number, limit ?? Number.POSITIVE_INFINITY);
  const bytes = shape.reduce((product, extent) => product * extent, 1);
  if (bytes > largestBytes) refuse(`at most ${largestBytes} values`, shape.join(' x '));
  return shape;
}

/** Name of the files of each part, as the MNIST family has them; some mirrors write a dot for the dash. */
const partNames = { train: 'train', test: '(?:t10k|test)' } as const;

/** Finds the idx files of a part in a folder; null if the folder holds none of any part. */
export async function findIdx(folder: string, split: 'train' | 'test'): Promise<IdxFiles | null> {
  const names = (await readdir(folder)).sort();
  if (!names.some((name) => /-(images|labels)[-.]idx\d-ubyte(\.gz)?$/.test(name))) return null;
  const find = (what: string) => {
    const pattern = new RegExp(`^${partNames[split]}-${what}-ubyte(\\.gz)?$`);
    const name = names.find((candidate) => pattern.test(candidate));
    if (name !== undefined) return join(folder, name);
    const usual = `${split === 'train' ? 'train' : 't10k'}-${what.replace('[-.]', '-')}-ubyte.gz`;
    throw new DataError(
      `${folder}: an idx data set without its ${split} part: expected ${usual} but found ${names.join(', ')}`,
      { folder, expected: usual, found: names },
    );
  };
  return { images: find('images[-.]idx3'), labels: find('labels[-.]idx1') };
}
