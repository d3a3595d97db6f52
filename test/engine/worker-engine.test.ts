import test from 'ava';
import { inputSlots, inputSlotsBytes } from '../../runtime/engine/input-slots.ts';
import { WorkerEngine } from '../../runtime/engine/worker-engine.ts';
import { ExecutionError } from '../../runtime/errors.ts';
import { draw, seeded } from '../kernels/simd-arena.ts';
import { mobileNet, mobileNetFile } from '../support/mobilenet.ts';
import { cutElements, engineModel, plan as makePlan, openCpu, sgd } from '../support/training.ts';

const SIZE = 32;
const BATCH = 3;
const graph = await mobileNet(SIZE);
const plan = makePlan(graph, { batch: BATCH });
const size = cutElements(plan, graph);
const labels = Int32Array.of(0, 1, 2);

const imagesOf = (seed: number): Uint8Array =>
  Uint8Array.from(draw(seeded(seed), BATCH * 3 * SIZE ** 2), (value) => 128 + 127 * value);

const open = async () => {
  const model = engineModel(plan, graph, await mobileNetFile());
  // The worker's parameters are moved to it.
  const parameters = new Map([...model.parameters].map(([name, values]) => [name, values.slice()]));
  return {
    worker: await WorkerEngine.create(plan, { ...model, parameters }),
    direct: await openCpu(plan, graph, await mobileNetFile()),
  };
};

test('one slot is filled while the engine works on the other', async (t) => {
  const { worker, direct } = await open();
  await using _ = worker;
  await using __ = direct;
  const [one, two] = worker.inputs;
  const seeds = [1, 2, 3, 4];
  one.images.set(imagesOf(1));
  let step = 0;
  for (const seed of seeds) {
    const [here, next] = step % 2 === 0 ? [one, two] : [two, one];
    const running = worker.step({ count: BATCH, images: here.images }, labels, { ...sgd(0.01), step: step + 1 });
    next.images.set(imagesOf(seed + 1));
    const expected = await direct.step({ count: BATCH, images: imagesOf(seed) }, labels, {
      ...sgd(0.01),
      step: ++step,
    });
    t.is((await running).loss, expected.loss, `step ${step}`);
  }
});

test('features are written beside their images, or given as an array', async (t) => {
  const { worker, direct } = await open();
  await using _ = worker;
  await using __ = direct;
  const images = imagesOf(5);
  const expected = await direct.features(images, BATCH);
  t.deepEqual(await worker.features(images, BATCH), expected);
  const other = new Float32Array(BATCH * size);
  t.is(await worker.features(images, BATCH, other), other);
  t.deepEqual(other, expected);

  const [, slot] = worker.inputs;
  slot.images.set(images);
  slot.features.fill(7);
  const bytes = 3 * SIZE ** 2;
  const rest = slot.features.subarray(size);
  t.is(await worker.features(slot.images.subarray(bytes), BATCH - 1, rest), rest);
  t.deepEqual([...slot.features.subarray(0, size)], Array(size).fill(7), 'the first image was not asked for');
  t.deepEqual(rest.slice(), expected.subarray(size));
  t.deepEqual(new Uint8Array(slot.images), images);
  slot.features.set(expected.subarray(0, size));

  const logits = await direct.forward({ count: BATCH, images });
  t.deepEqual(await worker.forward({ count: BATCH, features: slot.features }), logits);
  t.deepEqual(await worker.forward({ count: BATCH, features: expected }), logits);
  t.deepEqual(await worker.forward({ count: BATCH, images: slot.images }), logits);
});

test('neither images nor features', async (t) => {
  const { worker, direct } = await open();
  await using _ = worker;
  await using __ = direct;
  for (const engine of [worker, direct]) {
    await t.throwsAsync(async () => engine.forward({ count: 1 }), {
      instanceOf: ExecutionError,
      message: 'neither images nor features were given',
    });
  }
});

test('slots lie side by side, whole floats each', (t) => {
  const odd = { ...plan, batch: 3, model: { ...plan.model, imageSize: 33 } };
  const buffer = new SharedArrayBuffer(inputSlotsBytes(odd));
  const rooms = inputSlots(odd, buffer).flatMap(({ images, features }) => [images, features]);
  let end = 0;
  for (const { byteOffset, byteLength } of rooms) {
    t.is(byteOffset, end);
    t.is(byteOffset % 4, 0);
    end += byteLength;
  }
  t.is(end, buffer.byteLength);
  t.true((rooms[0]?.byteLength ?? 0) >= 3 * 3 * 33 ** 2);
  t.is(rooms[1]?.byteLength, 4 * 3 * size);
});
