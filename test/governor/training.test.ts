/** Whole runs beside a neighbour that exists in the readings alone, so that what is given way to is decided here. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { openModel } from '../../models/onnx/open-model.ts';
import { readTensors } from '../../runtime/delta/safetensors.ts';
import type { GovernorEvent } from '../../runtime/governor/governor.ts';
import { toFileLayout } from '../../runtime/graph/axes.ts';
import { parameterOf } from '../../runtime/graph/graph.ts';
import type { TrainOptions } from '../../runtime/train/options.ts';
import { type RunEvent, resumeTraining, type TrainHooks, type TrainResult, train } from '../../runtime/train/train.ts';
import { toyImages } from '../support/train-images.ts';
import { tinyRun, trajectory } from '../support/train-runs.ts';
import { VirtualNeighbour } from '../support/virtual-neighbour.ts';
import { wideModel } from '../support/wide-model.ts';

const MIB = 2 ** 20;
const LIMIT = 640 * MIB;
const RESERVE = LIMIT / 16;

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-governor-'));
const model = await wideModel(join(root, 'wide.onnx'));
const data = await toyImages(join(root, 'images'), { perClass: 15 });
test.after.always(() => rm(root, { recursive: true, force: true }));

let runs = 0;
const options = (more: Partial<TrainOptions> = {}): TrainOptions => ({
  ...{
    ...tinyRun,
    model,
    data,
    run: join(root, `run-${runs++}`),
    blocks: 3,
    batch: 32,
    epochs: 7,
    validation: 0.2,
    threads: 1,
  },
  ...{ checkpointSteps: 100, recompute: false, exportModel: false, optimizer: 'adam' },
  ...more,
});

interface Governed {
  readonly result: TrainResult;
  readonly done: readonly GovernorEvent[];
}

/** Trains, and lets `act` change the neighbour at each event. */
async function governed(
  run: (hooks: TrainHooks) => Promise<TrainResult>,
  act: (event: RunEvent, neighbour: VirtualNeighbour) => void,
  signal?: AbortSignal,
  heldBefore = 0,
): Promise<Governed> {
  const neighbour = new VirtualNeighbour(LIMIT);
  neighbour.hold(heldBefore);
  const done: GovernorEvent[] = [];
  const onEvent = (event: RunEvent): void => {
    if (event.kind === 'governor' && event.action !== 'trim') done.push(event);
    act(event, neighbour);
  };
  const result = await run({ governor: neighbour, onEvent, ...(signal && { signal }) });
  return { result, done };
}

const at = (step: number, event: RunEvent): boolean => event.kind === 'step' && event.step === step;
const actions = ({ done }: Governed): readonly string[] => done.map(({ action }) => action);
const did = (action: string, event: RunEvent): boolean => event.kind === 'governor' && event.action === action;

/** Steps, epochs and what was learnt, of a run that may have been disturbed. */
async function outcome({ result }: Governed): Promise<readonly unknown[]> {
  const measured = (await trajectory(result.run)).filter(({ kind }) => kind !== 'governor');
  return [result.accuracyAfter, measured, await readFile(result.delta ?? '', 'base64')];
}

const undisturbed = new Map<string, Promise<Governed>>();

function reference(more: Partial<TrainOptions> = {}): Promise<Governed> {
  const key = JSON.stringify(more);
  const known =
    undisturbed.get(key) ??
    governed(
      (hooks) => train(options(more), hooks),
      () => undefined,
    );
  undisturbed.set(key, known);
  return known;
}

async function largestDifference(t: ExecutionContext, one: Governed, other: Governed): Promise<number> {
  const [a, b] = await Promise.all([one, other].map(({ result }) => readTensors(result.delta ?? '')));
  t.deepEqual([...(a?.tensors.keys() ?? [])], [...(b?.tensors.keys() ?? [])]);
  const differences = [...(a?.tensors.values() ?? [])].flatMap(({ name, data: values }) =>
    Array.from(values, (value, i) => Math.abs(value - (b?.tensors.get(name)?.data[i] ?? Number.NaN))),
  );
  return differences.reduce((most, each) => (each <= most ? most : each), 0);
}

test.serial('with nothing near the limit nothing is done, and nothing is different', async (t) => {
  const watched = await reference();
  t.deepEqual(watched.done, []);
  t.deepEqual(watched.result.governor, { trim: 0, shrink: 0, pause: 0, resume: 0, grow: 0 });
  const result = await train(options(), { governor: false });
  t.is(result.governor, null);
  t.deepEqual(await outcome(watched), await outcome({ result, done: [] }));
});

test.serial('a pause changes nothing about the result', async (t) => {
  const paused = await governed(
    (hooks) => train(options(), hooks),
    (event, neighbour) => {
      if (at(5, event) || at(9, event)) neighbour.hold(LIMIT);
      if (did('pause', event)) neighbour.hold(0);
    },
  );
  t.deepEqual(actions(paused), ['pause', 'resume', 'pause', 'resume']);
  t.deepEqual(await outcome(paused), await outcome(await reference()));
  const { arenaHighWaterBytes, plannedPeakBytes } = paused.result;
  t.is(arenaHighWaterBytes, plannedPeakBytes);
});

/** Steps enough for memory to have been there for as long as patience asks, however fast they are. */
const long = { epochs: 30 } as const;

test.serial('smaller micro-batches first: the same update but for the order of sums, and back again', async (t) => {
  const squeezed = await governed(
    (hooks) => train(options(long), hooks),
    (event, neighbour) => {
      if (at(5, event)) neighbour.squeeze(RESERVE + 20 * MIB, 2 * RESERVE);
      if (at(10, event)) neighbour.hold(0);
    },
  );
  t.deepEqual(actions(squeezed), ['shrink', 'grow']);
  t.regex(squeezed.done[0]?.plan ?? '', /--blocks 3 --batch 32 --micro-batch 16$/);
  t.regex(squeezed.done[1]?.plan ?? '', /--blocks 3 --batch 32 --micro-batch 32$/);
  const [accuracy] = await outcome(await reference(long));
  t.is(squeezed.result.accuracyAfter, accuracy as number);
  const difference = await largestDifference(t, squeezed, await reference(long));
  t.log(`largest difference of a learnt value: ${difference}`);
  t.true(difference < 1e-3, `${difference}`);
  const noted = (await trajectory(squeezed.result.run)).filter(
    (line) => line.kind === 'governor' && line.action !== 'trim',
  );
  t.like(noted, { 0: { action: 'shrink' }, 1: { action: 'grow' }, length: 2 });
});

/** A batch that cannot be cut: what is left is precision, then blocks. */
const whole = { norms: 'batch', save: 'float' } as const;

test.serial('then precision, then blocks, whose values stay in the model and in the delta', async (t) => {
  const middle: Map<string, Float32Array>[] = [];
  const chosen = options({ ...whole, checkpointSteps: 1 });
  const read = async (step: number): Promise<Map<string, Float32Array>> => {
    const { tensors } = await readTensors(
      join(chosen.run, 'checkpoints', `step-${`${step}`.padStart(8, '0')}.safetensors`),
    );
    return new Map([...tensors].map(([name, { data: values }]) => [name, values]));
  };
  let reading = Promise.resolve();
  const squeezed = await governed(
    (hooks) => train(chosen, hooks),
    (event, neighbour) => {
      if (at(5, event)) neighbour.squeeze(60 * MIB, 2 * RESERVE);
      if (at(10, event)) neighbour.squeeze(60 * MIB + RESERVE, 2 * RESERVE);
      if (event.kind === 'checkpoint' && /0000(12|14)\.safetensors$/.test(event.path)) {
        reading = reading.then(async () => {
          middle.push(await read(Number(/(\d+)\.safe/.exec(event.path)?.[1])));
        });
      }
    },
  );
  await reading;
  t.log(squeezed.done.map(({ action, plan, reason }) => `${action} ${plan} (${reason})`).join('\n'));
  t.regex(squeezed.done[0]?.plan ?? '', /--blocks 3 .*--save 8bit/);
  t.regex(squeezed.done[1]?.plan ?? '', /--blocks [012] /);
  const [one, other] = [middle[0], middle.at(-1)];
  const same = [...(one?.keys() ?? [])].filter((name) => String(one?.get(name)) === String(other?.get(name)));
  t.true(
    same.some((name) => name.startsWith('one_')),
    'the lowest block stopped learning',
  );
  t.true(same.length < (one?.size ?? 0), 'the head goes on');
  const { tensors } = await readTensors(squeezed.result.delta ?? '');
  t.deepEqual(
    [...tensors.keys()],
    [...(await readTensors((await reference(whole)).result.delta ?? '')).tensors.keys()],
  );
  const stopped = tensors.get('one_project.weight')?.data ?? [];
  t.true(stopped.length > 0 && (stopped as Float32Array).every(Number.isFinite));
});

test.serial('begun with fewer blocks, what never learns stays as it was, and is saved', async (t) => {
  const chosen = options({ ...whole, checkpointSteps: 2, epochs: 2 });
  const begun = await governed(
    (hooks) => train(chosen, hooks),
    () => undefined,
    undefined,
    LIMIT - 260 * MIB,
  );
  t.deepEqual(actions(begun), ['shrink']);
  t.regex(begun.done[0]?.plan ?? '', /--blocks [012] /);
  const { tensors } = await readTensors(begun.result.delta ?? '');
  t.deepEqual(
    [...tensors.keys()],
    [...(await readTensors((await reference(whole)).result.delta ?? '')).tensors.keys()],
  );
  const { graph } = await openModel(model);
  const lowest = parameterOf(graph, 'one_project.weight');
  t.deepEqual(tensors.get('one_project.weight')?.data, toFileLayout(lowest.data(), lowest.origin));
  const resumed = await readTensors(join(chosen.run, 'checkpoints', 'step-00000004.safetensors'));
  t.true([...resumed.tensors.keys()].some((name) => name.includes('one_project')));
});

test.serial('stopped while it is paused, a run goes on as if nothing had been', async (t) => {
  const stop = new AbortController();
  const chosen = options();
  const stopped = await governed(
    (hooks) => train(chosen, hooks),
    (event, neighbour) => {
      if (at(7, event)) neighbour.hold(LIMIT);
      if (did('pause', event)) setTimeout(() => stop.abort(), 50);
    },
    stop.signal,
  );
  t.like(stopped.result, { interrupted: true, delta: null });
  t.true(stopped.result.steps >= 7 && stopped.result.steps < 14, `${stopped.result.steps}`);
  const resumed = await governed(
    (hooks) => resumeTraining(chosen.run, hooks),
    () => undefined,
  );
  t.deepEqual(await outcome(resumed), await outcome(await reference()));
});

test.serial('stopped with fewer blocks, a run goes on with all of them', async (t) => {
  const stop = new AbortController();
  const chosen = options(whole);
  const stopped = await governed(
    (hooks) => train(chosen, hooks),
    (event, neighbour) => {
      if (at(4, event)) neighbour.squeeze(60 * MIB, 2 * RESERVE);
      if (at(8, event)) neighbour.squeeze(60 * MIB + RESERVE, 2 * RESERVE);
      if (at(11, event)) stop.abort();
    },
    stop.signal,
  );
  t.regex(stopped.done.at(-1)?.plan ?? '', /--blocks [012] /);
  t.true(stopped.result.interrupted);
  const resumed = await governed(
    (hooks) => resumeTraining(chosen.run, hooks),
    () => undefined,
  );
  t.like(resumed.result, { steps: 14, interrupted: false });
  t.deepEqual(resumed.done, []);
  t.is(resumed.result.plannedPeakBytes, stopped.result.plannedPeakBytes, 'by the plan that it began with');
});
