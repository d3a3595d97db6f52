import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import test from 'ava';
import { givingWay, RightOfWay } from '../../runtime/engine/give-way.ts';
import type { SteppingOptions } from '../support/stepping-worker.ts';

async function until(done: () => boolean): Promise<void> {
  while (!done()) await delay(1);
}

/** A thread that gives way between steps of a millisecond. */
function stepping(right: RightOfWay): AsyncDisposable & { readonly steps: number } {
  const options: SteppingOptions = { givesWayTo: right.shared, steps: new SharedArrayBuffer(4) };
  const counted = new Int32Array(options.steps);
  const worker = new Worker(new URL('../support/stepping-worker.js', import.meta.url), { workerData: options });
  return {
    get steps() {
      return Atomics.load(counted, 0);
    },
    async [Symbol.asyncDispose]() {
      await worker.terminate();
    },
  };
}

test('work behind stops while something urgent goes on, and goes on after it', async (t) => {
  const right = new RightOfWay();
  await using behind = stepping(right);
  await until(() => behind.steps >= 100);
  const before = behind.steps;
  const began = performance.now();
  const during = await right.during(async () => {
    await delay(50);
    return behind.steps - before;
  });
  // One had begun. It may wait as long as it has worked, 100 ms at the least, which a busy machine may exceed here.
  t.true(during <= 1 + Math.max(0, performance.now() - began - 100), `${during} steps`);
  await until(() => behind.steps > before + 10);
});

test('half of its speed remains where one thing follows the other', async (t) => {
  const right = new RightOfWay();
  await using behind = stepping(right);
  await until(() => behind.steps >= 10);
  const before = behind.steps;
  const began = performance.now();
  await right.during(() => until(() => behind.steps >= before + 50));
  t.true(performance.now() - began >= 90, 'steps of a millisecond, and as long between them');
});

test('nobody waits once the urgent work has failed, or while there is none', async (t) => {
  const right = new RightOfWay();
  await t.throwsAsync(
    right.during(async () => {
      throw new Error('no prediction');
    }),
    { message: 'no prediction' },
  );
  const giveWay = givingWay(right.shared);
  await delay(50);
  const began = performance.now();
  giveWay();
  t.true(performance.now() - began < 40);
});
