import test from 'ava';
import { UsageError } from '../../runtime/errors.ts';
import { applyAugment, drawAugment, parseAugment } from '../../runtime/train/data/augment.ts';
import {
  type BatchOptions,
  batches,
  batchesPerEpoch,
  epochOrder,
  imageReader,
} from '../../runtime/train/data/batches.ts';
import type { Dataset } from '../../runtime/train/data/dataset.ts';
import { splitDataset } from '../../runtime/train/data/split.ts';
import { Random } from '../../runtime/train/random.ts';

const seed = 11;
const imageSize = 4;
const imageBytes = imageSize * imageSize * 3;

/** A data set made of numbers: image i is random bytes of key i. Slow reads come back in any order. */
function numbers(samples: number, classes = 3): Dataset & { readonly reads: number[] } {
  const reads: number[] = [];
  return {
    reads,
    classes: Array.from({ length: classes }, (_, label) => `class ${label}`),
    samples,
    imageSize,
    label: (sample) => sample % classes,
    name: (sample) => `image ${sample}`,
    read: async (sample, target = new Uint8Array(imageBytes)) => {
      reads.push(sample);
      await new Promise((resolve) => setTimeout(resolve, sample % 3));
      if (sample === 666) throw new Error('unreadable');
      target.set(pixels(sample));
      return target;
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

function pixels(sample: number): Uint8Array {
  const random = new Random(seed, sample);
  return Uint8Array.from({ length: imageBytes }, () => random.integer(0, 255));
}

async function collect(dataset: Dataset, indices: ArrayLike<number>, options: BatchOptions) {
  const all: { images: number[]; labels: number[]; indices: number[]; count: number; position: number }[] = [];
  for await (const batch of batches(dataset, indices, options)) {
    all.push({ ...batch, images: [...batch.images], labels: [...batch.labels], indices: [...batch.indices] });
  }
  return all;
}

const indices = Uint32Array.from({ length: 23 }, (_, i) => 2 * i);

test('every sample comes once, with its own pixels and label, and the last batch is smaller', async (t) => {
  const all = await collect(numbers(46), indices, { batch: 5, seed, epoch: 0 });
  t.deepEqual(
    all.map(({ count }) => count),
    [5, 5, 5, 5, 3],
  );
  t.is(batchesPerEpoch(23, 5), 5);
  const seen = all.flatMap((batch) => batch.indices);
  t.deepEqual(seen, [...epochOrder(indices, { seed, epoch: 0 })]);
  t.deepEqual(
    [...seen].sort((a, b) => a - b),
    [...indices],
  );
  for (const batch of all) {
    t.is(batch.images.length, batch.count * imageBytes);
    t.deepEqual(
      batch.labels,
      batch.indices.map((sample) => sample % 3),
    );
    t.deepEqual(
      batch.images,
      batch.indices.flatMap((sample) => [...pixels(sample)]),
    );
  }
});

for (const augment of ['none', 'flip,shift:1,colour:0.2']) {
  test(`a resumed epoch yields what the uninterrupted one did, augment ${augment}`, async (t) => {
    const options = { batch: 4, seed, epoch: 3, augmentation: parseAugment(augment) };
    const whole = await collect(numbers(46), indices, options);
    for (let from = 0; from <= whole.length; from++) {
      t.deepEqual(
        await collect(numbers(46), indices, { ...options, from }),
        whole.slice(from),
        `seed ${seed} from ${from}`,
      );
    }
  });
}

test('augmentation belongs to the sample, whatever batch it is in', async (t) => {
  const augmentation = parseAugment('flip,shift:2,colour:0.3');
  for (const batch of [3, 7]) {
    for (const { images, indices: samples } of await collect(numbers(46), indices, {
      batch,
      seed,
      epoch: 2,
      augmentation,
    })) {
      samples.forEach((sample, place) => {
        const expected = new Uint8Array(imageBytes);
        applyAugment(drawAugment(augmentation, imageSize, seed, 2, sample), pixels(sample), expected, imageSize);
        t.deepEqual(images.slice(place * imageBytes, (place + 1) * imageBytes), [...expected]);
      });
    }
  }
});

test('epochs differ in order; without shuffling the order is the one given', async (t) => {
  const order = async (options: Partial<BatchOptions>) =>
    (await collect(numbers(46), indices, { batch: 6, seed, epoch: 0, ...options })).flatMap((batch) => batch.indices);
  t.notDeepEqual(await order({ epoch: 1 }), await order({}));
  t.deepEqual(await order({ shuffle: false }), [...indices]);
});

test('other work gets its turn between two images that are augmented', async (t) => {
  let turns = 0;
  const count = (): void => {
    turns += 1;
    timer = setImmediate(count);
  };
  let timer = setImmediate(count);
  const read = imageReader(
    { ...numbers(46), read: async (_, target = new Uint8Array(imageBytes)) => target },
    { seed, epoch: 0, augmentation: parseAugment('shift:2') },
  );
  const target = new Uint8Array(8 * imageBytes);
  await read(indices.subarray(0, 8), (place) => target.subarray(place * imageBytes, (place + 1) * imageBytes));
  clearImmediate(timer);
  t.true(turns >= 7, `${turns} turns`);
});

test('two buffers of the caller take turns', async (t) => {
  const buffers = [new Uint8Array(5 * imageBytes), new Uint8Array(5 * imageBytes)] as const;
  const given = [];
  for await (const { images, position } of batches(numbers(46), indices, { batch: 5, seed, epoch: 0, buffers })) {
    given.push(images.buffer === buffers[position % 2]?.buffer);
  }
  t.deepEqual(given, Array(5).fill(true));
});

test('reads one batch ahead and no further', async (t) => {
  const dataset = numbers(46);
  const iterator = batches(dataset, indices, { batch: 5, seed, epoch: 0 });
  await iterator.next();
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.is(dataset.reads.length, 10);
  await iterator.return(undefined);
});

test('an image that cannot be read fails its own batch, not the one before', async (t) => {
  const iterator = batches(numbers(700), [1, 2, 666, 3], { batch: 2, seed, epoch: 0, shuffle: false });
  t.is((await iterator.next()).value?.count, 2);
  await new Promise((resolve) => setTimeout(resolve, 20));
  await t.throwsAsync(iterator.next(), { message: 'unreadable' });
});

test('no samples are no batches; a batch of none is refused', async (t) => {
  t.deepEqual(await collect(numbers(5), [], { batch: 4, seed, epoch: 0 }), []);
  for (const batch of [0, -1, 1.5, Number.NaN]) {
    await t.throwsAsync(collect(numbers(5), [1], { batch, seed, epoch: 0 }), { instanceOf: UsageError });
  }
});

test('the validation split takes its share of every class and repeats for a seed', (t) => {
  const labels = [...Array(50).fill(0), ...Array(10).fill(1), 2, 2, 3] as number[];
  const dataset = { samples: labels.length, label: (sample: number) => labels[sample] as number };
  const split = splitDataset(dataset, 0.2, seed);
  const count = (samples: Uint32Array, label: number) =>
    [...samples].filter((sample) => labels[sample] === label).length;
  t.deepEqual(
    [0, 1, 2, 3].map((label) => count(split.validation, label)),
    [10, 2, 1, 0],
  );
  t.deepEqual(
    [...split.train, ...split.validation].sort((a, b) => a - b),
    labels.map((_, sample) => sample),
  );
  t.deepEqual(split.train, split.train.slice().sort());
  t.deepEqual(splitDataset(dataset, 0.2, seed), split);
  t.notDeepEqual(splitDataset(dataset, 0.2, seed + 1), split);
  t.is(splitDataset(dataset, 0, seed).validation.length, 0);
  for (const fraction of [-0.1, 1, Number.NaN]) {
    t.throws(() => splitDataset(dataset, fraction, seed), { instanceOf: UsageError });
  }
});
