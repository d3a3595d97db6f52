/** Adapters that give way while a stream is predicted. */
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { BackgroundAdapter } from '../../runtime/adapt/background.ts';
import { type AdaptOptions, openAdapter } from '../../runtime/adapt/open.ts';
import { AdaptationGovernor } from '../../runtime/governor/adaptation-governor.ts';
import { Governor } from '../../runtime/governor/governor.ts';
import { lighterFrames, tinyAdaptation } from '../support/adapt-methods.ts';
import { VirtualNeighbour } from '../support/virtual-neighbour.ts';

const LIMIT = 2 ** 30;
const batch = 8;
const size = 16;
const options: AdaptOptions = tinyAdaptation;
const frames = lighterFrames;

test('an adapter that was paused goes on as if the frames in between had never come', async (t) => {
  await using both = await BackgroundAdapter.open(options);
  const observe = async (call: number): Promise<void> => {
    await both.observe(frames(call), batch);
    await both.settled();
  };
  for (let call = 0; call < 6; call++) await observe(call);
  const [state, learnt, memory] = [await both.save(), await both.learnt(), await both.memory()];
  const before = await both.observe(frames(3), batch, false);
  await both.pause();
  await both.pause();
  t.deepEqual(await both.save(), state);
  t.deepEqual(await both.learnt(), learnt);
  t.deepEqual(await both.memory(), memory);
  t.deepEqual((await both.observe(frames(3), batch)).logits, before.logits, 'predictions go on, with what was learnt');
  t.false(await both.teach([{ image: frames(0).subarray(0, 3 * size ** 2), label: 1 }]));
  await both.resume();
  t.deepEqual(await both.save(), state);
  for (let call = 6; call < 10; call++) await observe(call);
  await using alone = await openAdapter(options);
  for (let call = 0; call < 10; call++) await alone.observe(frames(call), batch);
  t.deepEqual(await both.learnt(), await alone.learnt());
  t.is(both.counts().seen, 10 * batch);
});

test('calls in any order around a pause, and an end in the middle of one', async (t) => {
  const both = await BackgroundAdapter.open(options);
  const calls = [
    both.observe(frames(0), batch),
    both.pause(),
    both.observe(frames(1), batch),
    both.save(),
    both.resume(),
  ];
  await Promise.all([...calls, both.reset(), both.pause(), both.reset()]);
  await t.notThrowsAsync(both.observe(frames(2), batch));
  void both.pause();
  await both[Symbol.asyncDispose]();
});

test('adaptation stops while memory is short, and begins again when there has been room for a while', async (t) => {
  await using both = await BackgroundAdapter.open(options);
  const neighbour = new VirtualNeighbour(LIMIT);
  const done: string[] = [];
  using watched = new Governor({
    reader: neighbour,
    onEvent: ({ action }) => {
      if (action !== 'trim') done.push(action);
    },
  });
  const governor = new AdaptationGovernor(watched, both);
  const until = async (adapts: boolean): Promise<void> => {
    while (governor.mayAdapt() !== adapts) await delay(20);
  };
  t.true(governor.mayAdapt());
  neighbour.hold(LIMIT);
  await until(false);
  await both.pause();
  t.deepEqual(done, ['pause']);
  neighbour.hold(LIMIT / 4);
  await until(true);
  await both.resume();
  t.deepEqual(done, ['pause', 'resume']);
  t.like(governor.counts(), { pause: 1, resume: 1 });
  await both.observe(frames(0), batch);
  await both.settled();
  t.is(both.counts().seen, batch);
});
