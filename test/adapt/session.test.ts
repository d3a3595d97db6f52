import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import test from 'ava';
import { AdaptRun } from '../../runtime/adapt/adapt-run.ts';
import type { Adapter } from '../../runtime/adapt/adapter.ts';
import { BackgroundAdapter } from '../../runtime/adapt/background.ts';
import { type AdaptOptions, openAdapter } from '../../runtime/adapt/open.ts';
import { runSession, type SessionEvent, type SessionOptions } from '../../runtime/adapt/session.ts';
import { LateLabels } from '../../runtime/adapt/streams/late-labels.ts';
import { openSource } from '../../runtime/adapt/streams/open-source.ts';
import { type Prediction, PredictionLines } from '../../runtime/adapt/streams/prediction-lines.ts';
import { WorkerAdapter } from '../../runtime/adapt/worker-adapter.ts';
import { DataError, ExecutionError } from '../../runtime/errors.ts';
import { driftingImages } from '../support/adapt-cli.ts';
import { tinyModel } from '../support/adapt-methods.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-session-'));
const COUNT = 40;
const images = await driftingImages(join(root, 'images'), COUNT);
test.after.always(() => rm(root, { recursive: true, force: true }));

const options: AdaptOptions = {
  ...{ model: tinyModel, threads: 1, batch: 8, budgetBytes: 2 ** 33 },
  ...{ numbers: { memory: 16, pass: 8 }, method: 'edgeshift' },
};

interface Recorded {
  readonly result: Awaited<ReturnType<typeof runSession>>;
  readonly predictions: readonly Prediction[];
  readonly events: readonly SessionEvent[];
}

/** Runs a session on the folder of images, unless told otherwise. */
async function record(adapter: Adapter, changes: Partial<SessionOptions> = {}): Promise<Recorded> {
  const predictions: Prediction[] = [];
  const events: SessionEvent[] = [];
  const output = new Writable({
    write(chunk, _encoding, done) {
      if (chunk.length > 0) predictions.push(JSON.parse(String(chunk)) as Prediction);
      done();
    },
  });
  const result = await runSession({
    ...{ adapter, background: null, classNames: null, probabilities: false, policy: 'block', capacity: 16, run: null },
    source: await openSource({ kind: 'folder', folder: images, imageSize: adapter.imageSize }),
    lines: new PredictionLines(output),
    labels: new LateLabels({ classCount: 6, classes: null, imageSize: adapter.imageSize, keep: 16 }),
    ...{ deadlineMillis: Number.POSITIVE_INFINITY, snapshotFrames: 16, snapshotSeconds: 1000 },
    signal: new AbortController().signal,
    onEvent: (event) => events.push(event),
    ...changes,
  });
  return { result, predictions, events };
}

const troubles = ({ events }: Recorded): readonly string[] =>
  events.flatMap((event) => (event.kind === 'trouble' ? [event.text] : []));

test('counts add up; the last batch may be short', async (t) => {
  await using adapter = await openAdapter({ ...options, batch: 16 });
  const recorded = await record(adapter);
  const { result, predictions, events } = recorded;
  t.deepEqual(
    predictions.map(({ frame }) => frame),
    Array.from({ length: COUNT }, (_, n) => n),
  );
  t.like(result, { predicted: COUNT, failure: null, failures: 0, background: null, interrupted: false });
  t.like(result.queue, { arrived: COUNT, handled: COUNT, dropped: 0, waiting: 0 });
  t.is(
    Object.values(result.reasons).reduce((sum, frames) => sum + frames, 0),
    COUNT,
  );
  t.is(result.updated, predictions.filter(({ updated }) => updated).length);
  t.is(events.filter(({ kind }) => kind === 'batch').length, 3);
  t.deepEqual(troubles(recorded), []);
});

test('a disk that refuses snapshots stops no prediction', async (t) => {
  await using adapter = await WorkerAdapter.open(options);
  const folder = join(root, 'refusing');
  const run = await AdaptRun.open(folder, options, adapter, { resume: false, replayable: true });
  await writeFile(join(folder, 'state'), 'a file where the folder should be');
  const recorded = await record(adapter, { run });
  t.is(recorded.predictions.length, COUNT);
  t.deepEqual(recorded.result.snapshots, { written: 0, failed: 3 });
  t.true(troubles(recorded).every((text) => /no snapshot could be saved: cannot write/.test(text)));
});

test('a call that fails costs what was learnt, and its frames are predicted by the deployed model', async (t) => {
  await using real = await openAdapter(options);
  await using none = await openAdapter({ ...options, method: 'none', numbers: {} });
  let calls = 0;
  const failing: Adapter = {
    ...{ method: real.method, classes: real.classes, imageSize: real.imageSize, batch: real.batch },
    ...{ teach: (labels) => real.teach(labels), reset: () => real.reset(), memory: () => real.memory() },
    ...{ save: () => real.save(), load: (state) => real.load(state), learnt: () => real.learnt() },
    async observe(pixels, count, adapt) {
      calls += 1;
      if (calls === 4) throw new ExecutionError('injected');
      return real.observe(pixels, count, adapt);
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
  const recorded = await record(failing);
  const deployed = await record(none);
  t.is(recorded.result.failures, 1);
  t.is(recorded.predictions.length, COUNT);
  const hit = recorded.predictions.slice(24, 32);
  t.true(hit.every(({ reason, updated }) => updated && reason === 'failed, back to deployed'));
  t.deepEqual(
    hit.map(({ entropy }) => entropy),
    deployed.predictions.slice(24, 32).map(({ entropy }) => entropy),
  );
  t.deepEqual(troubles(recorded), ['adaptation failed, back to the deployed model: injected']);
});

test('a source that fails ends the session after the last frame, with the state saved', async (t) => {
  await using adapter = await WorkerAdapter.open(options);
  const folder = join(root, 'failing-source');
  const run = await AdaptRun.open(folder, options, adapter, { resume: false, replayable: false });
  const command = `cat ${join(images, '0000.png')} ${join(images, '0001.png')}; exit 3`;
  const source = await openSource({ kind: 'command', command, imageSize: adapter.imageSize });
  const { result, predictions } = await record(adapter, { source, run, deadlineMillis: 0 });
  t.is(predictions.length, 2);
  t.true(result.failure instanceof DataError && /exit code 3/.test(result.failure.message));
  t.deepEqual(result.snapshots, { written: 1, failed: 0 });
});

test('behind predictions, saving and adapting go on; a signal ends a live stream after the frames that wait', async (t) => {
  await using both = await BackgroundAdapter.open(options);
  const run = await AdaptRun.open(join(root, 'behind'), options, both, { resume: false, replayable: false });
  const stop = new AbortController();
  const command = `while true; do cat ${images}/*.png; done`;
  const source = await openSource({ kind: 'command', command, imageSize: both.imageSize });
  let snapshots = 0;
  const recorded = await record(both, {
    ...{ source, run, background: both, deadlineMillis: 0, policy: 'drop-oldest', signal: stop.signal },
    onEvent: (event) => {
      snapshots += Number(event.kind === 'snapshot');
      if (snapshots === 3) stop.abort();
    },
  });
  const { result, predictions } = recorded;
  t.true(result.interrupted && result.failure === null, String(result.failure));
  t.is(predictions.length, result.predicted);
  t.is(result.queue.arrived, result.queue.handled + result.queue.dropped);
  t.true((result.background?.seen ?? 0) > 0 && result.background?.failures === 0);
  t.true(result.snapshots.written >= 3 && result.snapshots.failed === 0);
  const resumed = await AdaptRun.open(join(root, 'behind'), options, both, { resume: true, replayable: false });
  t.is(resumed.begun.predicted, result.predicted);
});
