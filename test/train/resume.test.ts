import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { readTensors } from '../../runtime/delta/safetensors.ts';
import { DataError, DeltaError, UsageError } from '../../runtime/errors.ts';
import type { TrainOptions } from '../../runtime/train/options.ts';
import { type RunEvent, resumeTraining, type TrainResult, train } from '../../runtime/train/train.ts';
import { toyImages } from '../support/train-images.ts';
import { readCheckpoints, tinyModel, tinyRun, trajectory } from '../support/train-runs.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-resume-'));
const model = await tinyModel(join(root, 'tiny.onnx'));
const data = await toyImages(join(root, 'images'));
test.after.always(() => rm(root, { recursive: true, force: true }));

const settings: Readonly<Record<string, Partial<TrainOptions>>> = {
  adam: { optimizer: 'adam', augment: 'flip', checkpointSteps: 3 },
  sgd: { optimizer: 'sgd', augment: 'shift:2,colour:0.3', microBatch: 3, checkpointSteps: 100 },
  statistics: { optimizer: 'sgd', norms: 'batch', save: '8bit', recompute: true, checkpointSteps: 2, augment: 'flip' },
  codes: { optimizer: 'adam', cacheFeatures: '8bit', augment: 'flip', checkpointSteps: 2 },
  patience: { optimizer: 'adamw', patience: 2, epochs: 4, warmupSteps: 3, augment: 'flip', checkpointSteps: 1 },
};

let runs = 0;
const options = (setting: string): TrainOptions => ({
  ...{ ...tinyRun, model, data, run: join(root, `${setting}-${runs++}`) },
  ...settings[setting],
});

const references = new Map<string, Promise<{ run: string; result: TrainResult }>>();

/** A run of these settings that never stopped. */
function uninterrupted(setting: string): Promise<{ run: string; result: TrainResult }> {
  const known = references.get(setting);
  if (known) return known;
  const chosen = options(setting);
  const started = train(chosen).then((result) => ({ run: chosen.run, result }));
  references.set(setting, started);
  return started;
}

/** Stops as soon as the event at hand is the one waited for. */
function stopper(when: (event: RunEvent) => boolean) {
  const controller = new AbortController();
  const onEvent = (event: RunEvent): void => {
    if (when(event)) controller.abort();
  };
  return { signal: controller.signal, onEvent };
}

const atStep = (step: number) => (event: RunEvent) => event.kind === 'step' && event.step === step;

async function assertSameAsUninterrupted(
  t: ExecutionContext,
  setting: string,
  run: string,
  result: TrainResult,
): Promise<void> {
  const reference = await uninterrupted(setting);
  t.deepEqual(await trajectory(run), await trajectory(reference.run), 'losses, step by step and bit by bit');
  const tensors = async (folder: string) => (await readTensors(join(folder, 'delta.safetensors'))).tensors;
  t.deepEqual(await tensors(run), await tensors(reference.run));
  t.true((await readFile(join(run, 'model.onnx'))).equals(await readFile(join(reference.run, 'model.onnx'))));
  const { accuracyBefore, accuracyAfter, trainAccuracy, steps } = reference.result;
  t.like(result, { accuracyBefore, accuracyAfter, trainAccuracy, steps, interrupted: false });
}

// 4 steps an epoch: at the first step of all, at the last one of an epoch, in the middle of one.
for (const [setting, steps] of [
  ['adam', [1, 4, 6, 11]],
  ['sgd', [7]],
  ['patience', [9]],
  ['statistics', [5]],
  ['codes', [6]],
] as const) {
  test(`${setting}: stopped at step ${steps.join(' and ')}, it goes on as if it never had`, async (t) => {
    const chosen = options(setting);
    let result: TrainResult | undefined;
    for (const step of steps) {
      const stop = stopper(atStep(step));
      result = result ? await resumeTraining(chosen.run, stop) : await train(chosen, stop);
      t.like(result, { interrupted: true, steps: step, accuracyAfter: null, delta: null, export: null });
      t.is(
        (await readCheckpoints(chosen.run)).filter(({ name }) => name.startsWith('step-')).at(-1)?.progress.step,
        step,
      );
    }
    await assertSameAsUninterrupted(t, setting, chosen.run, await resumeTraining(chosen.run));
  });
}

test('stopped before the first step, and during an evaluation', async (t) => {
  const chosen = options('adam');
  const before = await train(
    chosen,
    stopper((event) => event.kind === 'plan'),
  );
  t.like(before, { interrupted: true, steps: 0 });
  const between = await resumeTraining(
    chosen.run,
    stopper((event) => event.kind === 'epoch' && event.epoch === 1),
  );
  t.like(between, { interrupted: true, steps: 8 });
  await assertSameAsUninterrupted(t, 'adam', chosen.run, await resumeTraining(chosen.run));
});

test('a signal after the last step changes nothing', async (t) => {
  const chosen = options('adam');
  await assertSameAsUninterrupted(t, 'adam', chosen.run, await train(chosen, stopper(atStep(12))));
});

test("ended between an epoch's line and its checkpoint, the line is there once", async (t) => {
  const chosen = options('patience');
  const onEvent = (event: RunEvent): void => {
    if (event.kind === 'epoch' && event.epoch === 1) throw new Error('pulled the plug');
  };
  await t.throwsAsync(train(chosen, { onEvent }), { message: 'pulled the plug' });
  await assertSameAsUninterrupted(t, 'patience', chosen.run, await resumeTraining(chosen.run));
});

test('a damaged checkpoint costs the steps since the one before it; without any the run starts anew', async (t) => {
  const chosen = options('adam');
  await train(chosen, stopper(atStep(8)));
  const folder = join(chosen.run, 'checkpoints');
  t.deepEqual((await readdir(folder)).sort(), ['step-00000006.safetensors', 'step-00000008.safetensors']);
  const newest = join(folder, 'step-00000008.safetensors');
  await writeFile(newest, (await readFile(newest)).subarray(0, 1000));
  const resumed: number[] = [];
  const stop = stopper(atStep(7));
  const onEvent = (event: RunEvent): void => {
    if (event.kind === 'resume') resumed.push(event.step);
    stop.onEvent(event);
  };
  await resumeTraining(chosen.run, { signal: stop.signal, onEvent });
  t.deepEqual(resumed, [6]);

  for (const name of await readdir(folder)) await writeFile(join(folder, name), 'damaged');
  await writeFile(join(folder, 'step-00000099.safetensors.7.tmp'), 'half');
  await writeFile(join(chosen.run, 'delta.safetensors.7.tmp'), 'half');
  await writeFile(join(chosen.run, 'metrics.jsonl'), '{"kind":"step","step":1,"lo');
  await assertSameAsUninterrupted(t, 'adam', chosen.run, await resumeTraining(chosen.run));
  const left = [...(await readdir(folder)), ...(await readdir(chosen.run))];
  t.deepEqual(
    left.filter((name) => name.endsWith('.tmp')),
    [],
  );
});

test('a checkpoint of another plan is refused, by name', async (t) => {
  const { run } = await uninterrupted('adam');
  const other = options('adam');
  await train({ ...other, blocks: 2 }, stopper(atStep(2)));
  const bytes = await readFile(join(run, 'checkpoints', 'step-00000012.safetensors'));
  await writeFile(join(other.run, 'checkpoints', 'step-00000099.safetensors'), bytes);
  await t.throwsAsync(resumeTraining(other.run), {
    instanceOf: DeltaError,
    message: /step-00000099.* does not belong to this run: it lacks "/,
  });
});

test('there is nothing to resume in a folder without a run, or with a damaged one', async (t) => {
  await t.throwsAsync(resumeTraining(join(root, 'nothing')), { instanceOf: UsageError, message: /no run to resume/ });
  await writeFile(join(root, 'config.json'), '{"model":');
  await t.throwsAsync(resumeTraining(root), { instanceOf: DataError, message: /config\.json" is not JSON/ });
});
