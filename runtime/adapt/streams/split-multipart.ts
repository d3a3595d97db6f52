/**
 * @file Splits MJPEG as cameras send it: parts between boundary lines (RFC 2046, section 5.1), each with header lines.
 *
 * A Content-Length that fits is used, so that a frame is given at once and not when the next one begins; one that does not
 * fit is passed over.
 */

import { DataError } from '../../errors.ts';
import type { ByteReader } from './byte-reader.ts';
import type { Piece } from './split.ts';

/** Longest line that is taken for a boundary or a header. */
const mostLineBytes = 8192;
const mostHeaders = 100;
const newline = 0x0a;
const carriageReturn = 0x0d;

/** @throws DataError if there is no boundary line at the start, or no end of a part within the reader's limit */
export async function* splitMultipart(reader: ByteReader): AsyncGenerator<Piece> {
  const boundary = await readFirstBoundary(reader);
  if (boundary === null) return;
  const delimiter = Buffer.from(`\n${boundary}`, 'latin1');
  for (;;) {
    const length = await readHeaders(reader);
    if (length === 'ended') return;
    const bytes = (await takeStated(reader, length, delimiter)) ?? (await takeUntil(reader, delimiter));
    if (bytes) yield pieceOf(bytes);
    else {
      // The stream ended without a boundary; the last part may be whole all the same.
      const ending = /(\r?\n)?$/.exec(reader.text(Math.max(0, reader.length - 2), 2))?.[0] ?? '';
      const rest = reader.take(reader.length - ending.length);
      yield endsAsImage(rest) ? { kind: 'image', bytes: rest } : { kind: 'damaged', reason: 'truncated' };
      return;
    }
    if (!(await skipTo(reader, delimiter))) return;
    reader.skip(1);
    if ((await readLine(reader)) === `${boundary}--`) return;
  }
}

function pieceOf(bytes: Uint8Array): Piece {
  return bytes.length > 0 ? { kind: 'image', bytes } : { kind: 'damaged', reason: 'empty' };
}

async function readFirstBoundary(reader: ByteReader): Promise<string | null> {
  for (let line = await readLine(reader); line !== null; line = await readLine(reader)) {
    if (line === '') continue;
    if (line.startsWith('--') && line.length > 2) return line;
    throw new DataError(
      `${reader.name}: expected MJPEG to begin with a boundary line ("--name") but got ${JSON.stringify(line.slice(0, 40))}`,
    );
  }
  return null;
}

/** The part's Content-Length, null without one. */
async function readHeaders(reader: ByteReader): Promise<number | null | 'ended'> {
  let length: number | null = null;
  for (let count = 0; count < mostHeaders; count += 1) {
    const line = await readLine(reader);
    if (line === null) return 'ended';
    if (line === '') break;
    const stated = /^content-length:\s*(\d+)\s*$/i.exec(line);
    if (stated) length = Number(stated[1]);
  }
  return length;
}

/** The part's bytes by its stated length, null if that length does not fit. */
async function takeStated(reader: ByteReader, length: number | null, delimiter: Buffer): Promise<Uint8Array | null> {
  if (length === null || length === 0 || length > reader.limitBytes || !(await reader.fill(length))) return null;
  const boundary = reader.indexOf(delimiter, 0);
  if (boundary >= 0 && boundary < length) return null;
  // Bytes that end as an image does are one; of others the boundary says where they end.
  const tail = Buffer.from(reader.text(length - Math.min(length, 8), 8), 'latin1');
  return endsAsImage(tail) ? reader.take(length) : null;
}

/** The part's bytes up to the next boundary line, null if the stream ends before. */
async function takeUntil(reader: ByteReader, delimiter: Buffer): Promise<Uint8Array | null> {
  for (let from = 0; ; ) {
    const found = reader.indexOf(delimiter, from);
    if (found >= 0) {
      return reader.take(found > 0 && reader.byte(found - 1) === carriageReturn ? found - 1 : found);
    }
    from = Math.max(0, reader.length - delimiter.length + 1);
    if (!(await reader.fill(reader.length + 1))) return null;
  }
}

async function skipTo(reader: ByteReader, delimiter: Buffer): Promise<boolean> {
  for (;;) {
    const found = reader.indexOf(delimiter, 0);
    reader.skip(found >= 0 ? found : Math.max(0, reader.length - delimiter.length + 1));
    if (found >= 0) return true;
    if (!(await reader.fill(reader.length + 1))) return false;
  }
}

/** The next line without its end, cut where it is too long; null at the end of the stream. */
async function readLine(reader: ByteReader): Promise<string | null> {
  for (let from = 0; from < mostLineBytes; ) {
    const found = reader.indexOf(newline, from);
    if (found >= 0) {
      const line = reader.text(0, found).replace(/\r$/, '');
      reader.skip(found + 1);
      return line;
    }
    from = reader.length;
    if (!(await reader.fill(reader.length + 1))) return null;
  }
  const line = reader.text(0, mostLineBytes);
  reader.skip(mostLineBytes);
  return line;
}

/** JPEG's end marker, or the type and checksum of PNG's last chunk. */
const imageEnds = [Buffer.from([0xff, 0xd9]), Buffer.from('IEND\xae\x42\x60\x82', 'latin1')];

function endsAsImage(bytes: Uint8Array): boolean {
  return imageEnds.some((end) => Buffer.compare(bytes.subarray(Math.max(0, bytes.length - end.length)), end) === 0);
}
