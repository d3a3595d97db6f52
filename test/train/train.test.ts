import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { METADATA } from '../../models/onnx/metadata.ts';
import { readModelFile } from '../../models/onnx/model-file.ts';
import { openModel } from '../../models/onnx/open-model.ts';
import { encodeModel } from '../../models/onnx/proto.ts';
import { readDelta } from '../../runtime/delta/delta.ts';
import { readTensors } from '../../runtime/delta/safetensors.ts';
import { DataError, ExecutionError, UsageError } from '../../runtime/errors.ts';
import type { TrainOptions } from '../../runtime/train/options.ts';
import { type RunEvent, type TrainHooks, train } from '../../runtime/train/train.ts';
import { toyImages } from '../support/train-images.ts';
import { losses, readCheckpoints, tinyModel, tinyRun, trajectory } from '../support/train-runs.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-train-'));
const model = await tinyModel(join(root, 'tiny.onnx'));
const data = await toyImages(join(root, 'images'));

test.after.always(() => rm(root, { recursive: true, force: true }));

let runs = 0;

/** Trains in a run folder of its own and gives it with the result and all events. */
async function go(options: Partial<TrainOptions> = {}, hooks: TrainHooks = {}) {
  const run = join(root, `run-${runs++}`);
  const events: RunEvent[] = [];
  const onEvent = (event: RunEvent): void => {
    events.push(event);
    hooks.onEvent?.(event);
  };
  const result = await train({ ...tinyRun, model, data, run, ...options }, { ...hooks, onEvent });
  return { run, result, events };
}

test('a model that names its classes as the folders are named keeps its head and its order of them', async (t) => {
  const named = await readModelFile(await tinyModel(join(root, 'three.onnx'), 3));
  const order = (await readdir(data)).sort().reverse();
  named.proto.metadataProps.push({
    ...{ $typeName: 'onnx.StringStringEntryProto', key: METADATA.classes, value: JSON.stringify(order) },
  });
  const path = join(root, 'named.onnx');
  await writeFile(path, encodeModel(named.proto));
  const { result } = await go({ model: path, maxSteps: 1 });
  const delta = await readDelta(result.delta ?? '');
  t.deepEqual(delta.classes, order);
  t.is(delta.drop, null, 'the head is its own');
});

test('the loss falls, accuracy rises, and the run folder holds all there is', async (t) => {
  const { run, result, events } = await go({ epochs: 6 });
  const measured = await losses(run);
  t.is(measured.length, 24);
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [first, last] = [mean(measured.slice(0, 4)), mean(measured.slice(-4))];
  t.true(last <= 0.7 * first, `losses ${first} to ${last}`);
  t.true(
    (result.accuracyAfter ?? Number.NaN) > result.accuracyBefore,
    `accuracy ${result.accuracyBefore} to ${result.accuracyAfter}`,
  );
  t.like(result, { steps: 24, interrupted: false, run });
  t.is(result.arenaHighWaterBytes, result.plannedPeakBytes);
  t.deepEqual((await readdir(run)).sort(), [
    ...['checkpoints', 'config.json', 'delta.safetensors', 'metrics.jsonl', 'model.onnx', 'plan.json'],
  ]);
  t.deepEqual(
    (await readCheckpoints(run)).map(({ progress }) => progress.step),
    [20, 24],
    'the newest two are kept',
  );
  t.deepEqual((await readDelta(join(run, 'delta.safetensors'))).classes, ['class-0', 'class-1', 'class-2']);
  const kinds = new Set(events.map(({ kind }) => kind));
  t.deepEqual(kinds, new Set(['images', 'plan', 'accuracy', 'statistics', 'step', 'epoch', 'checkpoint']));
});

test('the same seed gives the same run to the last bit, another seed another', async (t) => {
  const one = await go({ augment: 'flip,shift:2,colour:0.2' });
  const two = await go({ augment: 'flip,shift:2,colour:0.2' });
  t.deepEqual(await trajectory(two.run), await trajectory(one.run));
  const tensors = async (run: string) => (await readTensors(join(run, 'delta.safetensors'))).tensors;
  t.deepEqual(await tensors(two.run), await tensors(one.run));
  const other = await go({ augment: 'flip,shift:2,colour:0.2', seed: 2 });
  t.notDeepEqual(await losses(other.run), await losses(one.run));
});

test('cached features and none give the same run', async (t) => {
  const cached = await go({ augment: 'flip' });
  const uncached = await go({ augment: 'flip', cacheFeatures: false });
  t.deepEqual(await trajectory(uncached.run), await trajectory(cached.run));
});

test('features as 8-bit codes train nearly as exact ones do', async (t) => {
  const options = { augment: 'flip', epochs: 6 } as const;
  const [exact, coded] = [await go(options), await go({ ...options, cacheFeatures: '8bit' })];
  const [expected, actual] = [await losses(exact.run), await losses(coded.run)];
  t.notDeepEqual(actual, expected, 'they are codes');
  // A step between two codes is 1/255 of the range of the features, and the losses are near 1.
  for (const [i, loss] of actual.entries()) {
    const error = Math.abs(loss - (expected[i] ?? Number.NaN));
    t.true(error <= 0.03, `step ${i + 1}: ${loss} is not near ${expected[i]}`);
  }
  const difference = Math.abs((coded.result.accuracyAfter ?? Number.NaN) - (exact.result.accuracyAfter ?? Number.NaN));
  t.true(difference <= 1 / 9 + 1e-9, `accuracy differs by ${difference}: more than one of 9 images`);
});

for (const [optimizer, ...microBatches] of [
  ['sgd', 2],
  ['adamw', 3],
] as const) {
  test(`${optimizer}: gradients accumulate over micro-batches, as if the batch were whole`, async (t) => {
    const weightDecay = 0.01;
    const whole = await go({ optimizer, weightDecay, microBatch: 8 });
    for (const microBatch of microBatches) {
      const cut = await go({ optimizer, weightDecay, microBatch });
      t.true(cut.result.plannedPeakBytes < whole.result.plannedPeakBytes);
      const expected = await losses(whole.run);
      for (const [i, loss] of (await losses(cut.run)).entries()) {
        const error = Math.abs(loss - (expected[i] ?? Number.NaN));
        t.true(error <= 1e-4, `step ${i + 1}, micro-batch ${microBatch}: ${loss} is not ${expected[i]}`);
      }
    }
  });
}

test('early stopping stops after `patience` epochs without a better one, and the best is what is kept', async (t) => {
  const { run, result } = await go({ epochs: 30, patience: 2, schedule: 'constant' });
  const epochs = (await trajectory(run)).flatMap((line) =>
    line.kind === 'epoch' ? [line.validationAccuracy ?? 0] : [],
  );
  const best = epochs.indexOf(Math.max(...epochs));
  t.is(epochs.length, best + 3, `validation ${epochs.join(' ')}`);
  t.true(epochs.length < 30);
  t.is(result.accuracyAfter, epochs[best] ?? null);
  const learnt = (await readDelta(join(run, 'delta.safetensors'))).tensors.get('edgeshift_head.bias')?.data;
  const at = async (name: string) =>
    (await readTensors(join(run, 'checkpoints', name))).tensors.get('edgeshift_head.bias')?.data;
  t.deepEqual(learnt, await at('best.safetensors'));
  t.notDeepEqual(
    learnt,
    await at(`step-${String(result.steps).padStart(8, '0')}.safetensors`),
    'training went on after it',
  );
});

test('the validation split has its share of every class, and the rest trains', async (t) => {
  const { run, result } = await go({ epochs: 1, validation: 0.5 });
  t.is((await losses(run)).length, Math.ceil(18 / 8));
  const [epoch] = (await trajectory(run)).filter((line) => line.kind === 'epoch');
  const eighteenths = 18 * ((epoch?.kind === 'epoch' && epoch.validationAccuracy) || 0);
  t.true(Math.abs(eighteenths - Math.round(eighteenths)) <= 1e-9, 'of 18 images');
  t.is(result.accuracyAfter, epoch?.kind === 'epoch' ? epoch.validationAccuracy : null);
  const error = await t.throwsAsync(go({ validation: 0 }), { instanceOf: UsageError });
  t.regex(error?.message ?? '', /no test images: give --test, or set some aside/);
});

test('train and test folders are found, and nothing is then set aside', async (t) => {
  const parts = join(root, 'parts');
  await toyImages(join(parts, 'train'), { perClass: 6 });
  await toyImages(join(parts, 'test'), { perClass: 2, seed: 6 });
  const { run, result } = await go({ data: parts, epochs: 1 });
  t.is((await losses(run)).length, 3, '18 images in batches of 8');
  const [epoch] = (await trajectory(run)).filter((line) => line.kind === 'epoch');
  t.is(epoch?.kind === 'epoch' && epoch.validationAccuracy, null);
  t.is((6 * (result.accuracyAfter ?? Number.NaN)) % 1, 0);
});

test('the head is kept where the classes are as many; further training goes on from there', async (t) => {
  const first = await go({ epochs: 6 });
  const base = first.result.export ?? '';
  const second = await go({ model: base, epochs: 1, learningRate: { head: 0, weights: 0, norms: 0 } });
  const delta = await readDelta(join(second.run, 'delta.safetensors'));
  t.is(delta.drop, null);
  t.is(second.result.accuracyBefore, first.result.accuracyAfter ?? Number.NaN);
  t.is(second.result.accuracyAfter, first.result.accuracyAfter);
  const renewed = await go({ model: base, epochs: 1, head: 'new' });
  t.deepEqual((await readDelta(join(renewed.run, 'delta.safetensors'))).drop, []);
  t.deepEqual((await openModel(renewed.result.export ?? '')).classes, ['class-0', 'class-1', 'class-2']);
});

test('a loss that is not finite ends the run; the last good checkpoint stays', async (t) => {
  const run = join(root, 'diverged');
  const learningRate = { head: 1e30, weights: 1e30, norms: 1e30 };
  const options = { ...tinyRun, model, data, run, learningRate, optimizer: 'sgd', checkpointSteps: 1 } as const;
  const error = await t.throwsAsync(train(options), { instanceOf: ExecutionError });
  t.regex(error?.message ?? '', /(the loss is (NaN|Infinity)|holds (NaN|-?Infinity) at step \d+)[\s\S]*Hint: /);
  const finite = (await losses(run)).every((loss) => Number.isFinite(loss));
  t.true(finite, 'what was measured is finite');
  for (const { progress } of await readCheckpoints(run)) t.true(progress.step >= 0);
  t.deepEqual(
    (await readdir(run)).filter((name) => /delta|onnx/.test(name)),
    [],
    'nothing is exported',
  );
});

test('a saved plan is replayed for what it was made for, and refused for anything else', async (t) => {
  const events: RunEvent[] = [];
  const first = await go({ blocks: 2, microBatch: 4 }, { onEvent: (event) => events.push(event) });
  const plan = events.flatMap((event) => (event.kind === 'plan' ? [event.plan] : []))[0];
  if (!plan) throw new Error('no plan');
  const replayed = await go({}, { plan: JSON.parse(JSON.stringify(plan)) });
  t.deepEqual(await trajectory(replayed.run), await trajectory(first.run));
  await t.throwsAsync(go({ batch: 9 }, { plan }), {
    instanceOf: UsageError,
    message: /the saved plan is for .*--batch 8.*this run has .*--batch 9/s,
  });
  await t.throwsAsync(go({ model: await tinyModel(join(root, 'other.onnx'), 5, 9) }, { plan }), {
    instanceOf: UsageError,
  });
});

test('a run that cannot start leaves nothing behind', async (t) => {
  const run = join(root, 'never', 'started');
  const options = { ...tinyRun, model, data, run };
  await t.throwsAsync(train({ ...options, data: join(root, 'nowhere') }), { instanceOf: DataError });
  await t.throwsAsync(train({ ...options, blocks: 99 }), {
    instanceOf: UsageError,
    message: /--blocks must be .* 0 to \d+/,
  });
  await t.throwsAsync(train({ ...options, augment: 'twist' }), { instanceOf: UsageError });
  await t.throwsAsync(train({ ...options, drop: ['nope'] }), {
    instanceOf: UsageError,
    message: /--drop names no layer/,
  });
  await t.throwsAsync(readdir(run), { code: 'ENOENT' });
});

test('a folder that holds a run is not written to', async (t) => {
  const { run } = await go({ epochs: 1 });
  const before = await trajectory(run);
  await t.throwsAsync(train({ ...tinyRun, model, data, run }), {
    instanceOf: UsageError,
    message: /holds a run already\nHint: .*--resume/,
  });
  t.deepEqual(await trajectory(run), before);
});

test('image sizes and batches that are no multiples of four', async (t) => {
  const { result } = await go({ scheme: 'head', imageSize: 33, batch: 7, microBatch: 3, epochs: 1 });
  t.is(result.arenaHighWaterBytes, result.plannedPeakBytes);
});
