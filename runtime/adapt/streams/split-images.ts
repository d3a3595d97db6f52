/**
 * @file Splits JPEG and PNG files that follow each other without a separator.
 *
 * Ends are found by the formats' own structure, not by searching for end marks: a JPEG's segments (ITU-T T.81, annex B)
 * carry lengths, so that a thumbnail inside of one is stepped over, and its coded data holds 0xff only as stuffed 0xff00 or
 * as a restart marker; a PNG (W3C, second edition, section 5) is a row of chunks with lengths. After a broken image the
 * search goes on within it, since the image that cut it off may begin there.
 */

import { DataError } from '../../errors.ts';
import type { ByteReader } from './byte-reader.ts';
import type { Piece } from './split.ts';

const jpegStart = Uint8Array.of(0xff, 0xd8, 0xff);
const pngStart = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

type Extent =
  | { readonly kind: 'whole'; readonly length: number }
  /** The search for the next image begins at `resumeAt`. */
  | { readonly kind: 'broken'; readonly reason: string; readonly resumeAt: number };

/** @throws DataError if there is no image, or no end of one, within the reader's limit */
export async function* splitImages(reader: ByteReader): AsyncGenerator<Piece> {
  let garbage = 0;
  let damaged = false;
  for (;;) {
    const passed = await findStart(reader);
    garbage += passed.length;
    // What follows a broken image is for the most part its rest.
    if (garbage > 0 && !damaged) yield { kind: 'garbage', length: garbage };
    if (passed.ended) return;
    garbage = 0;
    const extent = reader.startsWith(pngStart) ? await pngExtent(reader) : await jpegExtent(reader);
    damaged = extent.kind === 'broken';
    if (extent.kind === 'whole') yield { kind: 'image', bytes: reader.take(extent.length) };
    else {
      yield { kind: 'damaged', reason: extent.reason };
      reader.skip(extent.resumeAt);
    }
  }
}

/** Drops what comes before the next start of an image; gives how many bytes that were. */
async function findStart(reader: ByteReader): Promise<{ readonly length: number; readonly ended: boolean }> {
  let length = 0;
  for (;;) {
    const more = await reader.fill(pngStart.length);
    const found = firstStart(reader);
    // The last bytes may be the first of a signature that is still to come.
    const passed = found >= 0 ? found : more ? reader.length - pngStart.length + 1 : reader.length;
    reader.skip(passed);
    length += passed;
    if (found >= 0) return { length, ended: false };
    if (!more) return { length, ended: true };
    if (length > reader.limitBytes) {
      throw new DataError(
        `${reader.name}: no JPEG or PNG image within ${reader.limitBytes} bytes\n` +
          'Hint: raw pixels need their size; of video only MJPEG can be read, other codecs need a command that decodes them.',
        { source: reader.name, limitBytes: reader.limitBytes },
      );
    }
  }
}

function firstStart(reader: ByteReader): number {
  if (reader.startsWith(jpegStart) || reader.startsWith(pngStart)) return 0;
  const found = [reader.indexOf(jpegStart, 0), reader.indexOf(pngStart, 0)].filter((offset) => offset >= 0);
  return found.length > 0 ? Math.min(...found) : -1;
}

const code = { end: 0xd9, start: 0xd8, scan: 0xda, standalone: 0x01 };
/** Application data and comments. */
const mayHoldImages = (marker: number) => (marker >= 0xe0 && marker <= 0xef) || marker === 0xfe;
const isRestart = (marker: number) => marker >= 0xd0 && marker <= 0xd7;

async function jpegExtent(reader: ByteReader): Promise<Extent> {
  let offset = 2;
  // The segment before the one that cannot be; from the first coded data on, that data, since it has no length to trust.
  let resumeAt = 2;
  let scanned = false;
  for (;;) {
    if (!(await reader.fill(offset + 2))) return { kind: 'broken', reason: 'truncated', resumeAt };
    const marker = reader.byte(offset + 1);
    if (reader.byte(offset) !== 0xff || (marker < 0xc0 && marker !== code.standalone)) {
      return { kind: 'broken', reason: 'broken JPEG structure', resumeAt };
    }
    if (marker === code.start) return { kind: 'broken', reason: 'truncated', resumeAt: offset };
    if (marker === code.end) {
      // A PNG that cut this image off reads as its coded data until an end mark turns up by chance.
      const other = scanned ? reader.indexOf(pngStart, resumeAt) : -1;
      if (other >= 0 && other < offset) return { kind: 'broken', reason: 'truncated', resumeAt: other };
      return { kind: 'whole', length: offset + 2 };
    }
    if (marker === 0xff) offset += 1;
    else if (isRestart(marker) || marker === code.standalone) offset += 2;
    else {
      if (!scanned) resumeAt = offset;
      if (!(await reader.fill(offset + 4))) return { kind: 'broken', reason: 'truncated', resumeAt };
      const next = offset + 2 + reader.uint16(offset + 2);
      const other = mayHoldImages(marker) ? -1 : await startWithin(reader, offset + 2, next);
      if (other >= 0) return { kind: 'broken', reason: 'truncated', resumeAt: other };
      offset = next;
      if (marker !== code.scan) continue;
      scanned = true;
      offset = await scanEnd(reader, offset);
      if (offset < 0) return { kind: 'broken', reason: 'truncated', resumeAt };
    }
  }
}

/** Where a JPEG begins that cut off the segment in [from, to), which holds tables or the head of a frame or scan; -1 for none. */
async function startWithin(reader: ByteReader, from: number, to: number): Promise<number> {
  await reader.fill(to + 3);
  const found = reader.indexOf(jpegStart, from);
  return found >= 0 && found < to && reader.byte(found + 3) >= 0xc0 ? found : -1;
}

/** The first marker after coded data that begins at `offset`; -1 if the stream ends before it. */
async function scanEnd(reader: ByteReader, offset: number): Promise<number> {
  for (let at = offset; ; ) {
    const found = reader.indexOf(0xff, at);
    at = found >= 0 ? found : Math.max(at, reader.length);
    if (!(await reader.fill(at + 2))) return -1;
    if (found < 0) continue;
    const next = reader.byte(at + 1);
    if (next === 0xff) at += 1;
    else if (next === 0 || isRestart(next)) at += 2;
    else return at;
  }
}

async function pngExtent(reader: ByteReader): Promise<Extent> {
  for (let offset = pngStart.length; ; ) {
    const broken = (reason: string): Extent => ({ kind: 'broken', reason, resumeAt: offset });
    if (!(await reader.fill(offset + 8))) return broken('truncated');
    const length = reader.uint32(offset);
    const type = reader.text(offset + 4, 4);
    const expected = offset === pngStart.length ? /^IHDR$/ : /^[A-Za-z]{4}$/;
    if (!expected.test(type) || length > reader.limitBytes) return broken('broken PNG structure');
    // Length, type and checksum take 12 bytes.
    const next = offset + 12 + length;
    if (!(await reader.fill(next))) return broken('truncated');
    // Without its checksum, a chunk that was cut off would take in the start of the next image.
    if (reader.crc32(offset + 4, length + 4) !== reader.uint32(next - 4)) return broken('broken PNG checksum');
    if (type === 'IEND') return { kind: 'whole', length: next };
    offset = next;
  }
}
