/** Labelled frames of real streams as an image folder: every byte of them, whatever is taken back, and on a full disk. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { Readable } from 'node:stream';
import test from 'ava';
import * as fc from 'fast-check';
import sharp from 'sharp';
import { openSource } from '../../runtime/adapt/streams/open-source.ts';
import { DataError } from '../../runtime/errors.ts';
import { ClassFolders } from '../../runtime/train/collect/class-folders.ts';
import { type CollectEvent, Collector } from '../../runtime/train/collect/collector.ts';
import { openDataset } from '../../runtime/train/data/dataset.ts';
import { driftingImages } from '../support/adapt-cli.ts';
import { noiseImage } from '../support/noise-images.ts';
import { mountSmallDisk } from '../support/train-disk.ts';

const SEED = 20261121;
const SIDE = 16;
const FRAMES = 6;
const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-collect-'));
const frames = await driftingImages(join(root, 'frames'), FRAMES);
const files = (await readdir(frames)).sort().map((name) => join(frames, name));
const encoded = await Promise.all(files.map((path) => readFile(path)));
const classes = ['cat', 'dog', 'owl'];
const never = new AbortController().signal;
test.after.always(() => rm(root, { recursive: true, force: true }));

let folders = 0;
const newFolder = (): string => join(root, `folder-${folders++}`);

const pixelsOf = (path: string): Promise<Buffer> => sharp(path).raw().toBuffer();

async function openCollector(folder: string, { keep = 16, perClass = null as number | null, imageSize = SIDE } = {}) {
  return new Collector({ folders: await ClassFolders.open(folder, classes), imageSize, keep, perClass });
}

/** A live source of all frames. */
const stream = () =>
  openSource({ kind: 'stream', name: 'frames', stream: Readable.from(encoded), imageSize: SIDE, format: 'images' });

/** Class and frame of every image of a folder, such as `cat/2`; anything else that is there is named as it is. */
async function imagesIn(folder: string): Promise<string[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  const names = found.map(({ parentPath, name }) => {
    const index = /^\d{8}T\d{6}\.\d{3}Z-\d+-(\d{6})\.png$/.exec(name)?.[1];
    return index === undefined ? name : `${basename(parentPath)}/${Number(index)}`;
  });
  return names.sort();
}

test('a labelled frame is saved with the pixels that the model would see, and trained on with them', async (t) => {
  const folder = newFolder();
  const collector = await openCollector(folder);
  const source = await openSource({ kind: 'command', command: `cat ${files.join(' ')}`, imageSize: SIDE });
  const paths = new Map<string, number>();
  const onEvent = (event: CollectEvent): void => {
    if (event.kind === 'frame') collector.add({ frame: event.frame.index, class: classes[event.frame.index % 3] });
    if (event.kind === 'saved') paths.set(event.path, event.frame.index);
  };
  const result = await collector.run(source, { signal: never, onEvent });
  t.like(result, { ended: 'source', images: { cat: 2, dog: 2, owl: 2 }, labelled: 6, undone: 0 });
  t.deepEqual(await imagesIn(folder), [...classes, 'cat/0', 'cat/3', 'dog/1', 'dog/4', 'owl/2', 'owl/5'].sort());
  t.deepEqual(
    [...paths.keys()].map((path) => basename(path)).sort(),
    [...paths.keys()].map((path) => basename(path)),
  );
  const { dataset, skipped } = await openDataset(folder, { imageSize: SIDE });
  await using _ = dataset;
  t.deepEqual(skipped, []);
  for (let sample = 0; sample < dataset.samples; sample++) {
    const index = paths.get(dataset.name(sample)) as number;
    t.is(dataset.classes[dataset.label(sample)], classes[index % 3]);
    t.deepEqual(Buffer.from(await dataset.read(sample)), await pixelsOf(files[index] as string));
  }
});

test('the last label of a frame counts; what is taken back is gone, and the class that had nothing else', async (t) => {
  const folder = newFolder();
  const collector = await openCollector(folder);
  const steps: Readonly<Record<number, () => void>> = {
    0: () => collector.add({ frame: 0, class: 'cat' }),
    1: () => collector.add({ frame: 1, class: 1 }),
    2: () => {
      collector.add({ frame: 2, class: 'cat' });
      collector.add({ frame: 2, class: 'owl' });
    },
    3: () => t.true(collector.takeBack(), 'frame 2 is a cat again'),
    4: () => {
      collector.add({ frame: 4, class: 'dog' });
      collector.add({ frame: 4, class: 'dog' });
      t.true(collector.takeBack(), 'the same label twice is one');
    },
  };
  const onEvent = (event: CollectEvent): void => {
    if (event.kind === 'frame') steps[event.frame.index]?.();
  };
  const result = await collector.run(await stream(), { signal: never, onEvent });
  t.like(result, { images: { cat: 2, dog: 1, owl: 0 }, labelled: 3, undone: 2 });
  t.deepEqual(await imagesIn(folder), ['cat', 'cat/0', 'cat/2', 'dog', 'dog/1']);
  t.deepEqual(
    await pixelsOf(join(folder, 'cat', (await readdir(join(folder, 'cat'))).sort()[1] as string)),
    await pixelsOf(files[2] as string),
  );
  for (let n = 0; n < 3; n++) t.true(collector.takeBack());
  t.false(collector.takeBack());
  await collector.settled();
  t.deepEqual(await imagesIn(folder), []);
});

const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ frame: fc.nat(FRAMES - 1), class: fc.nat(classes.length - 1) }) },
  { weight: 2, arbitrary: fc.constant(null) },
);

test('labels and undos in any order: the folder is what the labels that are left say', async (t) => {
  const property = fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
    const folder = newFolder();
    const collector = await openCollector(folder);
    const stack: { frame: number; class: number }[] = [];
    const onEvent = (event: CollectEvent): void => {
      if (event.kind !== 'frame' || event.frame.index !== FRAMES - 1) return;
      for (const taken of steps) {
        if (taken === null) t.is(collector.takeBack(), stack.pop() !== undefined);
        else {
          collector.add(taken);
          const before = stack.findLast(({ frame }) => frame === taken.frame);
          if (before?.class !== taken.class) stack.push(taken);
        }
      }
    };
    const result = await collector.run(await stream(), { signal: never, onEvent });
    const last = new Map(stack.map((label) => [label.frame, classes[label.class] as string]));
    const expected = [...last].map(([frame, name]) => `${name}/${frame}`);
    t.deepEqual(await imagesIn(folder), [...new Set(last.values()), ...expected].sort());
    t.deepEqual(
      Object.values(result.images),
      classes.map((name) => [...last.values()].filter((of) => of === name).length),
    );
  });
  t.log(`seed ${SEED}`);
  await fc.assert(property, { seed: SEED, numRuns: 40 });
});

test('images of a folder wait for a label or a skip; a label that is taken back brings its image back', async (t) => {
  const folder = newFolder();
  const collector = await openCollector(folder);
  const shown: number[] = [];
  const label = (name: string) => () => collector.add({ frame: shown.at(-1) as number, class: name });
  const answers = [
    ...[label('cat'), () => collector.skip(), label('dog'), () => collector.takeBack(), label('owl')],
    ...[label('cat'), () => collector.addText('{"name": "0004.png", "class": "dog"}'), () => collector.skip()],
  ];
  const onEvent = (event: CollectEvent): void => {
    if (event.kind !== 'frame') return;
    shown.push(event.frame.index);
    setImmediate(answers[shown.length - 1] ?? (() => t.fail(`frame ${event.frame.index} came once too often`)));
  };
  const source = await openSource({ kind: 'folder', folder: frames, imageSize: SIDE });
  const result = await collector.run(source, { signal: never, onEvent });
  t.deepEqual(shown, [0, 1, 2, 3, 2, 3, 4, 5]);
  t.like(result, { ended: 'source', labelled: 4, undone: 1 });
  t.deepEqual(await imagesIn(folder), ['cat', 'cat/0', 'cat/3', 'dog', 'dog/4', 'owl', 'owl/2']);
});

test('a signal ends it while an image waits', async (t) => {
  const stop = new AbortController();
  const collector = await openCollector(newFolder());
  const source = await openSource({ kind: 'folder', folder: frames, imageSize: SIDE });
  const result = await collector.run(source, { signal: stop.signal, onEvent: () => setImmediate(() => stop.abort()) });
  t.like(result, { ended: 'signal', labelled: 0, source: { seen: 1 } });
});

test('it ends when each class has enough, with what earlier sessions left', async (t) => {
  const folder = newFolder();
  for (const name of ['dog', 'owl']) {
    await mkdir(join(folder, name), { recursive: true });
    for (const n of [1, 2])
      await noiseImage(4, 4, n)
        .png()
        .toFile(join(folder, name, `${n}.png`));
  }
  const collector = await openCollector(folder, { perClass: 2 });
  const source = await openSource({ kind: 'folder', folder: frames, imageSize: SIDE });
  const onEvent = (event: CollectEvent): void => {
    if (event.kind === 'frame') collector.add({ frame: event.frame.index, class: 'cat' });
  };
  const result = await collector.run(source, { signal: never, onEvent });
  t.like(result, { ended: 'enough', images: { cat: 2, dog: 2, owl: 2 } });
  const again = await openCollector(folder, { perClass: 2 });
  t.like(await again.run(await stream(), { signal: never }), { ended: 'enough', labelled: 0 });
});

test('labels that cannot be joined change nothing and are counted', async (t) => {
  const folder = newFolder();
  const collector = await openCollector(folder, { keep: 2 });
  const onEvent = (event: CollectEvent): void => {
    if (event.kind !== 'frame' || event.frame.index !== 4) return;
    t.is(collector.addText('{"frame": 0, "class": "cat"}'), 'forgotten');
    t.is(collector.addText('{"frame": 5, "class": "cat"}'), 'early');
    t.is(collector.addText('{"name": "frames:3", "class": "dog"}'), 'joined');
    for (const line of ['no JSON', 'null', '{"frame": 4, "class": "cow"}', '{"class": "cat"}']) {
      t.is(collector.addText(line), 'invalid');
    }
    t.throws(() => collector.add({ frame: 4, class: 3 }), { instanceOf: DataError, message: /"class" to be/ });
  };
  const { labels } = await collector.run(await stream(), { signal: never, onEvent });
  t.like(labels, { used: 1, early: 1, forgotten: 1, invalid: 5 });
  t.deepEqual(await imagesIn(folder), ['dog', 'dog/3']);
});

test('images that are there are never replaced; what a killed process left half-written is removed', async (t) => {
  const folder = newFolder();
  const pixels = await pixelsOf(files[0] as string);
  const before = await ClassFolders.open(folder, classes);
  const { path } = await before.write('same', 0, pixels, SIDE);
  await writeFile(`${path}.4194304.tmp`, 'half');
  const after = await ClassFolders.open(folder, classes);
  t.deepEqual(after.counts(), [1, 0, 0]);
  const other = await after.write('same', 0, await pixelsOf(files[1] as string), SIDE);
  const moved = await after.move('same', await after.write('same', 1, pixels, SIDE), 0);
  t.deepEqual(
    [path, other.path, moved.path].map((name) => basename(name)),
    ['same.png', 'same-2.png', 'same-3.png'],
  );
  t.deepEqual((await readdir(join(folder, 'cat'))).sort(), ['same-2.png', 'same-3.png', 'same.png']);
  t.deepEqual(await pixelsOf(path), pixels);
  t.deepEqual(after.counts(), [3, 0, 0]);
});

test('a full disk ends it with an error, and leaves whole images only', async (t) => {
  const disk = await mountSmallDisk(root, '96k');
  if (disk === null) {
    t.log('skipped: no tmpfs can be mounted here');
    return t.pass();
  }
  t.teardown(() => disk.unmount());
  const side = 96;
  const collector = await openCollector(disk.path, { imageSize: side });
  const noise = await Promise.all([1, 2, 3, 4, 5, 6].map((seed) => noiseImage(side, side, seed).png().toBuffer()));
  const source = await openSource({ kind: 'stream', name: 'noise', stream: Readable.from(noise), imageSize: side });
  const onEvent = (event: CollectEvent): void => {
    if (event.kind === 'frame') collector.add({ frame: event.frame.index, class: 'owl' });
  };
  await t.throwsAsync(collector.run(source, { signal: never, onEvent }), {
    instanceOf: DataError,
    message: /cannot write ".*owl\/.*\.png": .*\n.*the disk is full/,
  });
  const names = await readdir(join(disk.path, 'owl'));
  t.true(names.length >= 1 && names.length < noise.length, `${names.length} images`);
  for (const name of names) t.is((await pixelsOf(join(disk.path, 'owl', name))).length, side * side * 3);
});

test('a folder that cannot be written to is refused before the first frame', async (t) => {
  const file = join(root, 'file');
  await writeFile(file, '');
  await t.throwsAsync(ClassFolders.open(file, classes), { instanceOf: DataError, message: /cannot write/ });
  await t.throwsAsync(ClassFolders.open(join(file, 'in'), classes), { instanceOf: DataError, message: /cannot write/ });
});
