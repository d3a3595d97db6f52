import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import test from 'ava';
import { DataError } from '../../runtime/errors.ts';
import { openDataset } from '../../runtime/train/data/dataset.ts';
import { readIdx } from '../../runtime/train/data/idx.ts';

const folder = await mkdtemp(join(tmpdir(), 'edgeshift-test-idx-'));
test.after.always(() => rm(folder, { recursive: true, force: true }));

function idx(shape: readonly number[], values: ArrayLike<number>, type = 0x08): Buffer {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header[2] = type;
  header[3] = shape.length;
  for (const [axis, extent] of shape.entries()) header.writeUInt32BE(extent, 4 + 4 * axis);
  return Buffer.concat([header, Buffer.from(Uint8Array.from(values))]);
}

async function write(name: string, content: Uint8Array): Promise<string> {
  const path = join(folder, name);
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, content);
  return path;
}

const values = Array.from({ length: 3 * 4 * 5 }, (_, i) => (7 * i) % 256);

test('reads plain and gzip files, whole and the first items only', async (t) => {
  for (const path of [
    await write('a', idx([3, 4, 5], values)),
    await write('a.gz', gzipSync(idx([3, 4, 5], values))),
  ]) {
    t.deepEqual(await readIdx(path, 3), { shape: [3, 4, 5], data: Uint8Array.from(values) });
    t.deepEqual(await readIdx(path, 3, 2), { shape: [2, 4, 5], data: Uint8Array.from(values.slice(0, 40)) });
    t.deepEqual((await readIdx(path, 3, 9)).shape, [3, 4, 5]);
  }
});

test('a file that comes in many pieces is joined in order', async (t) => {
  const many = Uint8Array.from({ length: 300_000 }, (_, i) => (i * i) % 251);
  const { data } = await readIdx(await write('long.gz', gzipSync(idx([300_000], many))), 1);
  t.true(Buffer.from(data).equals(many));
});

for (const [what, content, message] of [
  [
    'two wrong first bytes',
    Buffer.from('PK\x03\x04 this is a zip file'),
    /expected two zero bytes first but got 0x504b0304/,
  ],
  ['float values', idx([3, 4, 5], values, 0x0d), /expected type 0x08 \(unsigned byte\) but got type 0x0d/],
  ['one dimension too few', idx([60], values), /expected 3 dimensions but got 1/],
  ['no items', idx([0, 4, 5], []), /expected extents above 0 but got 0 x 4 x 5/],
  ['an absurd header', idx([2 ** 31, 2 ** 20, 5], []), /expected at most 4294967296 values/],
  ['missing values', idx([3, 4, 5], values.slice(0, 59)), /truncated, expected 60 values but got 59\nHint: /],
  ['half a header', Buffer.from([0, 0, 8, 3, 0]), /truncated, expected a header of 16 bytes but got 5/],
  ['nothing', Buffer.alloc(0), /truncated, expected a header of 16 bytes but got 0/],
] as const) {
  test(`refuses an idx file with ${what}`, async (t) => {
    for (const [end, bytes] of [
      ['', content],
      ['.gz', gzipSync(content)],
    ] as const) {
      const path = await write(`bad ${what}${end}`, bytes);
      const error = await t.throwsAsync(readIdx(path, 3), { instanceOf: DataError, message });
      t.true(error?.message.startsWith(path));
    }
  });
}

test('refuses a truncated or false gzip file and a missing one', async (t) => {
  const zipped = gzipSync(idx([3, 4, 5], values));
  const cut = await write('cut.gz', zipped.subarray(0, zipped.length >> 1));
  await t.throwsAsync(readIdx(cut, 3), {
    instanceOf: DataError,
    message: /cut\.gz: .*(unexpected end of file|truncated)/,
  });
  const not = await write('not.gz', idx([3, 4, 5], values));
  await t.throwsAsync(readIdx(not, 3), { instanceOf: DataError, message: /not\.gz: .*incorrect header check/ });
  await t.throwsAsync(readIdx(join(folder, 'absent.gz'), 3), {
    instanceOf: DataError,
    message: /absent\.gz: .*ENOENT/,
  });
});

test('an idx data set is grey in three channels, resized, and labelled', async (t) => {
  const path = join(folder, 'set');
  const images = Array.from({ length: 4 * 6 * 6 }, (_, i) => 40 * Math.floor(i / 36));
  await write('set/train-images-idx3-ubyte.gz', gzipSync(idx([4, 6, 6], images)));
  await write('set/train-labels-idx1-ubyte.gz', gzipSync(idx([4], [3, 1, 3, 0])));
  const { dataset, skipped } = await openDataset(path, { imageSize: 8 });
  t.deepEqual(skipped, []);
  t.is(dataset.samples, 4);
  t.deepEqual(dataset.classes, ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
  t.deepEqual([0, 1, 2, 3].map(dataset.label), [3, 1, 3, 0]);
  for (const i of [0, 1, 2, 3]) t.true((await dataset.read(i)).every((value) => value === 40 * i));
  t.regex(dataset.name(2), /train-images-idx3-ubyte\.gz, image 2$/);
  await dataset[Symbol.asyncDispose]();

  await t.throwsAsync(openDataset(path, { imageSize: 8, split: 'test' }), {
    instanceOf: DataError,
    message: /without its test part: expected t10k-images-idx3-ubyte\.gz but found /,
  });
  await t.throwsAsync(openDataset(path, { imageSize: 8, classes: ['a', 'b', 'c'] }), {
    instanceOf: DataError,
    message: /expected labels below 3 \(the classes named\) but got 3/,
  });
  await t.throwsAsync(openDataset(path, { imageSize: 8, limit: 1 }), {
    instanceOf: DataError,
    message: /expected at least two classes but all 1 samples are "3"/,
  });
  await write('set/train-labels-idx1-ubyte.gz', gzipSync(idx([5], [3, 1, 3, 0, 1])));
  await t.throwsAsync(openDataset(path, { imageSize: 8 }), {
    instanceOf: DataError,
    message: /expected as many images as labels \(5\) but got 4/,
  });
  await write('set/train-images-idx3-ubyte.gz', gzipSync(idx([5, 6, 6], images)));
  await t.throwsAsync(openDataset(path, { imageSize: 8 }), {
    instanceOf: DataError,
    message: /truncated, expected 180 values/,
  });
});

const fashion = '/usr/share/datasets/fashion-mnist';
if (existsSync(fashion)) {
  test('Fashion-MNIST: the first 300 of each part at 96 px', async (t) => {
    for (const split of ['train', 'test'] as const) {
      const { dataset } = await openDataset(fashion, { imageSize: 96, split, limit: 300 });
      t.is(dataset.samples, 300);
      const labels = Array.from({ length: 5 }, (_, i) => dataset.label(i));
      t.deepEqual(labels, split === 'train' ? [9, 0, 0, 3, 0] : [9, 2, 1, 1, 6]);
      const image = await dataset.read(0);
      t.is(image.length, 96 * 96 * 3);
      t.true(image.some((value) => value > 200));
      t.true(
        image.every((value, i) => value === image[i - (i % 3)]),
        'three equal channels',
      );
      await dataset[Symbol.asyncDispose]();
    }
  });
} else {
  test.skip('Fashion-MNIST: skipped, the Debian package dataset-fashion-mnist is not installed', () => undefined);
}
