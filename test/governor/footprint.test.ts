/** How long giving memory back takes, as a run measures it and as it forgets it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { openModel } from '../../models/onnx/open-model.ts';
import { Footprint } from '../../runtime/governor/footprint.ts';
import { plan as makePlan } from '../support/training.ts';
import { wideModel } from '../support/wide-model.ts';

const MIB = 2 ** 20;
const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-footprint-'));
const { graph } = await openModel(await wideModel(join(root, 'wide.onnx')));
const plan = makePlan(graph);
test.after.always(() => rm(root, { recursive: true, force: true }));

const afterSteps = (...millis: readonly number[]): Footprint => {
  const footprint = new Footprint(plan, 50 * MIB);
  for (const each of millis) footprint.worked(plan, each, 'step', 100 * MIB);
  return footprint;
};
const slow = Array.from({ length: 8 }, () => 2000);

test('the longest of the last steps counts, and a usual one', (t) => {
  const footprint = afterSteps(...slow.slice(1), 8000);
  footprint.closed(300, 50 * MIB);
  t.is(footprint.reactionMillis, 1.5 * 8000 + 300);
  t.is(footprint.usualMillis, 1.5 * 2000 + 300);
});

test('who waits forgets slow steps, down to what is assumed of a new run', (t) => {
  const assumed = new Footprint(plan, 0);
  const footprint = afterSteps(...slow);
  footprint.closed(900, 50 * MIB);
  footprint.opened(4000);
  footprint.waited();
  t.is(footprint.usualMillis, 0.75 * (1.5 * 2000 + 900));
  t.is(footprint.openMillis, 3000);
  for (let n = 0; n < 20; n++) footprint.waited();
  t.is(footprint.usualMillis, assumed.usualMillis);
  t.is(footprint.reactionMillis, assumed.reactionMillis);
  t.is(footprint.openMillis, assumed.openMillis);
});

test('fast steps are not made slower by waiting', (t) => {
  const footprint = afterSteps(...slow.map(() => 20));
  footprint.closed(60, 50 * MIB);
  const before = footprint.usualMillis;
  footprint.waited();
  t.is(footprint.usualMillis, before);
});
