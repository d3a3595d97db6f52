/** A bundle's bytes depend on what is in it and on nothing else; it can be unpacked, checked and started with common tools. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test from 'ava';
import { loadProfile } from '../../device-profiles/profiles.ts';
import { filesBelow } from '../../tools/deploy/bundle/bundle-file.ts';
import { idOf, type Manifest } from '../../tools/deploy/bundle/manifest.ts';
import { checkSums, unpack } from '../support/deploy-runtime.ts';
import { tinyModel } from '../support/train-runs.ts';

const execute = promisify(execFile);
const builder = fileURLToPath(new URL('../support/deploy-build-tiny.js', import.meta.url));
const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-bundle-'));

/** Builds in a process with its own umask, time zone, language and folders; gives the bundle's path. */
async function build(turn: number, umask: string, environment: NodeJS.ProcessEnv): Promise<string> {
  const folder = join(root, `${turn}`, 'a/folder'.repeat(turn));
  await mkdir(folder, { recursive: true });
  const model = await tinyModel(join(folder, 'tiny.onnx'));
  const out = join(root, `${turn}`, 'bundle.tar.gz');
  const script = 'umask "$1"; shift; exec "$@"';
  const command = [process.execPath, builder, folder, model, out, `${turn}`];
  await execute('sh', ['-c', script, 'sh', umask, ...command], {
    cwd: join(root, `${turn}`),
    env: { ...process.env, ...environment },
  });
  return out;
}

const first = await build(1, '022', { TZ: 'UTC', LANG: 'C', LC_ALL: 'C' });
const release = await unpack(first, join(root, 'board', 'releases', 'id'));
const manifest = JSON.parse(await readFile(join(release, 'manifest.json'), 'utf8')) as Manifest;
test.after.always(() => rm(root, { recursive: true, force: true }));

test('the same inputs give the same bytes, whoever builds where', async (t) => {
  const settings = { TZ: 'Pacific/Auckland', LANG: 'tr_TR.UTF-8', LC_ALL: 'tr_TR.UTF-8', SOURCE_DATE_EPOCH: '1' };
  const second = await build(2, '077', settings);
  const [one, two] = [await readFile(first), await readFile(second)];
  t.true(one.equals(two), `${one.length} and ${two.length} bytes`);
});

test('an archive of plain files in order, with no times and no owners', async (t) => {
  const { stdout } = await execute('tar', ['--numeric-owner', '--full-time', '-tvzf', first], {
    env: { ...process.env, TZ: 'UTC' },
  });
  const lines = stdout.trimEnd().split('\n');
  t.true(lines.length >= 15);
  for (const line of lines) t.regex(line, /^-rw(-r--r--|xr-xr-x) 0\/0 +\d+ 1970-01-01 00:00:00 [\w/.@+-]+$/);
  const paths = lines.map((line) => line.split(' ').at(-1) ?? '');
  t.deepEqual(paths, [...paths].sort());
  await execute('gzip', ['-t', first]);
  const [, , , flags, ...time] = (await readFile(first)).subarray(0, 8);
  t.deepEqual([flags, ...time], [0, 0, 0, 0, 0], 'no name and no time');
});

test('sums, manifest and files agree', async (t) => {
  await checkSums(release);
  const paths = (await filesBelow(release)).toSorted();
  const described = manifest.files.map(({ path }) => path);
  t.deepEqual(
    paths.filter((path) => !described.includes(path)),
    ['SHA256SUMS', 'manifest.json'],
  );
  t.is(idOf(manifest), manifest.id);
  t.is(
    manifest.bytes,
    manifest.files.reduce((sum, { bytes }) => sum + bytes, 0),
  );
  t.like(manifest, { format: 'edgeshift-bundle-1', target: 'linux-arm64', device: 'jetson-orin-nano-8gb', node: null });
  for (const { path, bytes, mode } of manifest.files) {
    const found = await stat(join(release, path));
    t.is(found.size, bytes, path);
    t.is((found.mode & 0o777).toString(8), mode, path);
  }
  const file = join(root, 'changed');
  await unpack(first, file);
  await writeFile(join(file, 'model/tiny.onnx'), 'another');
  await t.throwsAsync(checkSums(file), { message: /1 computed checksum did NOT match/ });
});

test('of the dependencies what runs on the target is there, and its licences', (t) => {
  const paths = manifest.files.map(({ path }) => path).filter((path) => path.startsWith('app/node_modules/'));
  t.deepEqual(paths, [
    'app/node_modules/@native/linux-arm64/lib.node',
    'app/node_modules/both/LICENSE.md',
    'app/node_modules/both/index.js',
    'app/node_modules/both/node_modules/inner/index.js',
    'app/node_modules/inner/index.js',
    'app/node_modules/onnxruntime-node/bin/napi-v6/linux/arm64/binding.node',
    'app/node_modules/onnxruntime-node/dist/index.js',
  ]);
});

test('model, plan and profile are those that were planned with', async (t) => {
  const profile = await loadProfile(join(release, 'config/profile.json'));
  t.deepEqual(profile, await loadProfile('jetson-orin-nano-8gb'));
  const { plan, method } = JSON.parse(await readFile(join(release, 'model/plan.json'), 'utf8'));
  t.is(method, 'edgeshift');
  t.true(plan.fits);
  t.is(plan.budgetBytes, profile.limits.memoryBytes.value);
  t.is(manifest.memory?.planBytes, plan.totalBytes);
  const [command, model] = manifest.run;
  t.deepEqual([command, model], ['adapt', 'model/tiny.onnx']);
  t.true((await stat(join(release, model ?? ''))).size > 0);
});

const board = join(root, 'board');
const started = () => execute(join(board, 'current/service/run'));

test.serial('service/run starts the release in the state folder, with paths of the bundle in place', async (t) => {
  await symlink('releases/id', join(board, 'current'));
  await writeFile(join(board, 'environment'), `EDGESHIFT_NODE=${process.execPath}\n`);
  const start = async () => {
    const { stdout, stderr } = await started();
    const [release = '', words = ''] = stdout.trimEnd().split(/ (.*)/);
    return { release, stderr, words: JSON.parse(words) as string[] };
  };
  const { release: id, words } = await start();
  t.is(id, 'id');
  const expected = manifest.run.map((word) => (/^(model|config)\//.test(word) ? join(release, word) : word));
  t.deepEqual(words, expected);
  const run = words[words.indexOf('--run') + 1] ?? '';
  await mkdir(join(board, 'state', run), { recursive: true });
  await writeFile(join(board, 'state', run, 'config.json'), '{}');
  await writeFile(join(board, 'state/status.json'), '{"state":"stopping"}');
  const again = await start();
  t.deepEqual(again.words, [...expected, '--resume'], 'what is there goes on');
  t.is(again.stderr, '', 'it was asked to stop, so it starts at once');
});

test.serial('a release that ends too soon waits longer each time, five minutes at the most', async (t) => {
  const state = join(board, 'state');
  const now = () => Math.floor(Date.now() / 1000);
  await writeFile(join(state, 'status.json'), '{"state":"failed"}');
  await writeFile(join(state, 'restarts'), `another 40 ${now()}\n`);
  t.is((await started()).stderr, '', 'that was another release');
  const { stderr } = await started();
  t.regex(stderr, /ended too soon; starting again in 5 s/);
  t.regex(await readFile(join(state, 'restarts'), 'utf8'), /^id 5 \d+\n$/);
  for (const [before, delay] of [
    [5, 10],
    [160, 300],
    [300, 300],
  ] as const) {
    await writeFile(join(state, 'restarts'), `id ${before} ${now()}\n`);
    const waiting = execFile(join(board, 'current/service/run'));
    const [said] = (await once(waiting.stderr ?? waiting, 'data')) as [string];
    waiting.kill();
    t.regex(said, new RegExp(`starting again in ${delay} s`));
  }
  await writeFile(join(state, 'restarts'), `id 300 ${now() - 61}\n`);
  t.is((await started()).stderr, '', 'it ran for a minute');
  await writeFile(join(state, 'restarts'), '');
  t.is((await started()).stderr, '', 'a file that a loss of power left empty');
});

test.serial('service/run says where it wants to lie', async (t) => {
  const elsewhere = join(root, 'elsewhere');
  await unpack(first, elsewhere);
  await t.throwsAsync(execute(join(elsewhere, 'service/run')), { message: /expected ROOT\/releases\/ID/ });
});
