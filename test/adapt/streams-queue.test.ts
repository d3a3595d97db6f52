import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import * as fc from 'fast-check';
import { arrivesNow, type Frame } from '../../runtime/adapt/streams/frame.ts';
import { type FrameBatch, FrameQueue, fillQueue, type QueuePolicy } from '../../runtime/adapt/streams/frame-queue.ts';

const frame = (index: number): Frame => ({
  index,
  name: `${index}`,
  arrival: arrivesNow(),
  pixels: new Uint8Array(3),
});

async function* frames(count: number, everyMillis: number | null): AsyncGenerator<Frame> {
  for (let index = 0; index < count; index += 1) {
    if (everyMillis !== null) await delay(everyMillis);
    yield frame(index);
  }
}

/** Handles a whole stream with a consumer that takes its time, and gives what it saw. */
async function consume(
  policy: QueuePolicy,
  { count, capacity, batch, handleMillis }: { count: number; capacity: number; batch: number; handleMillis: number },
) {
  const dropped: number[] = [];
  const queue = new FrameQueue({ policy, capacity, batch, onDropped: ({ index }) => dropped.push(index) });
  const batches: FrameBatch[] = [];
  let mostWaiting = 0;
  const filled = fillQueue(queue, frames(count, null));
  for (let taken = await queue.take(batch, 5); taken; taken = await queue.take(batch, 5)) {
    batches.push(taken);
    mostWaiting = Math.max(mostWaiting, queue.counts().waiting);
    await delay(handleMillis);
  }
  await filled;
  const handled = batches.flatMap((taken) => taken.frames.map(({ index }) => index));
  return { batches, handled, dropped, mostWaiting, counts: queue.counts() };
}

const slow = { count: 50, capacity: 8, batch: 4, handleMillis: 3 };

test('block loses nothing and holds no more than its capacity', async (t) => {
  const { handled, counts, mostWaiting, batches } = await consume('block', slow);
  t.deepEqual(handled, [...Array(50).keys()]);
  t.deepEqual(counts, { arrived: 50, handled: 50, dropped: 0, adaptationSkipped: 0, waiting: 0 });
  t.true(mostWaiting <= 8);
  t.true(batches.every(({ adapt }) => adapt));
});

test('drop-oldest keeps the newest frames and tells of every other', async (t) => {
  const { handled, dropped, counts, batches } = await consume('drop-oldest', slow);
  t.true(dropped.length > 0);
  t.deepEqual(
    [...handled, ...dropped].sort((a, b) => a - b),
    [...Array(50).keys()],
  );
  t.deepEqual(counts, {
    arrived: 50,
    handled: handled.length,
    dropped: dropped.length,
    adaptationSkipped: 0,
    waiting: 0,
  });
  t.is(handled.at(-1), 49);
  t.true(batches.every(({ adapt }) => adapt));
});

test('skip-adaptation predicts every frame and adapts when no more than one batch waits', async (t) => {
  const { handled, counts, batches } = await consume('skip-adaptation', slow);
  t.deepEqual(handled, [...Array(50).keys()]);
  const without = batches.filter(({ adapt }) => !adapt).flatMap(({ frames }) => frames);
  t.true(without.length > 0);
  t.is(counts.adaptationSkipped, without.length);
  t.is(counts.dropped, 0);
  t.true(batches.at(-1)?.adapt);
});

test('counts add up for any policy, sizes and order of events', async (t) => {
  const operation = fc.oneof(
    fc.record({ kind: fc.constant('push' as const), count: fc.integer({ min: 1, max: 9 }) }),
    fc.record({ kind: fc.constant('take' as const), count: fc.integer({ min: 1, max: 9 }) }),
  );
  const setting = fc.record({
    policy: fc.constantFrom<QueuePolicy>('drop-oldest', 'skip-adaptation', 'block'),
    capacity: fc.integer({ min: 1, max: 6 }),
    batch: fc.integer({ min: 1, max: 6 }),
    operations: fc.array(operation, { maxLength: 20 }),
  });
  const property = fc.asyncProperty(setting, async ({ policy, capacity, batch, operations }) => {
    const seen: number[] = [];
    const dropped: number[] = [];
    const queue = new FrameQueue({ policy, capacity, batch, onDropped: ({ index }) => dropped.push(index) });
    const pushes: Promise<boolean>[] = [];
    const check = () => {
      const { arrived, handled, dropped: lost, waiting } = queue.counts();
      if (arrived !== handled + lost + waiting) throw new Error(`${arrived} != ${handled} + ${lost} + ${waiting}`);
      if (waiting > capacity || handled !== seen.length || lost !== dropped.length) throw new Error('counts are off');
    };
    for (const { kind, count } of operations) {
      if (kind === 'push') for (let i = 0; i < count; i += 1) pushes.push(queue.push(frame(pushes.length)));
      else if (queue.counts().waiting > 0) {
        const taken = await queue.take(count, 0);
        seen.push(...(taken?.frames ?? []).map(({ index }) => index));
      }
      check();
    }
    queue.close();
    await Promise.all(pushes);
    check();
    if (seen.length + dropped.length !== pushes.length) throw new Error('a frame was neither handled nor dropped');
    if (seen.some((index, i) => i > 0 && index <= (seen[i - 1] as number))) throw new Error('out of order');
    if ((await queue.take(1, 0)) !== null) throw new Error('a closed queue gave frames');
  });
  await t.notThrowsAsync(fc.assert(property, { numRuns: 200 }));
});

test('take waits for a full batch until the deadline of the first frame', async (t) => {
  const queue = new FrameQueue({ policy: 'block', capacity: 8, batch: 4 });
  const taking = queue.take(4, 60);
  await delay(30);
  t.is(queue.counts().handled, 0, 'without a frame there is no deadline');
  await queue.push(frame(0));
  const started = performance.now();
  t.is((await taking)?.frames.length, 1);
  t.true(performance.now() - started >= 55);
  for (let i = 1; i <= 4; i += 1) await queue.push(frame(i));
  t.is((await queue.take(4, 60_000))?.frames.length, 4, 'a full batch does not wait');
});

test('a capacity below the batch gives smaller batches instead of waiting for ever', async (t) => {
  const { handled, batches } = await consume('block', { count: 9, capacity: 2, batch: 4, handleMillis: 0 });
  t.deepEqual(handled, [...Array(9).keys()]);
  t.true(batches.every(({ frames }) => frames.length <= 2));
});

test('the error of a source comes after its frames', async (t) => {
  const queue = new FrameQueue({ policy: 'block', capacity: 4, batch: 2 });
  const failing = async function* () {
    yield frame(0);
    throw new Error('camera unplugged');
  };
  await fillQueue(queue, failing());
  t.is((await queue.take(2, 0))?.frames.length, 1);
  await t.throwsAsync(queue.take(2, 0), { message: 'camera unplugged' });
});

test('a closed queue ends the source that fills it', async (t) => {
  const queue = new FrameQueue({ policy: 'block', capacity: 2, batch: 2 });
  const filled = fillQueue(queue, frames(Number.POSITIVE_INFINITY, null));
  await delay(5);
  queue.close();
  await filled;
  t.deepEqual(queue.counts(), { arrived: 3, handled: 0, dropped: 3, adaptationSkipped: 0, waiting: 0 });
});
