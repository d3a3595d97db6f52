import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import test from 'ava';
import { BackgroundAdapter, planBackground } from '../../runtime/adapt/background.ts';
import { writeAdaptedModel } from '../../runtime/adapt/export-adapted.ts';
import { type AdaptOptions, openAdapter, planAdaptation } from '../../runtime/adapt/open.ts';
import { WorkerAdapter } from '../../runtime/adapt/worker-adapter.ts';
import { RightOfWay } from '../../runtime/engine/give-way.ts';
import { BudgetError, ExecutionError, UsageError } from '../../runtime/errors.ts';
import { lighterFrames, tinyAdaptation, tinyModel } from '../support/adapt-methods.ts';
import { assertClose } from '../support/compare.ts';
import { runOnnxruntime } from '../support/onnx-models.ts';

const folder = await mkdtemp(join(tmpdir(), 'edgeshift-test-worker-'));
test.after.always(() => rm(folder, { recursive: true, force: true }));

const batch = 8;
const size = 16;
const options: AdaptOptions = tinyAdaptation;
const frames = lighterFrames;

test('an adapter in a worker does what one in this thread does, and goes on from its state to the bit', async (t) => {
  await using here = await openAdapter(options);
  await using there = await WorkerAdapter.open(options);
  t.like(there, { method: 'edgeshift', classes: 6, imageSize: size, batch });
  let updates = 0;
  for (let call = 0; call < 8; call++) {
    const [one, other] = [await here.observe(frames(call), batch), await there.observe(frames(call), batch)];
    t.deepEqual(other, one, `call ${call}`);
    updates += Number(one.updated);
  }
  t.true(updates > 0);
  t.deepEqual(await there.save(), await here.save());
  t.deepEqual(await there.memory(), await here.memory());
  await using next = await WorkerAdapter.open(options);
  await next.load(await there.save());
  for (let call = 8; call < 12; call++) {
    t.deepEqual(await next.observe(frames(call), batch), await here.observe(frames(call), batch), `call ${call}`);
  }
  await there.reset();
  await using fresh = await openAdapter(options);
  t.deepEqual(await there.observe(frames(0), batch), await fresh.observe(frames(0), batch));
});

test('calls that are not awaited do not mix their frames', async (t) => {
  await using adapter = await WorkerAdapter.open({ ...options, method: 'none', numbers: {} });
  const alone = [];
  for (let call = 0; call < 4; call++) alone.push(await adapter.observe(frames(call), batch));
  const together = await Promise.all(Array.from({ length: 4 }, (_, call) => adapter.observe(frames(call), batch)));
  t.deepEqual(together, alone);
});

test('an adapter behind waits between its steps while a prediction is under way, and ends nevertheless', async (t) => {
  const right = new RightOfWay();
  const behind: AdaptOptions = { ...options, predicts: false };
  await using adapter = await WorkerAdapter.open({ ...behind, givesWayTo: right.shared });
  const [woken, outcome] = await right.during(async () => {
    let ended = false;
    const call = adapter.observe(frames(0), batch).finally(() => {
      ended = true;
    });
    let woken = 0;
    while (woken === 0 && !ended) {
      await setImmediate();
      woken = Atomics.notify(new Int32Array(right.shared), 0);
    }
    return [woken, await call];
  });
  t.is(woken, 1);
  await using alone = await WorkerAdapter.open(behind);
  t.deepEqual(outcome, await alone.observe(frames(0), batch));
});

test('errors keep their class; calls of a closed adapter are refused', async (t) => {
  await t.throwsAsync(WorkerAdapter.open({ ...options, budgetBytes: 2 ** 20 }), { instanceOf: BudgetError });
  const adapter = await WorkerAdapter.open(options);
  t.throws(() => adapter.observe(frames(0), batch + 1), { instanceOf: UsageError, message: /1 to 8 frames/ });
  await adapter[Symbol.asyncDispose]();
  await t.throwsAsync(adapter.save(), { instanceOf: ExecutionError, message: /closed/ });
});

for (const [method, numbers] of [
  ['edgeshift', { memory: 16, pass: 8 }],
  ['bn-ema', {}],
] as const) {
  test(`${method}: the exported model says in bare onnxruntime what the adapter predicts`, async (t) => {
    const own: AdaptOptions = { ...options, method, numbers };
    await using adapter = await WorkerAdapter.open(own);
    for (let call = 0; call < 8; call++) await adapter.observe(frames(call), batch);
    const path = join(folder, `${method}.onnx`);
    await writeAdaptedModel(path, own, adapter.facts, await adapter.learnt());
    const { scale, bias } = adapter.facts.delta.preprocessing;
    const pixels = Float32Array.from(frames(3), (value, i) => value * (scale[i % 3] ?? 1) + (bias[i % 3] ?? 0));
    const bare = await runOnnxruntime(await readFile(path), pixels, [size, size, 3]);
    const { logits } = await adapter.observe(frames(3), batch, false);
    const deployed = await runOnnxruntime(await readFile(tinyModel), pixels, [size, size, 3]);
    t.true(Math.max(...logits.map((value, i) => Math.abs(value - (deployed[i] ?? 0)))) > 0.01, 'something was learnt');
    assertClose(t, logits, bare, { rtol: 1e-3, atol: 1e-4 }, method);
  });
}

test('a background predictor answers with what the adapter behind it learnt', async (t) => {
  await using both = await BackgroundAdapter.open(options);
  let taken = 0;
  for (let call = 0; call < 12; call++) {
    const { updated } = await both.observe(frames(call), batch);
    taken += Number(updated);
    // Slow enough for the adapter behind, which looks at every frame then.
    await both.settled();
  }
  t.like(both.counts(), { seen: 12 * batch, passedBy: 0, failures: 0 });
  t.true(taken > 0 && both.counts().taken >= taken, JSON.stringify(both.counts()));
  await using alone = await openAdapter(options);
  for (let call = 0; call < 12; call++) await alone.observe(frames(call), batch);
  t.deepEqual(await both.learnt(), await alone.learnt());
  const expected = await alone.observe(frames(5), batch, false);
  const { logits } = await both.observe(frames(5), batch, false);
  assertClose(t, logits, expected.logits, { rtol: 1e-4, atol: 1e-5 }, 'predictor');
});

test('frames that come while the adapter is busy pass by, the oldest first', async (t) => {
  await using both = await BackgroundAdapter.open(options);
  const outcomes = await Promise.all(Array.from({ length: 40 }, (_, call) => both.observe(frames(call % 8), batch)));
  t.is(outcomes.length, 40);
  const { seen, passedBy } = both.counts();
  t.true(passedBy > 0 && seen + passedBy <= 40 * batch && seen + passedBy >= 39 * batch, JSON.stringify(both.counts()));
});

test('a background plan counts both sides; methods that predict from the batch are refused', async (t) => {
  const both = await planBackground(options);
  const alone = await planAdaptation(options);
  t.true(both.adapter.plan.totalBytes > alone.plan.totalBytes + both.predictor.plan.arenaBytes);
  t.true(both.predictor.plan.peakBytes < alone.plan.peakBytes);
  const budgetBytes = both.adapter.plan.totalBytes - 1;
  await t.throwsAsync(planBackground({ ...options, budgetBytes }), { instanceOf: BudgetError });
  for (const method of ['tent', 'bn-batch', 'cotta'] as const) {
    await t.throwsAsync(BackgroundAdapter.open({ ...options, method, numbers: {} }), {
      instanceOf: UsageError,
      message: /statistics of each batch[\s\S]*Hint: leave --background away/,
    });
  }
});
