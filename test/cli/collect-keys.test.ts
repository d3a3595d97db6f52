/** Keys and lines of a file that label a collection. */
import { appendFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { openSource } from '../../runtime/adapt/streams/open-source.ts';
import { UsageError } from '../../runtime/errors.ts';
import { ClassFolders } from '../../runtime/train/collect/class-folders.ts';
import { Collector } from '../../runtime/train/collect/collector.ts';
import { collectKeys, collectLines } from '../../tools/cli/collect-labels.ts';
import { driftingImages } from '../support/adapt-cli.ts';
import { Pedal, pedalLibrary } from '../support/pedal.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-collect-keys-'));
const images = await driftingImages(join(root, 'images'), 5);
const classes = ['cat', 'dog'];
const keep = 16;
const never = new AbortController().signal;
test.after.always(() => rm(root, { recursive: true, force: true }));

async function openCollector(name: string): Promise<Collector> {
  const folders = await ClassFolders.open(join(root, name), classes);
  return new Collector({ folders, imageSize: 16, keep, perClass: null });
}

const openImages = () => openSource({ kind: 'folder', folder: images, imageSize: 16 });

async function counts(name: string): Promise<Record<string, number>> {
  const found = await readdir(join(root, name), { recursive: true });
  return Object.fromEntries(classes.map((of) => [of, found.filter((path) => path.startsWith(`${of}/`)).length]));
}

test('a press labels the frame that is shown, at once; undo takes back what is on the disk, long afterwards', async (t) => {
  const pedal = new Pedal();
  const said: string[] = [];
  const collector = await openCollector('keys');
  const flags = { labelKeys: 'a=cat,b=dog,c=undo,d=skip' };
  const keys = await collectKeys(flags, { classes, keep }, collector, (text) => said.push(text), pedalLibrary(pedal));
  const presses = ['e', 'c', 'a', 'b', 'c', 'a', 'd', 'b', 'a'] as const;
  const heard: string[] = [];
  const pressed = (async () => {
    for (const letter of presses) {
      // Longer than a contact bounces.
      await delay(60);
      pedal.press(letter);
      heard.push(letter);
      await delay(20);
      await collector.settled();
      if (heard.join('') === 'ecab') t.deepEqual(await counts('keys'), { cat: 1, dog: 1 }, 'on the disk at once');
    }
  })();
  const result = await collector.run(await openImages(), {
    signal: never,
    onEvent: (event) => {
      if (event.kind === 'frame') keys?.show(event.frame.index);
    },
    onDrained: async () => keys?.[Symbol.asyncDispose](),
  });
  await pressed;
  t.deepEqual(said, ['key e: idle', 'key c: idle']);
  t.like(result, { ended: 'source', images: { cat: 3, dog: 1 }, labelled: 4, undone: 1 });
  t.like(keys?.counts(), { labels: { given: 5, undone: 1, held: 0, idle: 2 } });
  t.false(pedal.isOpen);
});

test('keys of a collection are checked like those of an adaptation; skip is one of the things they can do', async (t) => {
  const collector = await openCollector('refused');
  const open = (flags: Record<string, string>) =>
    collectKeys(flags, { classes, keep }, collector, () => t.fail(), pedalLibrary(new Pedal()));
  t.is(await open({}), null);
  await t.throwsAsync(open({ labelKeys: 'a=cow' }), { instanceOf: UsageError, message: /"a=cow": expected the class/ });
  await t.throwsAsync(open({ labelKeys: 'a=skip,b=undo' }), {
    instanceOf: UsageError,
    message: /a key for at least one/,
  });
  await t.throwsAsync(open({ labelDevice: 'P1' }), { instanceOf: UsageError, message: /needs --label-keys/ });
});

test('closing the lines takes those that were appended shortly before', async (t) => {
  const collector = await openCollector('lines');
  const path = join(root, 'labels.jsonl');
  const lines = collectLines(path, collector);
  const result = await collector.run(await openImages(), {
    signal: never,
    onEvent: (event) => {
      if (event.kind === 'frame') void appendFile(path, `{"frame": ${event.frame.index}, "class": "dog"}\n`);
    },
    onDrained: async () => {
      await appendFile(path, '{"name": "0004.png", "class": "cat"}\nno label\n');
      await lines[Symbol.asyncDispose]();
    },
  });
  t.like(result, { images: { cat: 1, dog: 4 }, labelled: 5, labels: { invalid: 1 } });
  t.deepEqual(await counts('lines'), { cat: 1, dog: 4 });
});
