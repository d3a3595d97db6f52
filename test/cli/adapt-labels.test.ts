/** Keys that label frames while they are adapted to: a real session, presses that a test sends. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import test from 'ava';
import { openAdapter } from '../../runtime/adapt/open.ts';
import { runSession } from '../../runtime/adapt/session.ts';
import { LateLabels } from '../../runtime/adapt/streams/late-labels.ts';
import { openSource } from '../../runtime/adapt/streams/open-source.ts';
import { PredictionLines } from '../../runtime/adapt/streams/prediction-lines.ts';
import { DataError, UsageError } from '../../runtime/errors.ts';
import { openKeys } from '../../tools/cli/adapt-labels.ts';
import { driftingImages } from '../support/adapt-cli.ts';
import { tinyModel } from '../support/adapt-methods.ts';
import { Pedal, pedalLibrary } from '../support/pedal.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-keys-'));
const images = await driftingImages(join(root, 'images'), 24);
test.after.always(() => rm(root, { recursive: true, force: true }));

const facts = { classCount: 6, classes: ['zero', 'one', 'two', 'three', 'four', 'five'], keep: 64 };

test('presses label the frame that was predicted last; what is held at the end is learnt from, what was undone is not', async (t) => {
  const pedal = new Pedal();
  const said: string[] = [];
  await using adapter = await openAdapter({
    ...{ model: tinyModel, threads: 1, batch: 8, budgetBytes: 2 ** 33, method: 'edgeshift' },
    numbers: { memory: 16, pass: 8 },
  });
  const labels = new LateLabels({ ...facts, imageSize: adapter.imageSize });
  const flags = { labelKeys: 'a=one,b=two,c=undo', labelDevice: 'P1' };
  const keys = await openKeys(flags, facts, labels, (text) => said.push(text), pedalLibrary(pedal));
  const presses: Readonly<Record<number, 'a' | 'b' | 'c'>> = { 5: 'a', 9: 'b', 10: 'c' };
  const result = await runSession({
    ...{ adapter, background: null, classNames: null, probabilities: false, policy: 'block', capacity: 16, run: null },
    source: await openSource({ kind: 'folder', folder: images, imageSize: adapter.imageSize }),
    lines: new PredictionLines(new Writable({ write: (_chunk, _encoding, done) => done() })),
    ...{ labels, deadlineMillis: Number.POSITIVE_INFINITY, snapshotFrames: 16, snapshotSeconds: 1000 },
    signal: new AbortController().signal,
    onPredicted: ({ index }) => {
      keys?.show(index);
      const letter = presses[index];
      if (letter !== undefined) pedal.press(letter);
    },
    onDrained: async () => keys?.[Symbol.asyncDispose](),
    onEvent: () => undefined,
  });
  t.deepEqual(said, ['key a: labelled', 'key b: labelled', 'key c: undone']);
  t.like(result.labels, { used: 1, taught: 1, waiting: 0, early: 0, forgotten: 0, invalid: 0 });
  t.like(keys?.counts(), { labels: { given: 1, undone: 1, held: 0 } });
  t.false(pedal.isOpen);
});

test('without --label-keys there are none; options that do not go together are refused', async (t) => {
  const labels = new LateLabels({ ...facts, imageSize: 2 });
  const open = (flags: Record<string, string>, keep = facts.keep) =>
    openKeys(flags, { ...facts, keep }, labels, () => t.fail(), pedalLibrary(new Pedal()));
  t.is(await open({}), null);
  await t.throwsAsync(open({ labelDevice: 'P1' }), { instanceOf: UsageError, message: /needs --label-keys/ });
  await t.throwsAsync(open({ labelKeys: 'a=one' }, 0), { instanceOf: UsageError, message: /--keep-labels must be/ });
  await t.throwsAsync(open({ labelKeys: 'a=six' }), { instanceOf: UsageError, message: /"a=six"/ });
  await t.throwsAsync(open({ labelKeys: 'a=one', labelDevice: 'P2' }), {
    instanceOf: DataError,
    message: /device with keys: none that is "P2" was found/,
  });
});
