/** Random views; that they are value for value what they should be is part of CoTTA's golden. */
import test from 'ava';
import { augmentFrames, drawView } from '../../runtime/adapt/augmentations.ts';
import { Random } from '../../runtime/train/random.ts';
import { randomImages } from '../support/draws.ts';

const [seed, size, count] = [20261121, 24, 3];
const frames = randomImages(seed, count, size);

function view(key: readonly number[], source: Uint8Array = frames, of = count): Uint8Array {
  const target = new Uint8Array(source.length);
  augmentFrames(source, of, size, key, target);
  return target;
}

test('the same key gives the same view, another key another; frames stay as they were', (t) => {
  const before = frames.slice();
  t.deepEqual(view([seed, 1, 2]), view([seed, 1, 2]));
  t.notDeepEqual(view([seed, 1, 2]), view([seed, 1, 3]));
  t.notDeepEqual(view([seed, 1, 2]), view([seed, 2, 2]));
  t.deepEqual(frames, before);
});

test('all frames of a pass get one view: equal frames differ by nothing but noise', (t) => {
  const one = frames.subarray(0, size * size * 3);
  const twice = new Uint8Array(2 * one.length);
  twice.set(one);
  twice.set(one, one.length);
  const seen = view([seed, 5, 0], twice, 2);
  const differences = Array.from(one, (_, i) => (seen[i] ?? 0) - (seen[one.length + i] ?? 0));
  const largest = Math.max(...differences.map(Math.abs));
  // Six deviations of a difference of two, of 255 grey values, and the rounding.
  t.true(largest > 0 && largest <= 6 * 0.005 * Math.SQRT2 * 255 + 1, `seed ${seed}: ${largest}`);
});

test('a view draws within its ranges, and uses all of them', (t) => {
  const views = Array.from({ length: 400 }, (_, i) => drawView(new Random(seed, i), size));
  const within = (name: string, values: number[], low: number, high: number): void => {
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const margin = 0.05 * (high - low);
    const good = least >= low && least <= low + margin && most <= high && most >= high - margin;
    t.true(good, `seed ${seed}: ${name} from ${least} to ${most}, expected ${low} to ${high}`);
  };
  within(
    'angle',
    views.map(({ angle }) => (angle * 180) / Math.PI),
    -15,
    15,
  );
  within(
    'scale',
    views.map(({ scale }) => scale),
    0.9,
    1.1,
  );
  within(
    'shift',
    views.flatMap(({ shiftX, shiftY }) => [shiftX, shiftY]),
    -3,
    3,
  );
  within(
    'sigma',
    views.map(({ sigma }) => sigma),
    0.001,
    0.5,
  );
  const flips = views.filter(({ flip }) => flip).length;
  t.true(flips >= 160 && flips <= 240, `seed ${seed}: ${flips} of 400 flip`);
});

test('a grey frame stays grey but for the noise, and an even one even', (t) => {
  const even = new Uint8Array(size * size * 3).fill(128);
  for (let step = 0; step < 10; step++) {
    const seen = view([seed, step], even, 1);
    const range = Math.max(...seen) - Math.min(...seen);
    t.true(range <= 2 * 6 * 0.005 * 255 + 1, `seed ${seed}, step ${step}: ${range}`);
  }
});
