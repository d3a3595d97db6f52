import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { snapshotFiles } from '../../runtime/adapt/snapshot-file.ts';
import { readDelta } from '../../runtime/delta/delta.ts';
import { readTensors } from '../../runtime/delta/safetensors.ts';
import { Random } from '../../runtime/train/random.ts';
import { type AdaptEnd, adapt, driftingImages, finalCounts, timeless } from '../support/adapt-cli.ts';
import { tinyModel } from '../support/adapt-methods.ts';
import { noiseImage } from '../support/noise-images.ts';
import { edgeshift, lastJson } from '../support/train-cli.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-adapt-'));

const COUNT = 48;
const images = await driftingImages(join(root, 'images'), COUNT);
test.after.always(() => rm(root, { recursive: true, force: true }));
const base = [tinyModel, '--budget', '1GiB', '--threads', '1', '--batch', '8'];
const LOOPS = 30;
/** A folder that is read over and over: long enough to be stopped in the middle. */
const long = [
  ...[...base, '--source', images, '--loops', `${LOOPS}`, '--method-options', 'memory=16,pass=8'],
  ...['--probabilities', '--snapshot-frames', '24'],
];

let whole: Promise<AdaptEnd> | undefined;
/** The run that nobody disturbs. */
function undisturbed(): Promise<AdaptEnd> {
  whole ??= adapt([...long, '--run', join(root, 'whole')]).ended;
  return whole;
}

/** Every frame of the whole stream was predicted, each time as by the run that nobody disturbs. */
async function assertSame(t: ExecutionContext, ends: readonly AdaptEnd[], about: string): Promise<void> {
  const expected = (await undisturbed()).lines.map(timeless);
  t.is(expected.length, COUNT * LOOPS);
  const seen = new Set<number>();
  const wrong = ends
    .flatMap(({ lines }) => lines)
    .filter((line) => {
      seen.add(line.frame);
      return JSON.stringify(timeless(line)) !== JSON.stringify(expected[line.frame]);
    });
  t.deepEqual(wrong, [], about);
  t.is(seen.size, expected.length, about);
}

test('a folder: one line a frame in order, counts, decisions, a delta and an exported model', async (t) => {
  const [model, delta, run] = [join(root, 'out.onnx'), join(root, 'out.safetensors'), join(root, 'folder')];
  const files = ['--export', model, '--export-delta', delta, '--run', run, '--json'];
  const end = await adapt([...base, '--source', images, '--method', 'bn-ema', '--probabilities', ...files]).ended;
  t.is(end.code, 0, end.stderr);
  t.deepEqual(
    end.lines.map(({ frame, name }) => [frame, name]),
    Array.from({ length: COUNT }, (_, n) => [n, `${String(n).padStart(4, '0')}.png`]),
  );
  t.true(end.lines.every(({ updated, reason }) => updated && reason === 'statistics'));
  const counts = finalCounts(end);
  t.like(counts, { predicted: COUNT, updated: COUNT, reasons: { statistics: COUNT }, failures: 0, interrupted: false });
  t.like(counts.memory, { plannedPeakBytes: (counts.memory as { highWaterBytes: number }).highWaterBytes });
  const decisions = (await readFile(join(run, 'decisions.jsonl'), 'utf8')).trim().split('\n');
  t.deepEqual(JSON.parse(decisions.at(-1) ?? ''), { frame: COUNT - 1, reason: 'statistics', updated: true });
  t.is(decisions.length, COUNT / 8);
  t.is((await readDelta(delta)).notes.method, 'bn-ema');
  const deployed = await adapt([model, '--source', images, '--method', 'none', '--budget', '1GiB']).ended;
  const before = await adapt([...base, '--source', images, '--method', 'none']).ended;
  t.is(deployed.code, 0, deployed.stderr);
  t.notDeepEqual(
    deployed.lines.map(({ entropy }) => entropy),
    before.lines.map(({ entropy }) => entropy),
    'the exported model is the adapted one',
  );
});

test('standard input: images one after the other, with bytes between them that belong to none', async (t) => {
  const { child, ended } = adapt([...base, '--source', '-', '--json']);
  for (let n = 0; n < 20; n++) {
    child.stdin.write(await noiseImage(16, 16, n).jpeg().toBuffer());
    if (n === 4) child.stdin.write('no image');
  }
  child.stdin.end();
  const end = await ended;
  t.is(end.code, 0, end.stderr);
  t.is(end.lines.length, 20);
  t.like(finalCounts(end), { predicted: 20, source: { seen: 20, skipped: 0, garbageBytes: 8 } });
  t.not(finalCounts(end).background, null, 'live sources are predicted beside the adaptation');
});

test('HTTP: predictions are answered, late labels learnt from, SIGUSR1 exports, SIGTERM ends it with 0', async (t) => {
  const exported = join(root, 'http.onnx');
  const { child, said, ended } = adapt([...base, '--source', 'http', '--export', exported, '--json']);
  const [, address = ''] = /listening on (http:\S+)/.exec(await said(/listening on \S+\n/)) ?? [];
  const post = async (path: string, body: string | Uint8Array) => fetch(address + path, { method: 'POST', body });
  for (let n = 0; n < 10; n++) {
    const answer = await post(`/frame?name=${n}.png`, await noiseImage(16, 16, n).png().toBuffer());
    t.is(answer.status, 200);
    t.like(await answer.json(), { frame: n, name: `${n}.png` });
  }
  t.is((await post('/label', '{"frame": 3, "class": 2}')).status, 200);
  t.is((await post('/label', '{"frame": 300, "class": 2}')).status, 409);
  t.is((await post('/frame', await noiseImage(16, 16, 11).png().toBuffer())).status, 200);
  const stats = (await (await fetch(`${address}/stats`)).json()) as object;
  t.like(stats, { seen: 11, labels: { early: 1 } });
  child.kill('SIGUSR1');
  await said(/wrote .*http\.onnx/);
  t.true((await stat(exported)).size > 0);
  child.kill('SIGTERM');
  const end = await ended;
  t.is(end.code, 0, end.stderr);
  t.notRegex(end.stderr, /Debugger/);
  t.is(end.lines.length, 11);
  t.like(finalCounts(end), { interrupted: true, predicted: 11, labels: { used: 1, taught: 1, early: 1 } });
});

test('stopped by SIGTERM in the middle and resumed, it predicts to the bit what it would have', async (t) => {
  const run = ['--run', join(root, 'stopped')];
  const first = adapt([...long, ...run], (lines) => {
    if (lines >= (20 * COUNT) / 2) first.child.kill('SIGTERM');
  });
  const stopped = await first.ended;
  t.is(stopped.code, 0, stopped.stderr);
  t.true(stopped.lines.length < COUNT * LOOPS, `${stopped.lines.length} lines`);
  t.is(stopped.lines.length % 8, 0, 'whole batches only, since the rest can be read again');
  const resumed = await adapt([...long, ...run, '--resume']).ended;
  t.is(resumed.code, 0, resumed.stderr);
  t.is(resumed.lines[0]?.frame, stopped.lines.length);
  await assertSame(t, [stopped, resumed], `stopped after ${stopped.lines.length}`);
  const [one, other] = await Promise.all(
    ['stopped', 'whole'].map(async (name) =>
      readTensors((await snapshotFiles(join(root, name, 'state'))).at(-1) ?? ''),
    ),
  );
  t.deepEqual(one, other, 'and its state is the same');
  const logs = ['stopped', 'whole'].map((name) => readFile(join(root, name, 'decisions.jsonl'), 'utf8'));
  t.is(await logs[0], (await logs[1]) ?? '');
});

const KILLS = Number(process.env.EDGESHIFT_KILLS ?? 4);
const SEED = Number(process.env.EDGESHIFT_KILL_SEED ?? 1);

test(`killed ${KILLS} times at random moments, no snapshot is unreadable and the stream goes on as if nothing was`, async (t) => {
  const random = new Random(SEED);
  const folder = join(root, 'killed');
  const ends: AdaptEnd[] = [];
  for (let kills = 0; ; kills++) {
    const after = random.integer(1, 250);
    const resume = ends.length > 0 ? ['--resume'] : [];
    const running = adapt([...long, '--run', folder, ...resume], (lines) => {
      if (kills < KILLS && lines >= after) running.child.kill('SIGKILL');
    });
    const end = await running.ended;
    ends.push(end);
    for (const path of await snapshotFiles(join(folder, 'state'))) await t.notThrowsAsync(readTensors(path));
    if (end.signal !== 'SIGKILL') break;
  }
  t.is(ends.at(-1)?.code, 0, ends.at(-1)?.stderr);
  t.true(ends.length > 1);
  t.log(`seed ${SEED}: killed after ${ends.slice(0, -1).map(({ lines }) => lines.length)} lines`);
  await assertSame(t, ends, `seed ${SEED}`);
  const files = await readdir(folder, { recursive: true });
  t.deepEqual(
    files.filter((name) => name.endsWith('.tmp')),
    [],
  );
  t.is((await snapshotFiles(join(folder, 'state'))).length, 2);
});

test('the plan is told without a source, and a budget that is too small ends with 3', async (t) => {
  const plan = await edgeshift(['adapt', ...base, '--plan', '--background', '--json']);
  t.is(plan.code, 0, plan.stderr);
  const { method, plan: own, predictor } = lastJson(plan) as Record<string, Record<string, number>>;
  t.is(method as unknown, 'edgeshift');
  t.true((predictor?.peakBytes ?? 0) > 0);
  const needed = own?.totalBytes ?? 0;
  const alone = lastJson(await edgeshift(['adapt', ...base, '--plan', '--json'])).plan as { totalBytes: number };
  t.true(needed > alone.totalBytes, 'the predictor counts');
  const small = [
    tinyModel,
    '--source',
    images,
    '--budget',
    `${alone.totalBytes - 1}`,
    '--threads',
    '1',
    '--batch',
    '8',
  ];
  const refused = await edgeshift(['adapt', ...small]);
  t.is(refused.code, 3, refused.stderr);
  t.regex(refused.stderr, /needs .* the budget is .* missing/);
});

test('wrong uses end with 2 and say what to do', async (t) => {
  const folder = join(root, 'whole');
  await undisturbed();
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [[tinyModel], /adapt needs a source of frames: --source <folder>/],
    [[tinyModel, '--source', images, '--watch', images], /adapt needs one source/],
    [[...base, '--source', images, '--method-options', 'gian=3'], /has no number called gian: expected learningRate/],
    [[...base, '--source', images, '--no-guard', 'luck'], /--no-guard must name some of filter/],
    [[...base, '--source', images, '--resume'], /--resume needs --run/],
    [[...base, '--source', images, '--resume', '--run', join(root, 'absent')], /no run to resume/],
    [[...base, '--source', images, '--run', folder], /holds a run already\nHint: continue it with --resume/],
    [[...base, '--source', images, '--background', '--method', 'tent'], /statistics of each batch/],
    [[...base, '--source', 'http://0.0.0.0:0'], /needs a token/],
    [[...base, '--source', images, '--label-device', 'ffff:ffff'], /--label-device needs --label-keys/],
    [[...base, '--source', '-', '--size', '640'], /--size must be width and height/],
  ];
  for (const [args, message] of cases) {
    const { code, stderr } = await edgeshift(['adapt', ...args]);
    t.is(code, 2, `${args.join(' ')}\n${stderr}`);
    t.regex(stderr, message);
  }
  const other = await edgeshift(['adapt', ...base, '--source', images, '--run', folder, '--resume', '--seed', '7']);
  t.is(other.code, 1);
  t.regex(other.stderr, /was saved with numbers|was saved with seed 1, this run has 7/);
});

test('a source, a model or a device that is not there ends with 1', async (t) => {
  const missing = await edgeshift(['adapt', ...base, '--source', join(root, 'nowhere')]);
  t.is(missing.code, 1);
  t.regex(missing.stderr, /nowhere: cannot be listed/);
  const broken = join(root, 'broken.onnx');
  await writeFile(broken, 'no model');
  const unreadable = await edgeshift(['adapt', broken, '--source', images]);
  t.is(unreadable.code, 1);
  t.regex(unreadable.stderr, /is not an ONNX model or is damaged/);
  const keys = ['--label-keys', 'a=0', '--label-device', '/dev/null'];
  const absent = await edgeshift(['adapt', ...base, '--source', images, ...keys]);
  t.is(absent.code, 1);
  t.regex(absent.stderr, /device with keys: none that is "\/dev\/null" was found|node-hid: cannot be loaded/);
});

test('a reader that goes away ends the lines and not the predictions', async (t) => {
  const { child, ended } = adapt([...long, '--json']);
  await once(child.stdout, 'data');
  child.stdout.destroy();
  const end = await ended;
  t.is(end.code, 0, end.stderr);
  t.is(finalCounts(end).predicted, COUNT * LOOPS);
  t.regex(end.stderr, /predictions are no longer written: .*EPIPE/);
});
