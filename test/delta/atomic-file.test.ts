import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { removeTemporaries, writeAll, writeAtomically } from '../../runtime/delta/atomic-file.ts';
import { readTensors, writeTensors } from '../../runtime/delta/safetensors.ts';
import { DataError } from '../../runtime/errors.ts';
import { mountSmallDisk } from '../support/train-disk.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-atomic-'));
test.after.always(() => rm(root, { recursive: true, force: true }));

const text = (content: string): Uint8Array[] => [new TextEncoder().encode(content)];

test('replaces the file as a whole', async (t) => {
  const folder = await mkdtemp(join(root, 'replace-'));
  const path = join(folder, 'x');
  await writeAtomically(path, [...text('one '), ...text('two')]);
  t.is(await readFile(path, 'utf8'), 'one two');
  await writeAtomically(path, async (file) => {
    await writeAll(file, new TextEncoder().encode('three'), 0);
    t.is(await readFile(path, 'utf8'), 'one two', 'the old one is there until the end');
  });
  t.is(await readFile(path, 'utf8'), 'three');
  t.deepEqual(await readdir(folder), ['x']);
});

test('a failure leaves the old file and no temporary one', async (t) => {
  const folder = await mkdtemp(join(root, 'failure-'));
  const path = join(folder, 'x');
  await writeFile(path, 'old');
  const fails = async (): Promise<void> => {
    throw new Error('no more data');
  };
  await t.throwsAsync(writeAtomically(path, fails), {
    instanceOf: DataError,
    message: `cannot write "${path}": no more data`,
  });
  t.is(await readFile(path, 'utf8'), 'old');
  t.deepEqual(await readdir(folder), ['x']);
});

test('a place that cannot be written to is named', async (t) => {
  const missing = join(root, 'no-such-folder', 'x');
  await t.throwsAsync(writeAtomically(missing, text('')), {
    instanceOf: DataError,
    message: /cannot write ".*": ENOENT/,
  });
  const folder = join(root, 'a-folder');
  await mkdir(folder);
  await t.throwsAsync(writeAtomically(folder, text('')), { instanceOf: DataError, message: /EISDIR|EEXIST|ENOTEMPTY/ });
  t.false((await readdir(root)).some((name) => name.endsWith('.tmp')));
});

test('what a killed process left is removed, nothing else', async (t) => {
  const folder = await mkdtemp(join(root, 'left-'));
  for (const name of ['plan.json', 'plan.json.123.tmp', 'my.tmp', 'x.safetensors.9.tmp'])
    await writeFile(join(folder, name), '');
  await removeTemporaries(folder);
  t.deepEqual((await readdir(folder)).sort(), ['my.tmp', 'plan.json']);
  await t.notThrowsAsync(removeTemporaries(join(folder, 'missing')));
});

test('a full disk leaves the old file, whatever the point at which it filled', async (t) => {
  const disk = await mountSmallDisk(root, '256k');
  if (!disk) {
    t.log('skipped: a small tmpfs cannot be mounted here (needs root)');
    t.pass();
    return;
  }
  try {
    const path = join(disk.path, 'x.safetensors');
    const source = (value: number, floats: number) => ({
      name: 'x',
      shape: [floats],
      read: async () => new Float32Array(floats).fill(value),
    });
    await writeTensors(path, [source(1, 8000)], {});
    // What is free after the old file's 32 KiB: from nothing to all but a page of the new one, so that the last write is short.
    for (const filler of [222, 216, 200, 180, 168]) {
      const other = join(disk.path, 'other');
      spawnSync('dd', ['if=/dev/zero', `of=${other}`, 'bs=1k', `count=${filler}`]);
      const error = await t.throwsAsync(writeTensors(path, [source(2, 16000)], {}), { instanceOf: DataError });
      t.regex(error?.message ?? '', /ENOSPC[\s\S]*Hint: the disk is full; what was there before is unchanged/);
      t.deepEqual(
        (await readTensors(path)).tensors.get('x')?.data,
        new Float32Array(8000).fill(1),
        `${filler} KiB taken`,
      );
      t.deepEqual((await readdir(disk.path)).sort(), ['other', 'x.safetensors']);
      await rm(other);
    }
    const file = await open(join(disk.path, 'short'), 'w');
    await t.throwsAsync(writeAll(file, new Uint8Array(300 << 10), 0), { message: /ENOSPC/ });
    await file.close();
  } finally {
    disk.unmount();
  }
});
