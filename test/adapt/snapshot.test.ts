import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { DecisionLog } from '../../runtime/adapt/decision-log.ts';
import { Latencies } from '../../runtime/adapt/latencies.ts';
import { loadNewestSnapshot, saveSnapshot, snapshotFiles } from '../../runtime/adapt/snapshot-file.ts';
import { DataError, DeltaError, ExecutionError } from '../../runtime/errors.ts';
import { Random } from '../../runtime/train/random.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-snapshot-'));
test.after.always(() => rm(root, { recursive: true, force: true }));

const owner = { base: 'a'.repeat(64), settings: { method: 'edgeshift', batch: '16' } };
const position = (predicted: number) => ({ next: predicted + 3, predicted, updates: 2 });
const state = (value: number) =>
  new Map([
    ['model a.bias', Float32Array.of(value, 1e-42, -0)],
    ['method empty', new Float32Array()],
  ]);

test('the newest snapshot comes back to the bit, two are kept', async (t) => {
  const folder = join(root, 'kept');
  t.is(await loadNewestSnapshot(folder, owner), null);
  for (const predicted of [16, 32, 999_999, 1_000_000])
    await saveSnapshot(folder, owner, position(predicted), state(predicted));
  const files = await snapshotFiles(folder);
  t.is(files.length, 2);
  const found = await loadNewestSnapshot(folder, owner);
  t.deepEqual(found, { path: files[1] ?? '', position: position(1_000_000), state: state(1_000_000) });
});

test('a damaged snapshot costs the one before it; half-written ones are removed', async (t) => {
  const folder = join(root, 'damaged');
  await saveSnapshot(folder, owner, position(16), state(1));
  const newest = await saveSnapshot(folder, owner, position(32), state(2));
  const bytes = await readFile(newest);
  const at = bytes.length - 6;
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  await writeFile(newest, bytes);
  await writeFile(join(folder, 'frame-000000000048.safetensors.77.tmp'), 'half');
  t.deepEqual((await loadNewestSnapshot(folder, owner))?.state, state(1));
  t.false((await readdir(folder)).some((name) => name.endsWith('.tmp')));
});

test('another model, another option: refused, with both named', async (t) => {
  const folder = join(root, 'mismatch');
  await saveSnapshot(folder, owner, position(16), state(1));
  const asked = (other: object) => loadNewestSnapshot(folder, { ...owner, ...other });
  await t.throwsAsync(asked({ base: 'b'.repeat(64) }), { instanceOf: DeltaError, message: /belongs to another model/ });
  const settings = { ...owner.settings, batch: '8' };
  await t.throwsAsync(asked({ settings }), { instanceOf: DeltaError, message: /saved with batch 16, this run has 8/ });
});

test('a model that is not finite is not saved; a disk that refuses says so and keeps what was there', async (t) => {
  const folder = join(root, 'refused');
  const path = await saveSnapshot(folder, owner, position(16), state(1));
  await t.throwsAsync(saveSnapshot(folder, owner, position(32), state(Number.NaN)), {
    instanceOf: ExecutionError,
    message: /"a.bias" holds NaN after frame 35/,
  });
  t.deepEqual(await snapshotFiles(folder), [path]);
  const file = join(root, 'file');
  await writeFile(file, '');
  await t.throwsAsync(saveSnapshot(join(file, 'state'), owner, position(16), state(1)), {
    instanceOf: DataError,
    message: /cannot write/,
  });
});

test('decisions: each update, and changes of the reason; what came after a snapshot is removed', async (t) => {
  const path = join(root, 'decisions.jsonl');
  const log = await DecisionLog.open(path, 0);
  const reasons = ['no drift', 'no drift', 'drift', 'drift', 'no drift', 'no drift'];
  for (const [n, reason] of reasons.entries()) {
    await log.add({ frame: 10 * n, reason, updated: reason === 'drift' });
  }
  const frames = async () =>
    (await readFile(path, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { frame: number }).frame);
  t.deepEqual(await frames(), [0, 20, 30, 40]);
  await appendFile(path, '{"frame": 50, "rea');
  const resumed = await DecisionLog.open(path, 35);
  t.deepEqual(await frames(), [0, 20, 30]);
  await resumed.add({ frame: 40, reason: 'drift', updated: false });
  await resumed.add({ frame: 50, reason: 'no drift', updated: false });
  t.deepEqual(await frames(), [0, 20, 30, 50], 'the last reason is known');
  t.is(resumed.failure, null);
});

test('a log that cannot be written fails once and quietly', async (t) => {
  const path = join(root, 'folder.jsonl');
  const log = await DecisionLog.open(path, 0);
  await mkdir(path);
  await log.add({ frame: 0, reason: 'a', updated: false });
  t.regex(log.failure?.message ?? '', /EISDIR/);
  await log.add({ frame: 1, reason: 'b', updated: true });
});

test('quantiles of latencies are off by two percent at most', (t) => {
  const seed = 5;
  const random = new Random(seed);
  const latencies = new Latencies();
  t.is(latencies.quantile(0.5), null);
  const values = Array.from({ length: 5000 }, () => Math.exp(8 * random.uniform()));
  for (const value of values) latencies.add(value);
  values.sort((a, b) => a - b);
  for (const share of [0.01, 0.5, 0.99]) {
    const exact = values[Math.ceil(share * values.length) - 1] ?? Number.NaN;
    const found = latencies.quantile(share) ?? Number.NaN;
    t.true(found >= exact * 0.9999 && found <= exact * 1.0201, `seed ${seed}, ${share}: ${found}, exact ${exact}`);
  }
});
