import { spawnSync } from 'node:child_process';
import {
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import test from 'ava';
import sharp from 'sharp';
import { DataError, UsageError } from '../../runtime/errors.ts';
import { openDataset } from '../../runtime/train/data/dataset.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-data-'));

const red = { r: 200, g: 10, b: 30 };
const blue = { r: 10, g: 20, b: 220 };

function plain(background: object, width = 40, height = 30, channels: 3 | 4 = 3) {
  return sharp({ create: { width, height, channels, background } });
}

/** A photo-like image: noise makes the file long enough to be cut in the middle. */
function noisy() {
  const noise = { type: 'gaussian' as const, mean: 128, sigma: 40 };
  return sharp({ create: { width: 200, height: 150, channels: 3, background: red, noise } });
}

/** Lays out `class/file` entries in a new folder. */
async function layOut(name: string, files: Readonly<Record<string, Uint8Array | string>>): Promise<string> {
  const folder = join(root, name);
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(folder, path, '..'), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  return folder;
}

const redPng = await plain(red).png().toBuffer();
const blueJpeg = await plain(blue).jpeg({ quality: 100 }).toBuffer();
const noise = {
  jpg: await noisy().jpeg().toBuffer(),
  png: await noisy().png().toBuffer(),
  webp: await noisy().webp().toBuffer(),
};
test.after.always(() => rm(root, { recursive: true, force: true }));

const two = { 'cat/1.png': redPng, 'cat/2.png': redPng, 'dog/1.jpg': blueJpeg };

/** Whether every pixel of an image is this colour, give or take what JPEG and rounding change. */
function isNear(image: Uint8Array, { r, g, b }: typeof red, tolerance = 3): boolean {
  const expected = [r, g, b];
  return image.every((value, i) => Math.abs(value - (expected[i % 3] as number)) <= tolerance);
}

test('reads classes, labels, names and pixels, sorted by name whatever the case of the ending', async (t) => {
  const folder = await layOut('plain', {
    'dog/b.JPG': blueJpeg,
    'dog/a.jpeg': blueJpeg,
    'cat/x.PNG': redPng,
    'cat/y.webp': await plain(red).webp({ lossless: true }).toBuffer(),
    'cat/.hidden.png': 'ignored',
    'README.txt': 'ignored beside the classes',
  });
  const { dataset, skipped } = await openDataset(folder, { imageSize: 16 });
  t.deepEqual(skipped, []);
  t.deepEqual(dataset.classes, ['cat', 'dog']);
  t.is(dataset.imageSize, 16);
  t.deepEqual(
    [0, 1, 2, 3].map((i) => [basename(dataset.name(i)), dataset.label(i)]),
    [
      ['x.PNG', 0],
      ['y.webp', 0],
      ['a.jpeg', 1],
      ['b.JPG', 1],
    ],
  );
  const target = new Uint8Array(16 * 16 * 3);
  for (const i of [3, 0, 2, 1]) {
    t.is(await dataset.read(i, target), target);
    t.true(isNear(target, i < 2 ? red : blue), `image ${i}: ${target.subarray(0, 3)}`);
  }
  await dataset[Symbol.asyncDispose]();
});

test('grey, 16 bit, transparent, CMYK and rotated images all become upright RGB bytes', async (t) => {
  const grey16 = sharp(new Uint16Array(64 * 64).fill(0x8080), { raw: { width: 64, height: 64, channels: 1 } });
  const halves = await sharp({ create: { width: 40, height: 40, channels: 3, background: red } })
    .composite([{ input: { create: { width: 40, height: 20, channels: 3, background: blue } }, top: 20, left: 0 }])
    .png()
    .toBuffer();
  const folder = await layOut('kinds', {
    'a/cmyk.jpg': await plain(red).toColourspace('cmyk').jpeg({ quality: 100 }).toBuffer(),
    'a/grey.jpg': await plain({ r: 90, g: 90, b: 90 }).greyscale().jpeg({ quality: 100 }).toBuffer(),
    'a/grey16.png': await grey16.toColourspace('grey16').png().toBuffer(),
    'b/clear.png': await plain({ ...blue, alpha: 0 }, 40, 30, 4)
      .png()
      .toBuffer(),
    'b/turned.jpg': await sharp(halves).withMetadata({ orientation: 6 }).jpeg({ quality: 100 }).toBuffer(),
  });
  const { dataset } = await openDataset(folder, { imageSize: 8 });
  const [cmyk, grey, grey16bit, clear, turned] = await Promise.all([0, 1, 2, 3, 4].map((i) => dataset.read(i)));
  t.true((cmyk?.[0] ?? 0) > (cmyk?.[2] ?? 255), 'red stays red through CMYK');
  t.true(isNear(grey as Uint8Array, { r: 90, g: 90, b: 90 }));
  t.true(isNear(grey16bit as Uint8Array, { r: 128, g: 128, b: 128 }));
  t.true(isNear(clear as Uint8Array, { r: 255, g: 255, b: 255 }), 'transparent is white');
  // Orientation 6: the stored top is the right side. Red was on top, so it must be on the right.
  const pixel = (column: number) => [
    ...(turned as Uint8Array).subarray(3 * (8 * 4 + column), 3 * (8 * 4 + column) + 3),
  ];
  t.true(isNear(Uint8Array.from(pixel(7)), red, 12), `right ${pixel(7)}`);
  t.true(isNear(Uint8Array.from(pixel(0)), blue, 12), `left ${pixel(0)}`);
  await dataset[Symbol.asyncDispose]();
});

test('fit: fill stretches, cover cuts, contain sets on black', async (t) => {
  // Left third red, the rest blue, three times as wide as high.
  const wide = await sharp({ create: { width: 90, height: 30, channels: 3, background: blue } })
    .composite([{ input: { create: { width: 30, height: 30, channels: 3, background: red } }, top: 0, left: 0 }])
    .png()
    .toBuffer();
  const folder = await layOut('fit', { 'a/1.png': wide, 'b/1.png': wide });
  const look = async (fit: 'fill' | 'cover' | 'contain') => {
    const { dataset } = await openDataset(folder, { imageSize: 30, fit });
    const image = await dataset.read(0);
    await dataset[Symbol.asyncDispose]();
    return (row: number, column: number) => image.subarray(3 * (30 * row + column), 3 * (30 * row + column) + 3);
  };
  const fill = await look('fill');
  t.true(isNear(fill(1, 2), red) && isNear(fill(29, 25), blue));
  const cover = await look('cover');
  t.true(isNear(cover(1, 3), blue));
  const contain = await look('contain');
  t.true(isNear(contain(1, 15), { r: 0, g: 0, b: 0 }) && isNear(contain(15, 3), red) && isNear(contain(15, 25), blue));
});

const damaged = {
  ...two,
  'cat/cut.jpg': noise.jpg.subarray(0, noise.jpg.length >> 1),
  'cat/cut.png': noise.png.subarray(0, noise.png.length >> 1),
  'cat/cut.webp': noise.webp.subarray(0, noise.webp.length >> 1),
  'cat/empty.png': '',
  'cat/text.jpg': 'not an image',
  'dog/notes.txt': 'a text',
  'dog/more/1.png': redPng,
};
const damagedNames = ['cut.jpg', 'cut.png', 'cut.webp', 'empty.png', 'text.jpg', 'more', 'notes.txt'];

test('damaged and foreign files are named and skipped', async (t) => {
  const folder = await layOut('damaged', damaged);
  const { dataset, skipped } = await openDataset(folder, { imageSize: 16 });
  t.deepEqual(
    skipped.map(({ path }) => basename(path)),
    damagedNames,
  );
  t.true(
    skipped.every(({ path, reason }) => path.startsWith(folder) && reason.length > 5),
    JSON.stringify(skipped),
  );
  t.regex(skipped[0]?.reason ?? '', /premature end/);
  t.notRegex(skipped[1]?.reason ?? '', /jpeg/i, 'the reason is its own, not that of an image decoded beside it');
  t.is(dataset.samples, 3);
  t.true(isNear(await dataset.read(0), red) && isNear(await dataset.read(2), blue), 'no gap where files were skipped');
  await dataset[Symbol.asyncDispose]();
});

test('strict: the same files stop it, all in one error', async (t) => {
  const folder = await layOut('strict', damaged);
  const error = await t.throwsAsync(openDataset(folder, { imageSize: 16, strict: true }), { instanceOf: DataError });
  t.regex(error?.message ?? '', /: 7 files cannot be used \(strict\)\n/);
  for (const name of damagedNames) t.true(error?.message.includes(name), name);
  const sound = await openDataset(await layOut('sound', two), { imageSize: 16, strict: true });
  t.deepEqual(sound.skipped, []);
  await sound.dataset[Symbol.asyncDispose]();
});

for (const [what, files, message] of [
  ['an empty class', { ...two, 'bird/.keep': '' }, /class without an image \(.*\): bird\nHint: /],
  ['one class only', { 'cat/1.png': redPng }, /expected at least two classes but found one, "cat"\nHint: /],
  [
    'no images at all',
    { 'cat/a.txt': '', 'dog/b.txt': '' },
    /no images \(.*\) in any of its folders: cat, dog\nHint: /,
  ],
  ['no class folders', { '1.png': redPng }, /expected one folder a class but found none\nHint: /],
  ['a class of damaged files', { ...two, 'bird/1.jpg': 'x' }, /no image could be read of class bird\n {2}.*1\.jpg: /],
] as const) {
  test(`refuses a folder with ${what}`, async (t) => {
    const folder = await layOut(`bad ${what}`, files);
    const error = await t.throwsAsync(openDataset(folder, { imageSize: 16 }), { instanceOf: DataError, message });
    t.true(error?.message.startsWith(folder));
  });
}

test('refuses a missing folder, a file, and senseless numbers', async (t) => {
  const missing = openDataset(join(root, 'absent'), { imageSize: 16 });
  await t.throwsAsync(missing, {
    instanceOf: DataError,
    message: /expected a folder of images but found nothing\nHint: /,
  });
  const folder = await layOut('numbers', two);
  const file = openDataset(join(folder, 'cat/1.png'), { imageSize: 16 });
  await t.throwsAsync(file, { instanceOf: DataError, message: /but found a file/ });
  for (const bad of [{ imageSize: 0 }, { imageSize: 16, limit: 0 }, { imageSize: 16, threads: 1.5 }]) {
    await t.throwsAsync(openDataset(folder, bad), { instanceOf: UsageError });
  }
});

test('limit is balanced over the classes; classes choose and order; split names a subfolder', async (t) => {
  const names = ['1', '2', '3', '4', '5'];
  const files = Object.fromEntries(
    ['a', 'b', 'c'].flatMap((label) => names.map((name) => [`${label}/${name}.png`, redPng])),
  );
  const folder = await layOut('chosen', { ...files, 'c/6.png': redPng });
  const labels = async (path: string, options: object) => {
    const { dataset, skipped } = await openDataset(path, { imageSize: 8, ...options });
    await dataset[Symbol.asyncDispose]();
    return {
      labels: Array.from({ length: dataset.samples }, (_, i) => dataset.label(i)).join(''),
      skipped: skipped.length,
    };
  };
  t.deepEqual(await labels(folder, { limit: 7 }), { labels: '0001122', skipped: 0 });
  t.deepEqual(await labels(folder, { limit: 100 }), { labels: '0000011111222222', skipped: 0 });
  t.deepEqual(await labels(folder, { classes: ['c', 'a'] }), { labels: '00000011111', skipped: 1 });
  t.deepEqual(await labels(folder, { limit: 9, order: ['b', 'c', 'a'] }), { labels: '000111222', skipped: 0 });
  const { dataset } = await openDataset(folder, { imageSize: 8, order: ['b', 'c', 'a'] });
  t.deepEqual(dataset.classes, ['b', 'c', 'a']);
  await dataset[Symbol.asyncDispose]();
  const { dataset: sorted } = await openDataset(folder, { imageSize: 8, order: ['b', 'c', 'x'] });
  t.deepEqual(sorted.classes, ['a', 'b', 'c'], 'other names: sorted');
  await sorted[Symbol.asyncDispose]();
  await t.throwsAsync(labels(folder, { limit: 2 }), { instanceOf: UsageError, message: /each of 3 classes but got 2/ });
  await t.throwsAsync(labels(folder, { classes: ['a', 'z'] }), {
    instanceOf: DataError,
    message: /expected a folder for z but found a, b, c/,
  });
  await layOut('parts', {
    'train/a/1.png': redPng,
    'train/b/1.png': redPng,
    'test/a/1.png': redPng,
    'test/b/2.png': redPng,
  });
  t.is((await labels(join(root, 'parts'), { split: 'test' })).labels, '01');
});

test('links to class folders and images are followed', async (t) => {
  const folder = await layOut('linked', { 'cat/1.png': redPng });
  await symlink(join(folder, 'cat'), join(folder, 'dog'));
  await symlink(join(folder, 'nowhere.png'), join(folder, 'cat/2.png'));
  const { dataset, skipped } = await openDataset(folder, { imageSize: 8 });
  t.is(dataset.samples, 2);
  t.deepEqual(
    skipped.map(({ path }) => basename(path)),
    ['2.png', '2.png'],
  );
  await dataset[Symbol.asyncDispose]();
});

test('the store is one file of pixels, used again as long as nothing changed', async (t) => {
  const folder = await layOut('stored', { ...two, 'dog/bad.jpg': 'x' });
  const storeFolder = join(root, 'store');
  const progress: number[] = [];
  const open = async (options: object = {}) => {
    const onProgress = ({ done, total }: { done: number; total: number }) => progress.push(done / total);
    const opened = await openDataset(folder, { imageSize: 16, storeFolder, onProgress, ...options });
    const pixels = await Promise.all(Array.from({ length: opened.dataset.samples }, (_, i) => opened.dataset.read(i)));
    await opened.dataset[Symbol.asyncDispose]();
    return { reused: opened.reused, skipped: opened.skipped, pixels };
  };
  const pixelFiles = async () => (await readdir(storeFolder)).filter((name) => name.endsWith('.u8'));
  const first = await open();
  t.false(first.reused);
  t.is(progress.at(-1), 1);
  const files = await pixelFiles();
  t.is((await readFile(join(storeFolder, files[0] as string))).length, 3 * 16 * 16 * 3);
  t.is((await readdir(storeFolder)).length, 2, 'no part is left behind');

  progress.length = 0;
  t.deepEqual(await open(), { ...first, reused: true });
  t.deepEqual(progress, []);
  t.false((await open({ imageSize: 8 })).reused, 'another size');
  t.false((await open({ fit: 'cover' })).reused, 'another fit');

  await truncate(join(storeFolder, files[0] as string), 100);
  t.deepEqual(await open(), first, 'a cut store is built again');
  await utimes(join(folder, 'cat/1.png'), 1, 1);
  t.false((await open()).reused, 'a file was touched');
  await copyFile(join(folder, 'dog/1.jpg'), join(folder, 'dog/bad.jpg'));
  t.is((await open()).pixels.length, 4, 'the bad file was replaced');
});

test('a temporary store is gone after closing and after an error', async (t) => {
  const temporary = await mkdtemp(join(root, 'tmp-'));
  const script = `
    import { readdirSync } from 'node:fs';
    const { openDataset } = await import(process.argv[1]);
    const { dataset } = await openDataset(process.argv[2], { imageSize: 8 });
    const open = readdirSync(process.env.TMPDIR).length;
    await dataset[Symbol.asyncDispose]();
    const closed = readdirSync(process.env.TMPDIR).length;
    await openDataset(process.argv[3], { imageSize: 8, strict: true }).catch(() => undefined);
    console.log(JSON.stringify([open, closed, readdirSync(process.env.TMPDIR).length]));`;
  const module = new URL('../../runtime/train/data/dataset.js', import.meta.url).href;
  const folders = [await layOut('temporary', two), await layOut('temporary bad', damaged)];
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', script, module, ...folders], {
    env: { ...process.env, TMPDIR: temporary },
    encoding: 'utf8',
  });
  t.is(run.stdout.trim(), '[1,0,0]', run.stderr);
});

test('a set larger than the limit is checked, then decoded on demand, with the same pixels', async (t) => {
  const folder = await layOut('large', { ...two, 'dog/bad.jpg': noise.jpg.subarray(0, 900), 'dog/n.png': noise.png });
  const storeFolder = join(root, 'large-store');
  const pixels = async (maxStoreBytes: number) => {
    const { dataset, skipped, reused } = await openDataset(folder, { imageSize: 16, storeFolder, maxStoreBytes });
    const images = await Promise.all([0, 1, 2, 3].map((i) => dataset.read(i)));
    await dataset[Symbol.asyncDispose]();
    return { images, skipped, reused };
  };
  const onDemand = await pixels(1000);
  t.deepEqual(await readdir(storeFolder).then((names) => names.filter((name) => name.endsWith('.u8'))), []);
  t.is(onDemand.skipped.length, 1);
  t.deepEqual(await pixels(10 ** 6), onDemand);
  t.deepEqual(await pixels(1000), { ...onDemand, reused: true });
});

test('a full disk: a clear error, and nothing left behind', async (t) => {
  const mount = await mkdtemp(join(root, 'disk-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', mount]);
  if (mounted.status !== 0) {
    t.pass();
    t.log('skipped: a small tmpfs could not be mounted here (needs root)');
    return;
  }
  try {
    const images = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`${i % 2}/${i}.png`, redPng]));
    const folder = await layOut('disk images', images);
    const known = openDataset(folder, { imageSize: 64, storeFolder: mount, threads: 1 });
    await known.then(
      async ({ dataset }) => dataset[Symbol.asyncDispose](),
      () => undefined,
    );
    t.is((await readdir(mount)).length, 2, '40 images of 12 KiB fit');
    for (const name of await readdir(mount)) await rm(join(mount, name));
    await t.throwsAsync(openDataset(folder, { imageSize: 96, storeFolder: mount }), {
      instanceOf: DataError,
      message: /not enough disk for the decoded images, expected 1105920 bytes free but got \d+\nHint: /,
    });
    // It fits when it starts; then somebody else fills the disk.
    let filled = false;
    const onProgress = () => {
      if (!filled) spawnSync('dd', ['if=/dev/zero', `of=${join(mount, 'other')}`, 'bs=1k', 'count=600']);
      filled = true;
    };
    await t.throwsAsync(openDataset(folder, { imageSize: 64, storeFolder: mount, threads: 1, onProgress }), {
      instanceOf: DataError,
      message: /the disk is full while writing decoded images \(ENOSPC\)\nHint: /,
    });
    t.deepEqual(await readdir(mount), ['other']);
  } finally {
    spawnSync('umount', [mount]);
  }
});

test('decoding leaves the memory of this process alone', async (t) => {
  const big = await sharp({
    create: {
      width: 1500,
      height: 1000,
      channels: 3,
      background: red,
      noise: { type: 'gaussian', mean: 128, sigma: 30 },
    },
  })
    .jpeg()
    .toBuffer();
  const folder = await layOut(
    'big',
    Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`${i % 2}/${i}.jpg`, big])),
  );
  const script = `
    const { openDataset } = await import(process.argv[1]);
    globalThis.gc();
    const before = process.memoryUsage().rss;
    const { dataset } = await openDataset(process.argv[2], { imageSize: 224 });
    const image = new Uint8Array(224 * 224 * 3);
    for (let i = 0; i < dataset.samples; i++) await dataset.read(i, image);
    globalThis.gc();
    console.log((process.resourceUsage().maxRSS * 1024 - before) / 2 ** 20);
    await dataset[Symbol.asyncDispose]();`;
  const module = new URL('../../runtime/train/data/dataset.js', import.meta.url).href;
  const run = spawnSync(process.execPath, ['--expose-gc', '--input-type=module', '-e', script, module, folder], {
    encoding: 'utf8',
  });
  const grownMebibytes = Number(run.stdout);
  t.log(`40 photos of 1500 x 1000: peak grew by ${grownMebibytes.toFixed(1)} MiB`);
  t.true(grownMebibytes <= 16, `${grownMebibytes} MiB\n${run.stderr}`);
});
