import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { DataError, UsageError } from '../../runtime/errors.ts';
import { collectedClasses } from '../../runtime/train/collect/class-names.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-collect-classes-'));
test.after.always(() => rm(root, { recursive: true, force: true }));

async function folderWith(name: string, ...classes: string[]): Promise<string> {
  for (const inner of ['', ...classes]) await mkdir(join(root, name, inner), { recursive: true });
  return join(root, name);
}

test('given names come first, then the folders that are there, then the names of the model', async (t) => {
  const folder = await folderWith('order', 'dog', 'cat', '.cache');
  await writeFile(join(folder, 'notes.txt'), '');
  t.deepEqual(await collectedClasses(folder, ['owl', 'dog'], ['a', 'b']), ['owl', 'dog']);
  t.deepEqual(await collectedClasses(folder, null, ['a', 'b']), ['cat', 'dog']);
  t.deepEqual(await collectedClasses(join(root, 'new'), null, ['b', 'a']), ['b', 'a']);
  t.deepEqual(await collectedClasses(await folderWith('empty'), null, ['b', 'a']), ['b', 'a']);
});

for (const [given, message] of [
  [[], /expected at least two classes to collect but their names are not known\nHint: name all of them/],
  [['cat'], /expected at least two classes to collect but found one, "cat"/],
  [['cat', 'cat'], /^classes: expected names of folders\n {2}"cat" is there twice$/],
  [['cat', '../dog'], /"\.\.\/dog" has a slash/],
  [['cat', '.dog'], /"\.dog" begins with a dot/],
  [['cat', '..'], /"\.\." begins with a dot/],
  [['cat', ''], /"" is empty/],
  [['cat', 'a\0b'], /has a slash or a NUL/],
  [['cat', 'train'], /"train" is what the training part of a data set is called/],
  [['cat', 'é'.repeat(128)], /is longer than 255 bytes/],
  [['cat', '/', '.'], /has a slash.*\n.*begins with a dot/],
] as const) {
  test(`refused: ${JSON.stringify(given).slice(0, 40)}`, async (t) => {
    const folder = join(root, 'not-there');
    await t.throwsAsync(collectedClasses(folder, given, null), { instanceOf: UsageError, message });
    if (given.length > 0)
      await t.throwsAsync(collectedClasses(folder, null, given), { instanceOf: UsageError, message });
  });
}

test('one folder alone is refused rather than taken for all classes', async (t) => {
  const folder = await folderWith('one', 'cat');
  await t.throwsAsync(collectedClasses(folder, null, ['a', 'b']), {
    instanceOf: UsageError,
    message: /found one, "cat"/,
  });
});

test('folders that training would read in another way are refused', async (t) => {
  const parts = await folderWith('parts', 'train', 'test');
  await t.throwsAsync(collectedClasses(parts, ['a', 'b'], null), {
    instanceOf: DataError,
    message: /holds a part called "train".*\nHint: collect into .*parts\/train, and train with --data .*parts\./,
  });
  const idx = await folderWith('idx');
  for (const name of ['train-images-idx3-ubyte', 'train-labels-idx1-ubyte']) await writeFile(join(idx, name), '');
  await t.throwsAsync(collectedClasses(idx, ['a', 'b'], null), { instanceOf: DataError, message: /holds idx files/ });
  const file = join(root, 'file');
  await writeFile(file, '');
  await t.throwsAsync(collectedClasses(file, ['a', 'b'], null), {
    instanceOf: DataError,
    message: /file: expected a folder to collect into \(ENOTDIR/,
  });
});
