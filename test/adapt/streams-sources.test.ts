import { mkdir, mkdtemp, open, readFile, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import sharp from 'sharp';
import type { Frame } from '../../runtime/adapt/streams/frame.ts';
import type { FrameSource } from '../../runtime/adapt/streams/frame-source.ts';
import { compareNaturally } from '../../runtime/adapt/streams/natural-order.ts';
import { openSource } from '../../runtime/adapt/streams/open-source.ts';
import { DataError, UsageError } from '../../runtime/errors.ts';
import { openDecoder } from '../../runtime/train/data/decode.ts';
import { noiseImage } from '../support/noise-images.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-streams-'));

const imageSize = 8;

/** A plain grey image whose first pixel tells which one it is. */
const grey = (level: number, width = 12, height = 12) =>
  sharp({ create: { width, height, channels: 3, background: { r: level, g: level, b: level } } });
const png = (level: number) => grey(level).png().toBuffer();
const noisy = await noiseImage(60, 40, 1).jpeg().toBuffer();
test.after.always(() => rm(root, { recursive: true, force: true }));

async function readAll(source: FrameSource): Promise<Frame[]> {
  const frames: Frame[] = [];
  for await (const frame of source) frames.push(frame);
  return frames;
}

const levels = (frames: readonly Frame[]) => frames.map(({ pixels }) => pixels[0]);

async function folderOf(name: string, files: Readonly<Record<string, Uint8Array | string>>): Promise<string> {
  const folder = join(root, name);
  await mkdir(folder);
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(folder, path, '..'), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  return folder;
}

async function waitFor(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let i = 0; i < 500; i += 1) {
    if (await holds()) return;
    await delay(10);
  }
  throw new Error(`still waiting for ${what}`);
}

test('a folder is read in natural order, as often as asked, and bad files are counted', async (t) => {
  const folder = await folderOf('ordered', {
    'frame-10.png': await png(10),
    'frame-2.png': await png(2),
    'frame-9/b.PNG': await png(9),
    'frame-3.jpg': noisy.subarray(0, 600),
    'frame-4.jpg': 'not an image',
    'frame-5.jpg': '',
    'notes.txt': 'x',
    '.hidden.png': await png(1),
  });
  await symlink(join(folder, 'nowhere'), join(folder, 'frame-6.jpg'));
  await using source = await openSource({ kind: 'folder', folder, loops: 2, imageSize });
  const frames = await readAll(source);
  t.deepEqual(levels(frames), [2, 9, 10, 2, 9, 10]);
  t.deepEqual(
    frames.map(({ name }) => name),
    ['frame-2.png', 'frame-9/b.PNG', 'frame-10.png', 'frame-2.png', 'frame-9/b.PNG', 'frame-10.png'],
  );
  t.deepEqual(
    frames.map(({ index }) => index),
    [0, 5, 6, 7, 12, 13],
  );
  const { seen, skipped, reasons } = source.counts();
  t.is(seen, 14);
  t.is(skipped, 8);
  t.is(reasons['not a JPEG, PNG or WebP image'], 2);
  t.is(reasons.empty, 2);
  t.is(reasons['file is gone'], 2);
  t.is(
    Object.values(reasons).reduce((a, b) => a + b),
    8,
  );
});

test('numbers in names count by their value', (t) => {
  const ordered = [
    '',
    '1',
    '2',
    '10',
    '10000000000000000000001',
    '10000000000000000000002',
    'a',
    'a01',
    'a1',
    'a1b',
    'b/1',
  ];
  t.deepEqual([...ordered].reverse().sort(compareNaturally), ordered);
  t.not(compareNaturally('a01', 'a1'), 0);
});

test('frames are decoded as images are for training', async (t) => {
  const folder = await folderOf('decoded', { 'a.jpg': noisy });
  for (const fit of ['fill', 'cover', 'contain'] as const) {
    const decoder = await openDecoder(
      { kind: 'files', paths: [join(folder, 'a.jpg')] },
      { imageSize, fit, threads: 1 },
    );
    await using files = await openSource({ kind: 'folder', folder, imageSize, fit });
    await using bytes = await openSource({
      kind: 'stream',
      name: 'stdin',
      stream: Readable.from([noisy]),
      imageSize,
      fit,
    });
    const expected = await decoder.decode(0);
    t.deepEqual(Buffer.from((await readAll(files))[0]?.pixels ?? []), Buffer.from(expected));
    t.deepEqual(Buffer.from((await readAll(bytes))[0]?.pixels ?? []), Buffer.from(expected));
  }
});

test('a folder that is missing or empty is an error', async (t) => {
  const folder = await folderOf('empty', { 'notes.txt': 'x' });
  await t.throwsAsync(openSource({ kind: 'folder', folder, imageSize }), {
    instanceOf: DataError,
    message: /found none/,
  });
  for (const kind of ['folder', 'watch'] as const) {
    const missing = openSource({ kind, folder: join(root, 'missing'), imageSize });
    await t.throwsAsync(missing, { instanceOf: DataError, message: /missing: cannot be/ });
  }
});

test('a byte stream: corrupt and truncated images cost no other', async (t) => {
  const broken = Buffer.from(await png(3));
  broken[broken.length - 20] = (broken[broken.length - 20] as number) ^ 0xff;
  const stream = Readable.from([await png(1), broken, Buffer.from('garbage'), await png(4), noisy.subarray(0, -40)]);
  await using source = await openSource({ kind: 'stream', name: 'stdin', stream, imageSize });
  const frames = await readAll(source);
  t.deepEqual(levels(frames), [1, 4]);
  t.deepEqual(
    frames.map(({ index, name }) => [index, name]),
    [
      [0, 'stdin:0'],
      [2, 'stdin:2'],
    ],
  );
  t.deepEqual(source.counts().reasons, { 'broken PNG checksum': 1, truncated: 1 });
});

test('raw frames are scaled, and taken as they are where they have the size', async (t) => {
  const same = Buffer.alloc(imageSize * imageSize * 3, 7);
  const size = { width: imageSize, height: imageSize };
  const raw = { kind: 'stream', name: 'stdin', format: 'raw', imageSize } as const;
  await using exact = await openSource({ ...raw, stream: Readable.from([same, same]), size });
  t.deepEqual(levels(await readAll(exact)), [7, 7]);
  const wide = Readable.from([Buffer.alloc(16 * 4 * 3, 9)]);
  await using scaled = await openSource({ ...raw, stream: wide, size: { width: 16, height: 4 } });
  t.deepEqual([...new Set((await readAll(scaled))[0]?.pixels)], [9]);
});

test('options that contradict each other are refused', async (t) => {
  const common = { kind: 'stream', name: 'stdin', stream: Readable.from([]), imageSize } as const;
  const size = { width: 4, height: 4 };
  for (const options of [
    { ...common, format: 'raw' },
    { ...common, size },
    { ...common, format: 'raw', size: { width: 0, height: 4 } },
    { ...common, format: 'raw', size: { width: 1e6, height: 1e6 } },
  ] as const) {
    await t.throwsAsync(openSource(options), { instanceOf: UsageError });
  }
});

test('a stream that fails, and one that is closed while it is waited for', async (t) => {
  const failing = new Readable({ read() {} });
  await using source = await openSource({ kind: 'stream', name: 'camera', stream: failing, imageSize });
  failing.push(await png(5));
  const reading = readAll(source);
  await waitFor(() => source.counts().seen === 1, 'the first frame');
  failing.destroy(new Error('unplugged'));
  await t.throwsAsync(reading, { instanceOf: DataError, message: 'camera: cannot be read on (unplugged)' });

  await using silent = await openSource({
    kind: 'stream',
    name: 'camera',
    stream: new Readable({ read() {} }),
    imageSize,
  });
  const waiting = readAll(silent);
  await delay(20);
  await silent[Symbol.asyncDispose]();
  t.deepEqual(await waiting, []);
});

test('a watched folder: slow writers, renames, deletions, and no file twice', async (t) => {
  const folder = await folderOf('watched', { 'old.png': await png(1) });
  await using source = await openSource({ kind: 'watch', folder, settleMillis: 100, imageSize });
  const frames: Frame[] = [];
  const reading = (async () => {
    for await (const frame of source) frames.push(frame);
  })();
  const expectLevels = async (...expected: number[]) => {
    await waitFor(() => frames.length >= expected.length, `${expected}`);
    t.deepEqual(levels(frames), expected);
  };
  const image = await png(2);
  const slow = await open(join(folder, 'slow.png'), 'w');
  for (let at = 0; at < image.length; at += 40) {
    await slow.write(image.subarray(at, at + 40));
    await delay(40);
  }
  await slow.close();
  await expectLevels(2);
  await writeFile(join(folder, 'part.tmp'), await png(3));
  await rename(join(folder, 'part.tmp'), join(folder, 'part.png'));
  await expectLevels(2, 3);
  // Neither a new name nor new content of a file that was given is a frame.
  await rename(join(folder, 'part.png'), join(folder, 'kept.png'));
  await writeFile(join(folder, 'slow.png'), await png(9));
  await delay(400);
  await unlink(join(folder, 'kept.png'));
  await writeFile(join(folder, 'gone.png'), await png(8));
  await unlink(join(folder, 'gone.png'));
  await writeFile(join(folder, 'bad.png'), 'no image');
  await waitFor(() => source.counts().skipped === 1, 'the bad file');
  await writeFile(join(folder, 'kept.png'), await png(4));
  await expectLevels(2, 3, 4);
  await source[Symbol.asyncDispose]();
  await reading;
  t.deepEqual(levels(frames), [2, 3, 4]);
  t.deepEqual(source.counts().reasons, { 'not a JPEG, PNG or WebP image': 1 });
});

test('a watched folder gives what is there already if asked, the oldest first', async (t) => {
  const folder = await folderOf('existing', { 'b.png': await png(1) });
  await delay(20);
  await writeFile(join(folder, 'a.png'), await png(2));
  await using source = await openSource({ kind: 'watch', folder, existing: true, settleMillis: 50, imageSize });
  const frames: Frame[] = [];
  for await (const frame of source) if (frames.push(frame) === 2) break;
  t.deepEqual(levels(frames), [1, 2]);
});

test('a command: its images, its errors, and what it said', async (t) => {
  const folder = await folderOf('command', {
    '1.png': await png(1),
    '2.jpg': await grey(2).jpeg({ quality: 100 }).toBuffer(),
  });
  await using source = await openSource({
    kind: 'command',
    command: `cat '${folder}'/1.png '${folder}'/2.jpg`,
    imageSize,
  });
  t.deepEqual(levels(await readAll(source)), [1, 2]);

  const command = `cat '${folder}'/1.png; echo 'no camera' >&2; exit 3`;
  await using failing = await openSource({ kind: 'command', command, imageSize });
  const frames: Frame[] = [];
  const error = await t.throwsAsync(
    async () => {
      for await (const frame of failing) frames.push(frame);
    },
    { instanceOf: DataError, message: /exit code 3/ },
  );
  t.regex(error?.message ?? '', /it said:\nno camera$/);
  t.deepEqual(levels(frames), [1]);
});

test('a command that writes no images fails, and may be started again', async (t) => {
  const command = 'head -c 100000 /dev/zero';
  const options = { kind: 'command', command, limitBytes: 10_000, backOffMillis: 1, restarts: 2, imageSize } as const;
  await using source = await openSource(options);
  await t.throwsAsync(readAll(source), {
    instanceOf: DataError,
    message: /^command: no JPEG or PNG image within 10000/,
  });
  t.is(source.counts().restarts, 2);
});

test('a command that dies is started again with back-off, and counted', async (t) => {
  const folder = await folderOf('restarts', { '1.png': await png(1) });
  const runs = join(folder, 'runs');
  const command = `echo run >> '${runs}'; cat '${folder}/1.png'; [ $(wc -l < '${runs}') -ge 3 ] || kill -9 $$`;
  const options = { kind: 'command', command, backOffMillis: 20, imageSize } as const;
  const started = performance.now();
  await using source = await openSource({ ...options, restarts: 5 });
  t.deepEqual(levels(await readAll(source)), [1, 1, 1]);
  t.is(source.counts().restarts, 2);
  t.true(performance.now() - started >= 20 + 40, 'the second wait is twice the first');

  await rm(runs);
  await using impatient = await openSource({ ...options, restarts: 1 });
  await t.throwsAsync(readAll(impatient), { instanceOf: DataError, message: /was ended by SIGKILL/ });
});

/** Whether a process lives; a zombie that nobody has waited for does not. */
async function isAlive(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => null);
  return status !== null && !/\) [ZX] /.test(status);
}

(process.platform === 'linux' ? test : test.skip)('a command dies with its whole process group', async (t) => {
  const folder = await folderOf('group', { '1.png': await png(1) });
  const pids = join(folder, 'pids');
  // The second process ignores the polite signal.
  const stubborn = `sh -c 'trap "" TERM; echo $$ >> "$0"; while :; do sleep 0.1; done' '${pids}'`;
  const command = `cat '${folder}/1.png'; echo $$ >> '${pids}'; ${stubborn} & sleep 100 | cat`;
  await using source = await openSource({ kind: 'command', command, imageSize });
  const reading = readAll(source);
  const started = async () => (await readFile(pids, 'utf8').catch(() => '')).trim().split('\n').map(Number);
  await waitFor(async () => (await started()).length === 2 && source.counts().seen === 1, 'both processes');
  await source[Symbol.asyncDispose]();
  t.deepEqual(levels(await reading), [1]);
  for (const pid of await started()) await waitFor(async () => !(await isAlive(pid)), `process ${pid} to end`);
  t.pass();
});

test('reading slowly makes a command wait', async (t) => {
  const size = { width: imageSize, height: imageSize };
  const frameBytes = imageSize * imageSize * 3;
  const written = join(root, 'written');
  const count = 20_000;
  const command = `head -c ${count * frameBytes} /dev/zero | tee '${written}'`;
  await using source = await openSource({ kind: 'command', command, format: 'raw', size, imageSize });
  const frames = source[Symbol.asyncIterator]();
  await frames.next();
  await delay(200);
  const { size: early } = await open(written).then(async (file) => {
    await using opened = file;
    return opened.stat();
  });
  t.true(early < (count * frameBytes) / 4, `${early} bytes were written ahead`);
  let read = 1;
  while (!(await frames.next()).done) read += 1;
  t.is(read, count);
  await source[Symbol.asyncDispose]();
});
