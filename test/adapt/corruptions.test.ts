import test from 'ava';
import { corrupt, corruptImages } from '../../runtime/adapt/corruptions/corrupt.ts';
import { motionBlur } from '../../runtime/adapt/corruptions/motion.ts';
import {
  allCorruptionNames,
  type CorruptionName,
  corruptionNames,
  extraCorruptionNames,
  severities,
} from '../../runtime/adapt/corruptions/names.ts';
import { plasma } from '../../runtime/adapt/corruptions/plasma.ts';
import { tableFor } from '../../runtime/adapt/corruptions/tables.ts';
import { UsageError } from '../../runtime/errors.ts';
import { Random } from '../../runtime/train/random.ts';

const seed = 20261121;
const side = 32;
const imageBytes = side * side * 3;

/** Soft coloured waves with grain: neither flat nor noise alone. */
function pictures(count: number): Uint8Array {
  const random = new Random(seed);
  const phases = Array.from({ length: 3 * count }, () => random.uniform(0, 6));
  return Uint8Array.from({ length: count * imageBytes }, (_, i) => {
    const [image, pixel, c] = [Math.floor(i / imageBytes), Math.floor((i % imageBytes) / 3), i % 3];
    const wave = Math.sin((pixel % side) / 4 + (phases[3 * image + c] ?? 0)) * Math.cos(Math.floor(pixel / side) / 5);
    return Math.round(120 + 90 * wave + random.uniform(-12, 12));
  });
}

const plain = (byte: number, count = 1) => new Uint8Array(count * imageBytes).fill(byte);

function meanOf(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] as number;
  return sum / values.length;
}

function varianceOf(values: ArrayLike<number>): number {
  const mean = meanOf(values);
  return meanOf(Array.from(values, (value) => (value - mean) ** 2));
}

const differences = (one: Uint8Array, other: Uint8Array) => Array.from(one, (byte, i) => byte - (other[i] as number));
const distance = (one: Uint8Array, other: Uint8Array) => meanOf(differences(one, other).map(Math.abs));
const changed = (one: Uint8Array, other: Uint8Array) =>
  meanOf(differences(one, other).map((value) => (value === 0 ? 0 : 1)));
const make = (images: Uint8Array, corruption: CorruptionName, severity: number) =>
  corruptImages(images, side, { corruption, severity, seed });

test('15 corruptions in the order of the benchmark and 4 more', (t) => {
  t.is(corruptionNames.length, 15);
  t.deepEqual([corruptionNames[0], corruptionNames[14]], ['gaussian_noise', 'jpeg_compression']);
  t.deepEqual(allCorruptionNames, [...corruptionNames, ...extraCorruptionNames]);
  t.deepEqual([tableFor(32).name, tableFor(64).name, tableFor(65).name], ['CIFAR-C', 'CIFAR-C', 'ImageNet-C']);
});

for (const corruption of allCorruptionNames) {
  test(`${corruption}: an image depends on its key only, and the given one stays (seed ${seed})`, async (t) => {
    const images = pictures(3);
    const kept = images.slice();
    for (const severity of severities) {
      const options = { corruption, severity, seed };
      const all = await corruptImages(images, side, { ...options, firstIndex: 5 });
      for (const i of [2, 0, 1]) {
        const image = images.slice(i * imageBytes, (i + 1) * imageBytes);
        const alone = await corrupt(image, side, { ...options, index: 5 + i });
        t.deepEqual(alone, all.slice(i * imageBytes, (i + 1) * imageBytes), `severity ${severity}, image ${i}`);
      }
      t.true(distance(all, images) > 0, `severity ${severity} changes something`);
    }
    t.deepEqual(images, kept);
  });
}

const deterministic: readonly CorruptionName[] = [
  'defocus_blur',
  'zoom_blur',
  'brightness',
  'contrast',
  'pixelate',
  'jpeg_compression',
  'gaussian_blur',
  'saturate',
];

test(`seed, index and severity each change what is random (seed ${seed})`, async (t) => {
  const image = pictures(1);
  for (const corruption of allCorruptionNames) {
    const base = { corruption, severity: 5, seed, index: 0 };
    const one = await corrupt(image, side, base);
    const same = deterministic.includes(corruption);
    for (const other of [{ seed: seed + 1 }, { index: 1 }, { seed: -seed }]) {
      const made = await corrupt(image, side, { ...base, ...other });
      t.is(distance(one, made) === 0, same, `${corruption} with ${JSON.stringify(other)}`);
    }
  }
});

test(`severities grow where the tables do (seed ${seed})`, async (t) => {
  const images = pictures(24);
  // Motion's rows 3 and 4 have the same sigma; the others left out trade one parameter for another from row to row.
  const growing = allCorruptionNames.filter(
    (name) =>
      !['motion_blur', 'snow', 'frost', 'glass_blur', 'elastic_transform', 'spatter', 'saturate'].includes(name),
  );
  for (const corruption of growing) {
    const far: number[] = [];
    for (const severity of severities) far.push(distance(await make(images, corruption, severity), images));
    t.true(
      far.every((value, i) => i === 0 || value > (far[i - 1] as number)),
      `${corruption}: ${far.map((value) => value.toFixed(2)).join(' ')}`,
    );
  }
});

test(`noise has the mean and variance of its definition (seed ${seed})`, async (t) => {
  // 20 images of 3072 values: means within 4 standard errors; variances within 4 sqrt(2 / n) of themselves plus the
  // twelfth of a level that cutting off adds.
  const [count, byte] = [20, 120];
  const [n, x] = [count * imageBytes, byte / 255];
  const images = plain(byte, count);
  const parameters = tableFor(side).parameters;
  for (const i of [0, 1, 2, 3, 4] as const) {
    const expected = [
      ['gaussian_noise', parameters.gaussian_noise[i] ** 2],
      ['speckle_noise', (x * parameters.speckle_noise[i]) ** 2],
      ['shot_noise', x / parameters.shot_noise[i]],
    ] as const;
    for (const [corruption, unitVariance] of expected) {
      const made = await make(images, corruption, i + 1);
      const variance = unitVariance * 255 ** 2;
      // Truncation takes half a level off; counts of photons fall on few levels, for which it is less regular.
      const error = meanOf(made) + 0.5 - byte;
      t.true(Math.abs(error) <= 4 * Math.sqrt(variance / n) + 0.5, `${corruption} ${i + 1}: mean off by ${error}`);
      const ratio = (varianceOf(made) - 1 / 12) / variance;
      t.true(Math.abs(ratio - 1) <= 4 * Math.sqrt(2 / n) + 0.01, `${corruption} ${i + 1}: variance ratio ${ratio}`);
    }
    const amount = parameters.impulse_noise[i];
    const made = await make(images, 'impulse_noise', i + 1);
    const share = changed(made, images);
    t.true(Math.abs(share - amount) <= 4 * Math.sqrt(amount / n), `impulse_noise ${i + 1}: share ${share}`);
    const white = made.filter((value) => value === 255).length / made.filter((value) => value !== byte).length;
    t.true(Math.abs(white - 0.5) <= 2 / Math.sqrt(amount * n), `impulse_noise ${i + 1}: white among them ${white}`);
    t.true(made.every((value) => value === 0 || value === byte || value === 255));
  }
});

test(`glass blur copies pixels from above and the left (seed ${seed})`, async (t) => {
  // Severity 1 blurs by a kernel of one weight: what remains are the copies. Each pixel has a colour of its own.
  const image = Uint8Array.from(
    { length: imageBytes },
    (_, i) => [Math.floor(i / 96), Math.floor(i / 3) % 32, 9][i % 3] ?? 0,
  );
  const made = await make(image, 'glass_blur', 1);
  let moved = 0;
  for (let pixel = 0; pixel < side * side; pixel++) {
    const [y, x] = [Math.floor(pixel / side), pixel % side];
    const [fromY = 0, fromX = 0] = made.subarray(3 * pixel);
    t.true([0, 1].includes(y - fromY) && [0, 1].includes(x - fromX), `${y}, ${x} is ${fromY}, ${fromX}`);
    if (y < 2 || x < 2) t.deepEqual([fromY, fromX], [y, x], 'the first two rows and columns stay');
    if (fromY !== y || fromX !== x) moved += 1;
  }
  const share = moved / 30 ** 2;
  t.true(Math.abs(share - 0.75) <= 4 * Math.sqrt((0.75 * 0.25) / 900), `share of moved pixels ${share}`);
});

test('motion blur smears to one side with Gaussian weights', (t) => {
  const point = new Uint8Array(side * side);
  point[16 * side + 20] = 255;
  const weights = Array.from({ length: 13 }, (_, i) => Math.exp((-i * i) / (2 * 1.5 ** 2)));
  const total = weights.reduce((sum, weight) => sum + weight);
  const expected = weights.map((weight) => Math.round((255 * weight) / total));
  for (const [angle, right, down] of [
    [0, 1, 0],
    [90, 0, 1],
    [-90, 0, -1],
    [45, Math.SQRT1_2, Math.SQRT1_2],
  ] as const) {
    const made = motionBlur(point, side, 1, 6, 1.5, angle);
    const seen = expected.map((_, i) => {
      const [dx, dy] = [Math.ceil(i * right - 0.5), Math.ceil(i * down - 0.5)];
      return [made[(16 - dy) * side + 20 - dx], dx, dy];
    });
    // On the diagonal several samples may fall on one pixel; along an axis each has its own.
    if (angle % 90 === 0)
      t.deepEqual(
        seen.map(([value]) => value),
        expected,
        `${angle} degrees`,
      );
    const sum = made.reduce((all, value) => all + value, 0);
    t.true(Math.abs(sum - 255) <= 7, `${angle} degrees: ${sum} of 255 are left`);
    t.true((seen[0]?.[0] ?? 0) > 0);
  }
});

test(`images of one colour: what moves pixels keeps them, what adds light brightens them (seed ${seed})`, async (t) => {
  for (const severity of severities) {
    for (const corruption of ['glass_blur', 'motion_blur', 'zoom_blur', 'elastic_transform', 'pixelate'] as const) {
      for (const byte of [0, 77, 255]) {
        const largest = Math.max(
          ...differences(await make(plain(byte), corruption, severity), plain(byte)).map(Math.abs),
        );
        t.true(largest <= 1, `${corruption} ${severity} of ${byte}: off by ${largest}`);
      }
    }
    for (const corruption of ['snow', 'frost', 'brightness'] as const) {
      const added = differences(await make(plain(60, 8), corruption, severity), plain(60, 8));
      t.true(meanOf(added) > 3, `${corruption} ${severity}: ${meanOf(added)}`);
    }
    t.deepEqual(await make(plain(0), 'fog', severity), plain(0), 'fog is as bright as the image');
  }
  const frosted = await make(plain(0, 40), 'frost', 5);
  t.true(meanOf(frosted) > 30 && meanOf(frosted) < 90 && varianceOf(frosted) > 100, `frost: mean ${meanOf(frosted)}`);
});

test(`spatter covers a small part, with the colours of water and mud (seed ${seed})`, async (t) => {
  const images = plain(100, 10);
  for (const severity of severities) {
    const made = await make(images, 'spatter', severity);
    const share = changed(made, images);
    t.true(share > 0.002 && share < 0.5, `severity ${severity}: ${share}`);
    const mean = meanOf(differences(made, images));
    t.true(severity <= 3 ? mean > 0 : mean < 0, `severity ${severity}: ${mean}`);
  }
});

test(`plasma spans 0 to 1 and is rougher with less decay (seed ${seed})`, (t) => {
  const roughness = (decay: number) => {
    const map = plasma(64, decay, new Random(seed));
    t.is(Math.min(...map), 0);
    t.is(Math.max(...map), 1);
    return meanOf(map.map((value, i) => Math.abs(value - (map[(i & ~63) | ((i + 1) & 63)] as number))));
  };
  const [smooth, rough] = [roughness(3), roughness(1.5)];
  t.true(smooth < rough / 2, `${smooth} and ${rough}`);
});

test(`larger images take the other table and any side works (seed ${seed})`, async (t) => {
  for (const other of [8, 15, 65, 80]) {
    const image = Uint8Array.from({ length: other * other * 3 }, (_, i) => (i * 7) % 256);
    for (const corruption of allCorruptionNames) {
      const made = await corrupt(image, other, { corruption, severity: 5, seed, index: 0 });
      t.is(made.length, image.length, corruption);
      t.true(distance(made, image) > 0, `${corruption} at ${other} px`);
    }
  }
});

test('refuses what it cannot do, naming what it can', async (t) => {
  const good = { corruption: 'fog', severity: 3, seed: 1, index: 0 };
  const refuses = (change: object, message: RegExp, image = plain(1), size = side) =>
    t.throwsAsync(corrupt(image, size, { ...good, ...change }), { instanceOf: UsageError, message });
  await refuses(
    { corruption: 'rain' },
    /unknown corruption "rain": expected one of gaussian_noise, .*extra.*saturate$/,
  );
  for (const severity of [0, 6, 2.5, Number.NaN]) {
    await refuses({ severity }, /severity must be a whole number from 1 to 5: /);
  }
  await refuses({ seed: 0.5 }, /seed must be a whole number: 0.5/);
  await refuses({ index: Number.NaN }, /index must be a whole number: NaN/);
  await refuses({}, /expected an image of 32 x 32 x 3 bytes but got 3071 bytes/, plain(1).subarray(1));
  await refuses({}, /side must be a whole number from 8: 4/, new Uint8Array(48), 4);
  await t.throwsAsync(corruptImages(new Uint8Array(imageBytes + 5), side, { ...good }), {
    instanceOf: UsageError,
    message: /expected an image of 32 x 32 x 3 bytes but got 3077 bytes/,
  });
  t.is((await corruptImages(new Uint8Array(0), side, { ...good })).length, 0);
});

test('tells how many images are done', async (t) => {
  const seen: number[] = [];
  await corruptImages(pictures(40), side, { corruption: 'contrast', severity: 1, seed }, (done) => seen.push(done));
  t.deepEqual(seen, [32, 40]);
});
