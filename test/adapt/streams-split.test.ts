import { Readable } from 'node:stream';
import test from 'ava';
import * as fc from 'fast-check';
import { ByteReader } from '../../runtime/adapt/streams/byte-reader.ts';
import { type Piece, type RawSize, type StreamFormat, split } from '../../runtime/adapt/streams/split.ts';
import { DataError } from '../../runtime/errors.ts';
import { noiseImage } from '../support/noise-images.ts';

type Format = Exclude<StreamFormat, 'raw'> | RawSize;

const jpeg = await noiseImage(24, 16, 1).jpeg().toBuffer();
const png = await noiseImage(9, 7, 2).png().toBuffer();
const progressive = await noiseImage(40, 40, 3).jpeg({ progressive: true }).toBuffer();

/** A JPEG that holds another one whole in an application segment, as cameras keep their thumbnails. */
function withThumbnail(outer: Buffer, thumbnail: Buffer): Buffer {
  const head = Buffer.from([0xff, 0xe1, 0, 0]);
  head.writeUInt16BE(thumbnail.length + 2, 2);
  return Buffer.concat([outer.subarray(0, 2), head, thumbnail, outer.subarray(2)]);
}

/** A JPEG with restart markers: its one scan is cut, and a marker set in; only the structure is looked at here. */
function withRestartMarkers(image: Buffer): Buffer {
  const interval = Buffer.from([0xff, 0xdd, 0, 4, 0, 1]);
  const middle = image.length - 20;
  const parts = [image.subarray(0, 2), interval, image.subarray(2, middle), Buffer.from([0xff, 0xd0])];
  return Buffer.concat([...parts, image.subarray(middle)]);
}

async function splitChunks(chunks: readonly Uint8Array[], format: Format = 'auto', limitBytes = 2 ** 20) {
  const pieces: Piece[] = [];
  const reader = new ByteReader('camera', Readable.from(chunks), limitBytes);
  for await (const piece of split(reader, format)) pieces.push(piece);
  return pieces;
}

/** Short words for pieces, so that whole streams can be compared: the number of an image among those known. */
function told(pieces: readonly Piece[], known: readonly Buffer[]): string {
  const words = pieces.map((piece) => {
    if (piece.kind === 'garbage') return `garbage ${piece.length}`;
    if (piece.kind === 'damaged') return piece.reason;
    return `image ${known.findIndex((image) => image.equals(piece.bytes))}`;
  });
  return words.join(', ');
}

function cutAt(bytes: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [...ends, bytes.length].map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end));
}

test('jpeg and png one after the other: every place of a chunk boundary, and bytes one by one', async (t) => {
  const known = [jpeg, png];
  const stream = Buffer.concat([jpeg, png, jpeg]);
  for (let place = 0; place <= stream.length; place += 1) {
    const pieces = await splitChunks([stream.subarray(0, place), stream.subarray(place)]);
    if (told(pieces, known) !== 'image 0, image 1, image 0') t.fail(`cut at ${place}: ${told(pieces, known)}`);
  }
  const bytes = Array.from(stream, (byte) => Uint8Array.of(byte));
  t.is(told(await splitChunks(bytes), known), 'image 0, image 1, image 0');
});

test('random images, garbage and chunk boundaries', async (t) => {
  const known = [jpeg, png, progressive, withThumbnail(jpeg, jpeg), withRestartMarkers(jpeg)];
  // Bytes that begin no image and end none.
  const garbage = fc.uint8Array({ minLength: 1, maxLength: 40 }).map((bytes) => bytes.map((byte) => byte & 0x7f));
  const part = fc.record({ before: fc.option(garbage), image: fc.nat({ max: known.length - 1 }) });
  const stream = fc.record({ parts: fc.array(part, { maxLength: 6 }), cuts: fc.array(fc.nat(), { maxLength: 12 }) });
  const property = fc.asyncProperty(stream, async ({ parts, cuts }) => {
    const bytes = Buffer.concat(
      parts.flatMap(({ before, image }) => [before ?? Buffer.alloc(0), known[image] as Buffer]),
    );
    const expected = parts.flatMap(({ before, image }) =>
      before ? [`garbage ${before.length}`, `image ${image}`] : [`image ${image}`],
    );
    const found = told(await splitChunks(cutAt(bytes, cuts), 'images'), known);
    if (found !== expected.join(', ')) throw new Error(`expected ${expected.join(', ')} but got ${found}`);
  });
  await t.notThrowsAsync(fc.assert(property, { numRuns: 200 }));
});

test('restart markers, stuffed bytes and thumbnails do not end an image', async (t) => {
  const fine = await noiseImage(64, 64, 4).jpeg({ quality: 100, optimiseCoding: false }).toBuffer();
  t.true(fine.includes(Buffer.from([0xff, 0x00])), 'the image has stuffed bytes');
  const known = [withThumbnail(jpeg, jpeg), withRestartMarkers(jpeg), progressive, fine];
  t.is(told(await splitChunks(known), known), 'image 0, image 1, image 2, image 3');
});

for (const [name, image, next] of [
  ['jpeg before jpeg', jpeg, jpeg],
  ['jpeg before png', jpeg, png],
  ['png before jpeg', png, jpeg],
  ['png before png', png, png],
] as const) {
  test(`an image cut anywhere costs no other: ${name}`, async (t) => {
    const known = [image, next];
    // Less than a PNG's signature is no image; a JPEG cut in its first segment leaves one that is whole from there on.
    for (let place = image === png ? 8 : 20; place < image.length; place += 1) {
      const pieces = await splitChunks([image.subarray(0, place), next, next], 'images');
      const images = pieces.filter(({ kind }) => kind === 'image');
      const damaged = pieces.filter(({ kind }) => kind === 'damaged');
      const whole = images.every((piece) => piece.kind === 'image' && next.equals(piece.bytes));
      if (images.length !== 2 || damaged.length !== 1 || !whole) t.fail(`cut at ${place}: ${told(pieces, known)}`);
    }
    t.pass();
  });
}

test('the last image cut anywhere is told as truncated', async (t) => {
  for (const image of [jpeg, png]) {
    for (let place = 8; place < image.length; place += 1) {
      const found = told(await splitChunks([image, image.subarray(0, place)]), [image]);
      if (!/^image 0, truncated$/.test(found)) t.fail(`cut at ${place}: ${found}`);
    }
  }
  t.pass();
});

test('empty streams, and streams of nothing but garbage', async (t) => {
  for (const format of ['auto', 'images', 'multipart', { width: 4, height: 4 }] as const) {
    t.deepEqual(await splitChunks([], format), []);
    t.deepEqual(await splitChunks([new Uint8Array(0)], format), []);
  }
  t.is(told(await splitChunks([Buffer.from('no image at all')]), []), 'garbage 15');
});

test('a stream without an end of an image is an error within bounds', async (t) => {
  const endless = async function* (first: Uint8Array) {
    yield first;
    for (;;) yield Buffer.alloc(4096, 0x55);
  };
  const read = async (first: Uint8Array, format: Format) => {
    const pieces: Piece[] = [];
    for await (const piece of split(new ByteReader('camera', endless(first), 2 ** 16), format)) pieces.push(piece);
  };
  const scan = jpeg.subarray(0, -2);
  await t.throwsAsync(read(scan, 'images'), {
    instanceOf: DataError,
    message: /^camera: no end of an image within 65536/,
  });
  await t.throwsAsync(read(Buffer.from('x'), 'images'), {
    instanceOf: DataError,
    message: /^camera: no JPEG or PNG image within 65536/,
  });
  const part = Buffer.from('--b\r\n\r\n');
  await t.throwsAsync(read(part, 'multipart'), {
    instanceOf: DataError,
    message: /^camera: no end of an image within 65536/,
  });
});

const part = (image: Buffer, headers: string) => [
  Buffer.from(`--frame\r\n${headers}\r\n\r\n`),
  image,
  Buffer.from('\r\n'),
];

for (const [name, headers] of [
  ['Content-Length', (image: Buffer) => `Content-Type: image/jpeg\r\nContent-Length: ${image.length}`],
  ['no Content-Length', () => 'Content-Type: image/jpeg'],
  ['Content-Length too short', (image: Buffer) => `Content-Length: ${image.length - 3}`],
  ['Content-Length too long', (image: Buffer) => `Content-Length: ${image.length + 30}`],
] as const) {
  test(`multipart, ${name}: every place of a chunk boundary`, async (t) => {
    const known = [jpeg, png];
    const parts = [jpeg, png, jpeg].flatMap((image) => part(image, headers(image)));
    const stream = Buffer.concat([...parts, Buffer.from('--frame--\r\n')]);
    for (let place = 0; place <= stream.length; place += 1) {
      const found = told(await splitChunks([stream.subarray(0, place), stream.subarray(place)]), known);
      if (found !== 'image 0, image 1, image 0') t.fail(`cut at ${place}: ${found}`);
    }
    t.pass();
  });
}

test('multipart: a frame of stated length comes before the next boundary does', async (t) => {
  const source = new Readable({ read() {} });
  const pieces = split(new ByteReader('camera', source, 2 ** 20), 'auto');
  for (const bytes of part(jpeg, `Content-Length: ${jpeg.length}`).slice(0, 2)) source.push(bytes);
  const { value } = await pieces.next();
  t.is(told([value as Piece], [jpeg]), 'image 0');
  source.push(null);
  t.true((await pieces.next()).done);
});

test('multipart: cut streams, empty parts and a missing boundary line', async (t) => {
  const whole = Buffer.concat(part(jpeg, 'Content-Type: image/jpeg'));
  t.is(told(await splitChunks([whole.subarray(0, -2)]), [jpeg]), 'image 0', 'no boundary after the last image');
  t.is(told(await splitChunks([whole, whole.subarray(0, -40)]), [jpeg]), 'image 0, truncated');
  t.is(told(await splitChunks([...part(Buffer.alloc(0), 'A: b'), whole]), [jpeg]), 'empty, image 0');
  await t.throwsAsync(splitChunks([jpeg], 'multipart'), {
    instanceOf: DataError,
    message: /^camera: expected MJPEG to begin with a boundary line/,
  });
});

test('raw frames are cut by their size', async (t) => {
  const bytes = Buffer.from(Uint8Array.from({ length: 2 * 3 * 3 * 2 + 5 }, (_, i) => i));
  const pieces = await splitChunks(cutAt(bytes, [1, 19, 20]), { width: 2, height: 3 });
  t.is(told(pieces, [bytes.subarray(0, 18), bytes.subarray(18, 36)]), 'image 0, image 1, truncated');
});
