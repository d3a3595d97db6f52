import test from 'ava';
import { LatestFrames, latestBytes, type Window } from '../../runtime/adapt/latest-frames.ts';

const frameBytes = 6;
const shape = { capacity: 8, frameBytes };

/** Frames of one value each. */
const frames = (...values: number[]): Uint8Array =>
  Uint8Array.from(values.flatMap((value) => Array<number>(frameBytes).fill(value)));

const valuesOf = ({ images, count }: Window): number[] =>
  Array.from({ length: count }, (_, n) => images[n * frameBytes] ?? -1);

test('a window holds the latest frames of several calls, and says where those of this one are', (t) => {
  const latest = new LatestFrames(shape);
  t.deepEqual(valuesOf(latest.with(frames(1, 2, 3), 3)), [1, 2, 3]);
  t.deepEqual(latest.with(frames(4, 5, 6, 7), 4).places, [3, 4, 5, 6]);
  const window = latest.with(frames(8, 9, 10), 3);
  const values = valuesOf(window);
  t.deepEqual(
    values.toSorted((a, b) => a - b),
    [3, 4, 5, 6, 7, 8, 9, 10],
  );
  t.deepEqual(
    window.places.map((place) => values[place]),
    [8, 9, 10],
  );
  t.deepEqual(
    [...window.images.subarray((window.places[0] ?? 0) * frameBytes).subarray(0, frameBytes)],
    [...frames(8)],
  );
});

test('a call as large as a window is its own, and the next one has what came last of it', (t) => {
  t.is(latestBytes(shape), 8 * frameBytes);
  const latest = new LatestFrames(shape);
  latest.with(frames(1, 2), 2);
  const images = frames(3, 4, 5, 6, 7, 8, 9, 10, 11);
  t.deepEqual(latest.with(images, 9), { images, count: 9, places: [0, 1, 2, 3, 4, 5, 6, 7, 8] });
  const sorted = valuesOf(latest.with(frames(12), 1)).toSorted((a, b) => a - b);
  t.deepEqual(sorted, [5, 6, 7, 8, 9, 10, 11, 12]);
});

test('what is saved goes on elsewhere, and forgetting starts anew', (t) => {
  const [one, other] = [new LatestFrames(shape), new LatestFrames(shape)];
  for (const call of [frames(1, 2, 3), frames(4, 5, 6), frames(250, 251, 252)]) one.with(call, 3);
  other.load(one.save());
  t.deepEqual(other.with(frames(20), 1), one.with(frames(20), 1));
  one.clear();
  t.deepEqual(valuesOf(one.with(frames(7), 1)), [7]);
  t.deepEqual(valuesOf(new LatestFrames(shape).with(frames(7), 1)), [7]);
});
