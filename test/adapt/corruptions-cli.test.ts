import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import sharp from 'sharp';
import { corrupt } from '../../runtime/adapt/corruptions/corrupt.ts';
import type { CorruptionNotice } from '../../runtime/adapt/corruptions/corrupt-folder.ts';
import { corruptionNames, extraCorruptionNames } from '../../runtime/adapt/corruptions/names.ts';
import { openDataset } from '../../runtime/train/data/dataset.ts';
import { edgeshift, lastJson } from '../support/train-cli.ts';
import { mountSmallDisk } from '../support/train-disk.ts';
import { toyImages } from '../support/train-images.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-corrupt-'));
const data = await toyImages(join(root, 'images'), { classes: 2, perClass: 3 });
test.after.always(() => rm(root, { recursive: true, force: true }));

async function corrupts(t: ExecutionContext, args: readonly string[]) {
  const result = await edgeshift(['corrupt', ...args]);
  t.is(result.code, 0, result.stderr);
  return result;
}

const noticeOf = async (out: string) =>
  JSON.parse(await readFile(join(out, 'corruptions.json'), 'utf8')) as CorruptionNotice;

test('writes every corruption as an image folder, each image as `corrupt` makes it', async (t) => {
  const out = join(root, 'all');
  const { stdout, stderr } = await corrupts(t, [
    '--data',
    data,
    '--out',
    out,
    '--corruption',
    'all,extra',
    '--seed',
    '7',
  ]);
  t.regex(stdout, /6 images of 40 px under 19 corruptions, strengths of CIFAR-C\nfrost: textures are procedural/);
  t.is(stderr.match(/5: 6 images in/g)?.length, 19);
  const names = [...corruptionNames, ...extraCorruptionNames];
  t.deepEqual((await readdir(out)).sort(), [...names, 'corruptions.json'].sort());
  const { classes, sets, versions } = await noticeOf(out);
  t.deepEqual(classes, ['class-0', 'class-1']);
  t.deepEqual(
    sets.map(({ corruption }) => corruption),
    names,
  );
  t.true(typeof versions.sharp === 'string');
  t.like(sets[0], { severity: 5, seed: 7, images: 6, imageSize: 40, table: 'CIFAR-C', parameters: 0.1 });
  t.regex(sets.find(({ corruption }) => corruption === 'frost')?.note ?? '', /procedural/);

  await using clean = (await openDataset(data, { imageSize: 40 })).dataset;
  for (const corruption of ['shot_noise', 'jpeg_compression'] as const) {
    await using made = (await openDataset(join(out, corruption, '5'), { imageSize: 40 })).dataset;
    t.is(made.samples, 6);
    for (let index = 0; index < 6; index++) {
      const expected = await corrupt(await clean.read(index), 40, { corruption, severity: 5, seed: 7, index });
      t.deepEqual(await made.read(index), expected, `${corruption}, ${made.name(index)}`);
      t.is(made.label(index), clean.label(index));
    }
  }
});

test('severities, limit and side; --force replaces sets of the same name and keeps the others', async (t) => {
  const out = join(root, 'some');
  const common = ['--data', data, '--out', out, '--limit', '4', '--image-size', '80'];
  const first = await corrupts(t, [...common, '--corruption', 'contrast,fog', '--severity', '1,3', '--json']);
  t.like(lastJson(first), { out, skipped: 0 });
  t.deepEqual(await readdir(join(out, 'fog', '3', 'class-1')), ['0.png', '1.png']);
  const { width, height, channels } = await sharp(join(out, 'fog', '3', 'class-1', '0.png')).metadata();
  t.deepEqual([width, height, channels], [80, 80, 3]);

  const refused = await edgeshift(['corrupt', ...common, '--json']);
  t.is(refused.code, 1);
  t.regex(refused.stderr, /some: expected an empty or a new folder but found 3 entries.*\nHint: .*--force/);

  await writeFile(join(out, 'fog', '3', 'class-1', 'stale.png'), '');
  await corrupts(t, [...common, '--corruption', 'fog', '--severity', '3', '--seed', '2', '--force']);
  t.deepEqual(await readdir(join(out, 'fog', '3', 'class-1')), ['0.png', '1.png']);
  const { sets } = await noticeOf(out);
  t.deepEqual(
    sets.map(({ corruption, severity, seed, table }) => [corruption, severity, seed, table]),
    [
      ['contrast', 1, 1, 'ImageNet-C'],
      ['contrast', 3, 1, 'ImageNet-C'],
      ['fog', 1, 1, 'ImageNet-C'],
      ['fog', 3, 2, 'ImageNet-C'],
    ],
  );
  await writeFile(join(out, 'corruptions.json'), '{"sets": 3}');
  const damaged = await edgeshift(['corrupt', ...common, '--force']);
  t.is(damaged.code, 1);
  t.regex(damaged.stderr, /corruptions\.json: expected the notice of corrupted sets/);
});

test('idx files: the test part at their own side, one folder a label', async (t) => {
  const folder = join(root, 'idx');
  await mkdir(folder);
  const header = (type: number, ...extents: number[]) => {
    const bytes = Buffer.alloc(4 + 4 * extents.length);
    bytes.set([0, 0, 8, type]);
    for (const [axis, extent] of extents.entries()) bytes.writeUInt32BE(extent, 4 + 4 * axis);
    return bytes;
  };
  const pixels = Buffer.from(Uint8Array.from({ length: 3 * 12 * 12 }, (_, i) => i % 251));
  await writeFile(join(folder, 't10k-images-idx3-ubyte'), Buffer.concat([header(3, 3, 12, 12), pixels]));
  await writeFile(join(folder, 't10k-labels-idx1-ubyte'), Buffer.concat([header(1, 3), Buffer.from([4, 0, 4])]));
  const out = join(root, 'from-idx');
  const { stdout } = await corrupts(t, ['--data', folder, '--out', out, '--corruption', 'pixelate']);
  t.regex(stdout, /3 images of 12 px under one corruption, strengths of CIFAR-C/);
  t.deepEqual(await readdir(join(out, 'pixelate', '5', '4')), ['00000.png', '00002.png']);
  t.deepEqual(await readdir(join(out, 'pixelate', '5', '0')), ['00001.png']);
  const train = await edgeshift(['corrupt', '--data', folder, '--out', join(root, 'none'), '--split', 'train']);
  t.is(train.code, 1);
  t.regex(train.stderr, /without its train part/);
});

test('two files of one name and files that are no images', async (t) => {
  const folder = join(root, 'twins');
  for (const name of ['a', 'b']) {
    await mkdir(join(folder, name), { recursive: true });
    await copyFile(join(data, 'class-0', '0.png'), join(folder, name, 'x.png'));
    await sharp(join(data, 'class-0', '1.png'))
      .jpeg()
      .toFile(join(folder, name, 'x.jpg'));
  }
  await writeFile(join(folder, 'a', 'notes.txt'), 'hello');
  const out = join(root, 'from-twins');
  const { stderr } = await corrupts(t, ['--data', folder, '--out', out, '--corruption', 'contrast']);
  t.regex(stderr, /skipped .*notes\.txt: not an image/);
  t.deepEqual(await readdir(join(out, 'contrast', '5', 'a')), ['x.png', 'x.png.png']);
});

test('refuses wrong options before anything is written', async (t) => {
  const out = join(root, 'refused');
  const both = ['--data', data, '--out', out];
  const wrong: readonly (readonly [number, RegExp, ...string[]])[] = [
    [2, /corrupt needs --data <folder> and --out <folder>/, '--data', data],
    [
      2,
      /unknown corruption "rain": expected one of gaussian_noise, [\s\S]*saturate/,
      ...both,
      '--corruption',
      'fog,rain',
    ],
    [2, /--corruption must name at least one/, ...both, '--corruption', ','],
    [2, /--severity must be 1 to 5.*"6"/, ...both, '--severity', '1,6'],
    [2, /seed must be a whole number: 1.5/, ...both, '--seed', '1.5'],
    [2, /side must be a whole number from 8: -3/, ...both, '--image-size', '-3'],
    [2, /--split must be one of train, test: "valid"/, ...both, '--split', 'valid'],
    [1, /absent.*(ENOENT|found nothing)/, '--data', join(root, 'absent'), '--out', out],
    [1, /images\.txt/, '--data', data, '--out', join(root, 'images.txt')],
  ];
  await writeFile(join(root, 'images.txt'), 'a file');
  for (const [code, message, ...args] of wrong) {
    const result = await edgeshift(['corrupt', ...args]);
    t.is(result.code, code, `${args.join(' ')}\n${result.stderr}`);
    t.regex(result.stderr, message);
    t.notRegex(result.stderr, /\n\s+at /, 'no stack: it is not a fault of the program');
  }
  await t.throwsAsync(readdir(out), { code: 'ENOENT' });
});

test('a full disk: finished sets stay and are noted, the one under way is removed', async (t) => {
  const disk = await mountSmallDisk(root, '128k');
  if (!disk) {
    t.log('skipped: a small tmpfs cannot be mounted here (needs root)');
    t.pass();
    return;
  }
  try {
    const out = join(disk.path, 'out');
    const args = ['--data', data, '--out', out, '--corruption', 'contrast,pixelate,gaussian_noise,shot_noise,spatter'];
    const result = await edgeshift(['corrupt', ...args, '--severity', '1,2,3,4,5']);
    t.is(result.code, 1);
    t.regex(result.stderr, /cannot write ".*out.*": .*/);
    t.notRegex(result.stderr, /\n\s+at /);
    const { sets } = await noticeOf(out);
    t.true(sets.length > 0 && sets.length < 25, `${sets.length} sets`);
    const folders = (await readdir(out, { recursive: true })).filter((path) => /^\w+\/\d$/.test(path));
    t.deepEqual(folders.sort(), sets.map(({ corruption, severity }) => join(corruption, `${severity}`)).sort());
  } finally {
    disk.unmount();
  }
});
