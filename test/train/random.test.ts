import test from 'ava';
import { hash32, Random, shuffle } from '../../runtime/train/random.ts';

const seed = 20261121;

test('the numbers of a key never change between versions: a resumed run depends on them', (t) => {
  t.deepEqual(
    [hash32(), hash32(0), hash32(0, 0), hash32(1, 2, 3), hash32(-1), hash32(2 ** 40 + 1)],
    [2462723854, 2325980003, 3184493363, 4146328255, 2644192792, 2585147583],
  );
  const random = new Random(seed, 3);
  const bits = Array.from({ length: 4 }, () => random.bits());
  t.deepEqual(bits, [2665995349, 2837024353, 2649943443, 68308822]);
  t.deepEqual([...shuffle(10, seed, 0)], [3, 9, 1, 2, 5, 0, 4, 6, 7, 8]);
});

test('hash32 tells order, length, sign and large numbers apart', (t) => {
  const keys = [[], [0], [0, 0], [1, 2], [2, 1], [-1], [1], [2 ** 32], [2 ** 32 + 1], [2 ** 40], [2 ** 52]];
  t.is(new Set(keys.map((key) => hash32(...key))).size, keys.length);
});

test('hash32 of neighbouring keys differs in half of the bits', (t) => {
  let flipped = 0;
  for (let i = 0; i < 1000; i++) {
    let difference = hash32(seed, i) ^ hash32(seed, i + 1);
    for (; difference !== 0; difference &= difference - 1) flipped += 1;
  }
  const error = Math.abs(flipped / 1000 - 16);
  t.true(error <= 0.5, `seed ${seed}: mean of flipped bits is off by ${error}`);
});

test('uniform fills its range evenly and keeps below the upper end', (t) => {
  const random = new Random(seed);
  const bins = new Float64Array(20);
  for (let i = 0; i < 20000; i++) {
    const value = random.uniform(-1, 3);
    t.true(value >= -1 && value < 3);
    const bin = Math.floor((value + 1) * 5);
    bins[bin] = (bins[bin] as number) + 1;
  }
  const chiSquared = bins.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
  t.true(chiSquared <= 43.8, `seed ${seed}: chi squared ${chiSquared} at 19 degrees of freedom (0.1 %)`);
});

test('normal has the mean and deviation asked for', (t) => {
  const random = new Random(seed, 1);
  const values = Array.from({ length: 20000 }, () => random.normal(2, 3));
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
  t.true(Math.abs(mean - 2) <= 0.1, `seed ${seed}: mean ${mean}`);
  t.true(Math.abs(deviation - 3) <= 0.1, `seed ${seed}: deviation ${deviation}`);
});

test('integer reaches both ends and nothing beyond', (t) => {
  const random = new Random(seed, 2);
  const values = new Set(Array.from({ length: 500 }, () => random.integer(-2, 2)));
  t.deepEqual(
    [...values].sort((a, b) => a - b),
    [-2, -1, 0, 1, 2],
  );
});

test('two streams of one seed share no stretch of their sequences', (t) => {
  const take = (stream: number) => {
    const random = new Random(seed, stream);
    return Array.from({ length: 2000 }, () => random.bits());
  };
  const first = new Set(take(0));
  const common = take(1).filter((bits) => first.has(bits)).length;
  t.true(common <= 2, `seed ${seed}: ${common} of 2000 numbers are common`);
});

for (const n of [0, 1, 2, 7, 1000]) {
  test(`shuffle n=${n} is a permutation that depends on (seed, epoch) alone`, (t) => {
    const order = shuffle(n, seed, 4);
    t.deepEqual(
      [...order].sort((a, b) => a - b),
      Array.from({ length: n }, (_, i) => i),
    );
    t.deepEqual(shuffle(n, seed, 4), order);
    if (n > 2) {
      t.notDeepEqual(shuffle(n, seed, 5), order);
      t.notDeepEqual(shuffle(n, seed + 1, 4), order);
    }
  });
}

test('shuffle puts every item in every place equally often', (t) => {
  const counts = new Float64Array(25);
  for (let epoch = 0; epoch < 5000; epoch++) {
    shuffle(5, seed, epoch).forEach((item, place) => {
      counts[5 * place + item] = (counts[5 * place + item] as number) + 1;
    });
  }
  const chiSquared = counts.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
  t.true(chiSquared <= 39.3, `seed ${seed}: chi squared ${chiSquared} at 16 degrees of freedom (0.1 %)`);
});
