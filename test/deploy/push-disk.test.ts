/** What the board's side refuses by itself: a disk that is full, content that is not what its name says, stale locks. */
import { spawnSync } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { assertServes, type assertWhole } from '../support/deploy-board.ts';
import { boards, type TestBoard } from '../support/deploy-pushes.ts';

/** Files run out long before bytes do, so that the disk fills up although the look at it found it large enough. */
const { disk, onBoard } = await boards('8m,nr_inodes=120');

onBoard('small', 'a disk that is too small, and one that fills up during the upload', async (t, board) => {
  if (disk === null) {
    t.log('skipped: a small tmpfs cannot be mounted here (needs root)');
    t.pass();
    return;
  }
  // The former release, and what the push itself writes; then there is no room for another file, though for many bytes.
  await board.sshd.give(disk);
  const full = board.at(join(disk, 'edge'));
  const { id, result: first } = await full.push({ name: 'old' });
  t.is(first.code, 0, first.stderr);
  await assertServes(t, full.root, id);

  const large = await full.push({ name: 'large', ballast: { files: 1, bytes: 12 << 20, seed: 1 } });
  t.is(large.result.code, 3, large.result.stderr);
  t.regex(large.result.stderr, /disk: .* MiB are free, 13\.\d MiB are needed/);
  t.regex(large.result.stdout, /untouched +0 B/);
  await assertServes(t, full.root, id);

  const many = await full.push({ name: 'many', ballast: { files: 150, bytes: 1000, seed: 2 } });
  t.is(many.result.code, 1, many.result.stderr);
  t.regex(many.result.stderr, /the disk is full: \d+ bytes are free/);
  t.regex(many.result.stdout, /board +untouched/);
  await assertServes(t, full.root, id);
  t.is((await readdir(join(full.root, 'releases'))).length, 1);

  const next = await full.push({ name: 'next' });
  t.is(next.result.code, 0, next.result.stderr);
  await assertServes(t, full.root, next.id);
});

onBoard(
  'damaged',
  'an object that changed on the board is sent again; a release is checked after it was assembled',
  async (t, board) => {
    const { id } = await board.push({ name: 'one', ballast: { files: 1, bytes: 5000, seed: 3 } });
    const object = await objectWith(board, 'app/package.json', id);
    await chmod(object, 0o644);
    await writeFile(object, '{"type":"evil"}\n');
    await chmod(object, 0o444);
    const two = await board.push({ name: 'two', ballast: { files: 1, bytes: 5000, seed: 3 } });
    t.is(two.result.code, 0, two.result.stderr);
    t.regex(two.result.stderr, /sending 4 of 9 files/, 'name, sums, manifest, and what was damaged');
    await assertServesOnly(t, board, two.id);
  },
);

onBoard(
  'stale',
  'locks of processes that are gone are taken over, and half-made files cleared away',
  async (t, board) => {
    const { id } = await board.push({ name: 'one' });
    const lock = join(board.root, 'lock');
    await writeFile(join(lock, 'holder'), '999999999 5 another-boot\nsomebody@gone, since long ago\n');
    await mkdir(join(board.root, 'incoming', '1-1', 'objects', 'aa'), { recursive: true });
    await writeFile(join(board.root, 'incoming', '1-1', 'objects', 'aa', 'half'), 'half a file');
    for (const folder of ['1-1', '1-1/objects', '1-1/objects/aa'])
      await board.sshd.give(join(board.root, 'incoming', folder));
    await board.sshd.give(join(lock, 'holder'));
    const two = await board.push({ name: 'two' });
    t.is(two.result.code, 0, two.result.stderr);
    t.deepEqual(await readdir(lock), []);
    t.deepEqual(await readdir(join(board.root, 'incoming')), []);
    await assertServes(t, board.root, two.id);
    t.not(id, two.id);
  },
);

/** Path of the object behind a file of a release. */
async function objectWith(board: TestBoard, path: string, id: string): Promise<string> {
  const { stdout } = spawnSync(
    'find',
    [join(board.root, 'objects'), '-samefile', join(board.root, 'releases', id, path)],
    {
      encoding: 'utf8',
    },
  );
  return stdout.trim();
}

/** Serves, and is whole itself; an earlier release that was damaged still is. */
async function assertServesOnly(t: Parameters<typeof assertWhole>[0], board: TestBoard, id: string): Promise<void> {
  t.like(JSON.parse(await readFile(join(board.root, 'state', 'status.json'), 'utf8')), { release: id, state: 'ready' });
  const folder = join(board.root, 'releases', id);
  t.is(spawnSync('sha256sum', ['--quiet', '-c', 'SHA256SUMS'], { cwd: folder }).status, 0);
}
