/** The laptop reads a bundle to its last byte before it sends any: whatever is not as built is refused and named. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import test, { type ExecutionContext } from 'ava';
import { DataError } from '../../runtime/errors.ts';
import { Random } from '../../runtime/train/random.ts';
import { textFile } from '../../tools/deploy/bundle/bundle-file.ts';
import { tarEnd, tarHeader, tarPadding } from '../../tools/deploy/bundle/tar.ts';
import { writeBundle } from '../../tools/deploy/bundle/write-bundle.ts';
import { bundleLimits, OpenBundle } from '../../tools/deploy/host/bundle.ts';
import { readTar } from '../../tools/deploy/host/tar-reader.ts';
import { tinyBundle, tinyFiles, withSums } from '../support/deploy-tiny-bundles.ts';

const SEED = 20261122;
const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-bundle-read-'));
const good = join(root, 'good.tar.gz');
const id = await tinyBundle(good, { name: 'good', ballast: { files: 2, bytes: 3000, seed: SEED } });
const bytes = await readFile(good);
const tar = gunzipSync(bytes);
test.after.always(() => rm(root, { recursive: true, force: true }));

async function refused(t: ExecutionContext, name: string, content: Uint8Array, message: RegExp): Promise<void> {
  const path = join(root, `${name}.tar.gz`);
  await writeFile(path, content);
  const before = await unpackedFolders();
  const error = await t.throwsAsync(OpenBundle.open(path), { instanceOf: DataError, message }, name);
  t.true(error?.message.includes(path), 'the file is named');
  t.deepEqual(await unpackedFolders(), before, 'nothing is left');
}

const unpackedFolders = async () => (await readdir(tmpdir())).filter((name) => name.startsWith('edgeshift-bundle-'));

/** An archive of entries, in which anything can be said. */
function archive(entries: readonly { readonly header: Uint8Array; readonly content?: Uint8Array }[]): Uint8Array {
  const parts = entries.flatMap(({ header, content = new Uint8Array(0) }) => [
    header,
    content,
    tarPadding(content.length),
  ]);
  return gzipSync(Buffer.concat([...parts, tarEnd()]));
}

/** The header of an entry with a field changed, and its checksum made right again. */
function changed(header: Uint8Array, at: number, text: string): Uint8Array {
  const block = Buffer.from(header);
  block.write(text, at, 'latin1');
  block.write(' '.repeat(8), 148, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

test.serial('a bundle as it was built', async (t) => {
  await using bundle = await OpenBundle.open(good);
  t.is(bundle.manifest.id, id);
  const board = bundle.files.find(({ path }) => path === 'service/board.sh');
  t.is(board?.mode, '755');
  for (const { at, bytes: size } of bundle.files) t.is((await readFile(at)).length, size);
});

test.serial('a flipped bit anywhere in what is compressed', async (t) => {
  t.log(`seed ${SEED}`);
  const random = new Random(SEED, 1);
  for (let turn = 0; turn < 12; turn++) {
    const copy = Buffer.from(bytes);
    // The first ten bytes say nothing of the content.
    const at = random.integer(10, copy.length - 1);
    copy[at] = (copy[at] as number) ^ (1 << random.integer(0, 7));
    await refused(t, `bit-${at}`, copy, /is damaged/);
  }
});

test.serial('an archive that breaks off', async (t) => {
  for (const share of [0.1, 0.5, 0.99]) {
    await refused(t, `short-${share}`, bytes.subarray(0, Math.floor(bytes.length * share)), /is damaged/);
  }
  await refused(t, 'short-tar', gzipSync(tar.subarray(0, 4096)), /ends too early/);
  await refused(t, 'no-gzip', Buffer.from('not a bundle at all'), /is damaged/);
  await refused(t, 'behind', gzipSync(Buffer.concat([tar, Buffer.from('more')])), /something follows its end/);
});

test.serial('a changed byte of a file, of the manifest, of the sums or of a header', async (t) => {
  const flip = (text: string, by: string) => gzipSync(Buffer.from(tar.toString('latin1').replace(text, by), 'latin1'));
  await refused(t, 'file', flip('good\n', 'evil\n'), /config\/name: sha256 [0-9a-f]{64}, expected/);
  await refused(t, 'manifest', flip('"run":["adapt"]', '"run":["admit"]'), /its id is [0-9a-f]{16}, its content's/);
  await refused(t, 'id', flip(`"id":"${id}"`, '"id":"0123456789abcdef"'), /its id is 0123456789abcdef/);
  await refused(t, 'sums', flip('  config/name\n', '  config/nome\n'), /SHA256SUMS: names "config\/nome"/);
  await refused(t, 'header', flip('app/package.json\0', 'app/backage.json\0'), /checksum of a header/);
  await refused(t, 'format', flip('edgeshift-bundle-1', 'edgeshift-bundle-9'), /is no manifest:\n {2}format/);
});

test.serial('a file more, a file less, one twice, another mode', async (t) => {
  const { files, manifest } = await tinyFiles({ name: 'x' });
  const whole = await withSums(files, manifest);
  const written = async (name: string, list: typeof whole) => {
    await writeBundle(join(root, 'made.tar.gz'), list);
    return [name, await readFile(join(root, 'made.tar.gz'))] as const;
  };
  const extra = textFile('app/extra.js', 'x');
  await refused(t, ...(await written('more', [...whole, extra])), /app\/extra\.js: not in the manifest/);
  await refused(
    t,
    ...(await written(
      'less',
      whole.filter(({ path }) => path !== 'config/run'),
    )),
    /config\/run: missing/,
  );
  await refused(t, ...(await written('twice', [...whole, ...whole.slice(-1)])), /service\/run: there twice/);
  const modes = whole.map((file) => (file.path === 'config/run' ? { ...file, mode: '755' as const } : file));
  await refused(t, ...(await written('mode', modes)), /config\/run: mode 755, expected 644/);
  await refused(
    t,
    ...(await written(
      'none',
      whole.filter(({ path }) => path !== 'manifest.json'),
    )),
    /no manifest\.json/,
  );
});

test.serial('paths that lead elsewhere, links, folders and devices', async (t) => {
  const header = tarHeader({ path: 'a', mode: '644', bytes: 1 });
  const content = Buffer.from('x');
  for (const [name, path] of [
    ['above', '../../.ssh/authorized_keys'],
    ['inside', 'app/../../x'],
    ['absolute', '/etc/passwd'],
    ['dash', '-rf'],
    ['line', 'a\nb'],
    ['space', 'a b'],
  ] as const) {
    const { files, manifest } = await tinyFiles({ name: 'x' });
    const parts = (await withSums(files, manifest)).map(({ path: to, mode, content: of }) => ({
      header: tarHeader({ path: to, mode, bytes: of.length }),
      content: of as Uint8Array,
    }));
    const bad = { header: tarHeader({ path, mode: '644', bytes: 1 }), content };
    await refused(t, name, archive([...parts, bad]), /: no path of a bundle/);
  }
  const link = changed(changed(tarHeader({ path: 'app/link', mode: '644', bytes: 0 }), 156, '2'), 157, '/etc');
  await refused(t, 'symlink', archive([{ header: link }]), /"app\/link" is a symbolic link; expected files only/);
  for (const [type, what] of [
    ['1', 'a hard link'],
    ['3', 'a device'],
    ['5', 'a folder'],
    ['6', 'a pipe'],
  ] as const) {
    await refused(t, `type-${type}`, archive([{ header: changed(header, 156, type) }]), new RegExp(`is ${what}`));
  }
});

test.serial('an archive that unpacks to more than it can', async (t) => {
  const zeros = new Uint8Array(bundleLimits(0).bytes + 1);
  const bomb = archive([{ header: tarHeader({ path: 'a', mode: '644', bytes: zeros.length }), content: zeros }]);
  t.true(bomb.length < 200_000);
  await refused(t, 'bomb', bomb, /more than \d+ bytes when unpacked/);
  const header = tarHeader({ path: 'a', mode: '644', bytes: 0 });
  const many = Buffer.concat([...Array.from({ length: 11 }, () => header), tarEnd()]);
  const read = async () => {
    for await (const _ of readTar('many', inPieces(many), { entries: 10, bytes: 100 }));
  };
  await t.throwsAsync(read, { instanceOf: DataError, message: /more than 10 files/ });
});

test.serial('long names as pax, GNU tar and ustar write them', async (t) => {
  const path = `${'folder/'.repeat(30)}file`;
  const content = Buffer.from('x');
  const gnu = [
    changed(tarHeader({ path: '././@LongLink', mode: '644', bytes: path.length + 1 }), 156, 'L'),
    Buffer.from(`${path}\0`),
    tarPadding(path.length + 1),
    tarHeader({ path: path.slice(0, 99), mode: '755', bytes: 1 }),
    content,
    tarPadding(1),
    tarEnd(),
  ];
  const ours = [tarHeader({ path, mode: '755', bytes: 1 }), content, tarPadding(1), tarEnd()];
  for (const parts of [gnu, ours]) {
    const found = [];
    for await (const file of readTar('long', inPieces(Buffer.concat(parts)), { entries: 9, bytes: 9 })) {
      for await (const part of file.content) t.is(part.length, 1);
      found.push([file.path, file.executable]);
    }
    t.deepEqual(found, [[path, true]]);
  }
});

/** In uneven pieces, as a pipe gives them. */
async function* inPieces(whole: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < whole.length; at += 313) yield whole.subarray(at, at + 313);
}
