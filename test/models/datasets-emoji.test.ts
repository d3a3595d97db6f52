import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import sharp from 'sharp';
import { ensureEmoji } from '../../models/datasets/emoji.ts';
import { emojiClasses, emojiStyles, loadEmojiCatalog, sourceStyles } from '../../models/datasets/emoji-catalog.ts';
import { splitEmoji } from '../../models/datasets/emoji-split.ts';
import { DataError } from '../../runtime/errors.ts';

const classNames = Object.keys(emojiClasses).sort();
const small = { size: 16, trainIds: 20, testIds: 16 };

async function withCache(run: (cache: string) => Promise<void>): Promise<void> {
  const cache = await mkdtemp(join(tmpdir(), 'edgeshift-emoji-'));
  try {
    await run(cache);
  } finally {
    await rm(cache, { recursive: true, force: true });
  }
}

/** `<class>/<style>-<hexcode>.png` of every image in an image folder. */
async function images(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return files.map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1)).sort();
}

async function folderHash(folder: string): Promise<string> {
  const hash = createHash('sha256');
  for (const image of await images(folder)) hash.update(image).update(await readFile(join(folder, image)));
  return hash.digest('hex');
}

function hexcode(image: string): string {
  const style = emojiStyles.find((name) => image.split('/')[1]?.startsWith(`${name}-`) && name !== 'noto') ?? 'noto';
  return image.split(`/${style}-`)[1]?.replace('.png', '') ?? '';
}

test('catalog: 16 classes, every emoji in six styles, no drawing used twice', (t) => {
  const catalog = loadEmojiCatalog();
  t.log(`${catalog.length} emoji`);
  t.true(catalog.length >= 641);
  t.deepEqual([...new Set(catalog.map((icon) => icon.className))].sort(), classNames);
  t.is(classNames.length, 16);
  t.is(new Set(catalog.map((icon) => icon.hexcode)).size, catalog.length);
  const named = new Map(catalog.map((icon) => [icon.label, icon.className]));
  t.is(named.get('tiger'), 'mammal');
  t.is(named.get('taxi'), 'vehicle');
  t.is(named.get('grapes'), 'produce');
});

test('split: 381 and 260 ids, disjoint, every class in both, the same every time', (t) => {
  const catalog = loadEmojiCatalog();
  const split = splitEmoji(catalog, 381, 260);
  const train = split.train.map((icon) => icon.hexcode);
  const test = split.test.map((icon) => icon.hexcode);
  t.is(new Set(train).size, 381);
  t.is(new Set(test).size, 260);
  t.is(new Set([...train, ...test]).size, 641);
  t.deepEqual([...new Set(split.train.map((icon) => icon.className))].sort(), classNames);
  t.deepEqual([...new Set(split.test.map((icon) => icon.className))].sort(), classNames);
  const again = splitEmoji([...catalog].reverse(), 381, 260);
  t.deepEqual(
    again.train.map((icon) => icon.hexcode),
    train,
  );
  t.notDeepEqual(
    splitEmoji(catalog, 381, 260, 'another seed').train.map((icon) => icon.hexcode),
    train,
  );
  t.throws(() => splitEmoji(catalog, 5000, 260), { instanceOf: DataError, message: /5000 \+ 260 ids were asked for/ });
});

test('folders: four styles in train, one image an id in test, streams only when asked for', async (t) => {
  await withCache(async (cache) => {
    const { train, test, streams } = await ensureEmoji(cache, small);
    t.deepEqual(streams, {});
    const trainImages = await images(train);
    const testImages = await images(test);
    t.is(trainImages.length, 20 * sourceStyles.length);
    t.is(testImages.length, 16);
    const trainIds = new Set(trainImages.map(hexcode));
    t.is(trainIds.size, 20);
    t.true(testImages.every((image) => !trainIds.has(hexcode(image))));
    t.deepEqual(await readdir(join(train, '..')), ['stamp.json', 'test', 'train']);

    const withStream = await ensureEmoji(cache, { ...small, streams: ['openmoji'] });
    t.deepEqual(Object.keys(withStream.streams), ['openmoji']);
    const streamImages = await images(withStream.streams.openmoji ?? '');
    t.deepEqual(streamImages.map(hexcode).sort(), testImages.map(hexcode).sort());
    const image = sharp(join(train, trainImages[0] ?? ''));
    const { width, height, channels } = await image.metadata();
    t.deepEqual({ width, height, channels }, { width: 16, height: 16, channels: 3 });
    const { dominant } = await image.stats();
    t.truthy(dominant);
  });
});

test('the same images every time; an older or half-made cache is replaced', async (t) => {
  await withCache(async (cache) => {
    const first = await ensureEmoji(cache, small);
    const hash = await folderHash(first.train);
    const again = await ensureEmoji(join(cache, 'again'), small);
    t.is(await folderHash(again.train), hash);

    await writeFile(join(first.train, '..', 'stamp.json'), 'older');
    await writeFile(join(first.train, 'stray.png'), '');
    await ensureEmoji(cache, small);
    t.is(await folderHash(first.train), hash);
    t.deepEqual(
      (await readdir(cache)).filter((name) => name.endsWith('.tmp')),
      [],
    );
  });
});

test('the background is white', async (t) => {
  await withCache(async (cache) => {
    const { train } = await ensureEmoji(cache, small);
    let whiteCorners = 0;
    const paths = await images(train);
    for (const path of paths) {
      const { data } = await sharp(join(train, path)).raw().toBuffer({ resolveWithObject: true });
      if (data[0] === 255 && data[1] === 255 && data[2] === 255) whiteCorners++;
    }
    t.true(whiteCorners > paths.length / 2, `${whiteCorners} of ${paths.length}`);
  });
});

test('options out of range, and a cache that cannot be written', async (t) => {
  await t.throwsAsync(ensureEmoji(tmpdir(), { size: 0 }), {
    instanceOf: DataError,
    message: /size must be a whole number/,
  });
  await withCache(async (cache) => {
    await writeFile(join(cache, 'file'), '');
    await t.throwsAsync(ensureEmoji(join(cache, 'file'), small), {
      instanceOf: DataError,
      message: /cannot be rendered/,
    });
  });
});
