import test from 'ava';
import { arrivesNow, type Frame } from '../../runtime/adapt/streams/frame.ts';
import { LateLabels } from '../../runtime/adapt/streams/late-labels.ts';
import { parseKeyMapping } from '../../runtime/hid/keys/key-mapping.ts';
import { readVecPedal } from '../../runtime/hid/keys/key-reports.ts';
import { LabelKeys } from '../../runtime/hid/keys/label-keys.ts';
import type { OpenTransport } from '../../runtime/hid/transport.ts';
import { SimulatedMeter } from './simulated-meter.ts';
import { VirtualClock } from './virtual-clock.ts';

const classes = ['cat', 'dog', 'owl'];
const frame = (index: number): Frame => ({
  ...{ index, name: `${index}.jpg`, arrival: arrivesNow() },
  pixels: new Uint8Array(2 * 2 * 3).fill(index),
});

async function openPedal() {
  const clock = new VirtualClock();
  const device = new SimulatedMeter(clock);
  const labels = new LateLabels({ classCount: 3, classes, imageSize: 2, keep: 8 });
  const told: string[] = [];
  const keys = await LabelKeys.open({
    ...{ open: device.open, clock, read: readVecPedal },
    mapping: parseKeyMapping('1=cat,2=owl,3=undo', { classCount: 3, classes, keys: ['1', '2', '3'] }),
    onLabel: (label) => labels.add(label),
    onPress: (key, verdict) => told.push(`${key} ${verdict}`),
  });
  const show = (index: number) => {
    labels.remember(frame(index));
    keys.show(index);
  };
  /** Presses a pedal whose contact bounces. */
  const step = async (pedal: number) => {
    for (const bits of [pedal, 0, pedal]) device.send(Uint8Array.of(bits, 0));
    await clock.advance(100);
    for (const bits of [0, pedal, 0]) device.send(Uint8Array.of(bits, 0));
    await clock.advance(100);
  };
  return { clock, device, labels, told, keys, show, step };
}

test('labels reach the frames that were shown, but for those that were taken back', async (t) => {
  const { clock, labels, told, keys, show, step } = await openPedal();
  show(3);
  await step(1);
  show(4);
  await step(1);
  await step(4);
  await step(2);
  show(5);
  await step(1);
  await step(4);
  t.deepEqual(labels.take(), [], 'nothing before it can no longer be undone');
  await clock.advance(5000);
  const taken = labels.take().map(({ image, label }) => [image[0], classes[label]]);
  t.deepEqual(taken, [
    [3, 'cat'],
    [4, 'owl'],
  ]);
  t.deepEqual(told, ['1 labelled', '1 labelled', '3 undone', '2 labelled', '1 labelled', '3 undone']);
  t.like(keys.counts(), { labels: { given: 2, undone: 2, held: 0 }, bounces: 12 });
  await keys[Symbol.asyncDispose]();
});

test('labels that are not held come at once, and undo asks whoever took them', async (t) => {
  const clock = new VirtualClock();
  const device = new SimulatedMeter(clock);
  const taken: number[] = [];
  await using keys = await LabelKeys.open({
    ...{ open: device.open, clock, read: readVecPedal, holdMillis: 0 },
    mapping: parseKeyMapping('1=cat,3=undo', { classCount: 3, classes, keys: ['1', '2', '3'] }),
    onLabel: ({ frame: of }) => taken.push(of),
    takeBack: () => taken.pop() !== undefined,
  });
  for (const [n, pedal] of [1, 1, 4, 1, 4, 4, 4].entries()) {
    keys.show(n);
    device.send(Uint8Array.of(pedal, 0));
    await clock.advance(50);
    device.send(Uint8Array.of(0, 0));
    await clock.advance(50);
    t.deepEqual(taken, [[0], [0, 1], [0], [0, 3], [0], [], []][n]);
  }
  t.like(keys.counts(), { labels: { given: 3, undone: 3, held: 0, idle: 1 } });
});

test('closing gives out what is held', async (t) => {
  const { labels, keys, show, step, device } = await openPedal();
  show(1);
  await step(2);
  await keys[Symbol.asyncDispose]();
  t.deepEqual(
    labels.take().map(({ label }) => label),
    [2],
  );
  t.false(device.isOpen);
});

test('a pedal that is found again while the keys are closed is let go', async (t) => {
  const clock = new VirtualClock();
  const device = new SimulatedMeter(clock);
  let openings = 0;
  let find = () => {};
  const open: OpenTransport = async (listener) => {
    openings += 1;
    if (openings > 1) await new Promise<void>((found) => (find = found));
    return device.open(listener);
  };
  const keys = await LabelKeys.open({ open, clock, read: readVecPedal, mapping: new Map(), onLabel: () => t.fail() });
  device.unplug();
  device.plugged = true;
  await clock.advance(300);
  t.is(openings, 2);
  const closed = keys[Symbol.asyncDispose]();
  find();
  await closed;
  t.false(device.isOpen);
  t.false(keys.counts().connection.connected);
});

test('a pedal that was unplugged while it was held works again', async (t) => {
  const { clock, device, labels, keys, show, step } = await openPedal();
  show(1);
  device.send(Uint8Array.of(1, 0));
  device.unplug();
  await clock.advance(100);
  device.plugged = true;
  await clock.advance(1000);
  t.like(keys.counts().connection, { connected: true, losses: 1, failedAttempts: 0 });
  show(2);
  await step(1);
  await clock.advance(5000);
  t.deepEqual(
    labels.take().map(({ image }) => image[0]),
    [1, 2],
  );
  await keys[Symbol.asyncDispose]();
});
