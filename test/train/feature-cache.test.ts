import { existsSync } from 'node:fs';
import { mkdtemp, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { DataError } from '../../runtime/errors.ts';
import { featureRoomBytes } from '../../runtime/plan/accounting.ts';
import type { Plan } from '../../runtime/plan/plan.ts';
import { FeatureCache, featureShape, fitsCache, fitsDisk } from '../../runtime/train/feature-cache.ts';
import { draw, seeded } from '../kernels/simd-arena.ts';
import { mobileNet } from '../support/mobilenet.ts';
import { mountSmallDisk } from '../support/train-disk.ts';
import { plan as makePlan } from '../support/training.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-cache-'));
test.after.always(() => rm(root, { recursive: true, force: true }));

const shape = [3, 5, 24];
const count = 3 * 5 * 24;
const featuresOf = (key: number): Float32Array => Float32Array.from(draw(seeded(key), count));

async function getFrom(cache: FeatureCache, sample: number, variant: number): Promise<Float32Array> {
  const target = new Float32Array(count);
  await cache.get(sample, variant, target);
  return target;
}

for (const precision of ['exact', '8bit'] as const) {
  test(`${precision}: what is put is what is used and what comes back, sample by sample and variant by variant`, async (t) => {
    const path = join(root, `${precision}.features`);
    const cache = await FeatureCache.create(path, { shape, precision, variants: 2, samples: 6 });
    const wanted = [
      [4, 1],
      [0, 0],
      [4, 0],
      [5, 1],
    ] as const;
    const used = wanted.map(([sample, variant]) => featuresOf(10 * sample + variant));
    await Promise.all(wanted.map(([sample, variant], i) => cache.put(sample, variant, used[i] ?? new Float32Array())));
    for (const [i, [sample, variant]] of wanted.entries()) {
      t.true(cache.has(sample, variant));
      t.deepEqual(await getFrom(cache, sample, variant), used[i]);
      const exact = featuresOf(10 * sample + variant);
      if (precision === 'exact') t.deepEqual(used[i], exact);
      // Values lie between -1 and 1.
      else {
        const errors = exact.map((value, at) => Math.abs(value - (used[i]?.[at] ?? Number.NaN)));
        t.true(
          errors.every((error) => error <= 1 / 255 + 1e-6),
          `seed ${10 * sample + variant}`,
        );
      }
    }
    for (const [sample, variant] of [
      [0, 1],
      [1, 0],
      [5, 0],
    ] as const) {
      t.false(cache.has(sample, variant));
    }
    t.is((await stat(path)).size, 4 * (precision === 'exact' ? 4 * count : count + 2 * 8), 'nothing but what was put');
    await cache[Symbol.asyncDispose]();
    t.false(existsSync(path));
  });
}

test('a file that was cut off is an error', async (t) => {
  const path = join(root, 'cut.features');
  await using cache = await FeatureCache.create(path, { shape, precision: 'exact', variants: 1, samples: 2 });
  await cache.put(1, 0, featuresOf(1));
  await truncate(path, 100);
  await t.throwsAsync(getFrom(cache, 1, 0), { instanceOf: DataError, message: /ends early\nHint: / });
});

test('a full disk is an error that says what to do, and what was not written is not there', async (t) => {
  const disk = await mountSmallDisk(root, '64k');
  if (!disk) return t.log('no small disk can be mounted here');
  try {
    const needs = { shape: [64], precision: 'exact', variants: 1 } as const;
    t.true(await fitsDisk(disk.path, { ...needs, images: 1 }));
    t.false(await fitsDisk(disk.path, { ...needs, images: 1000 }));
    await t.throwsAsync(fitsDisk(disk.path, { ...needs, precision: '8bit', images: 1000 }), {
      instanceOf: DataError,
      message: /not enough disk for cached features, expected \d+ bytes free but got \d+\nHint: .*--no-cache/,
    });
    const path = join(disk.path, 'full.features');
    await using cache = await FeatureCache.create(path, {
      shape: [1 << 15],
      precision: 'exact',
      variants: 1,
      samples: 1,
    });
    await t.throwsAsync(cache.put(0, 0, new Float32Array(1 << 15)), {
      instanceOf: DataError,
      message: /cannot write the feature cache .*ENOSPC[\s\S]*--no-cache/,
    });
    t.false(cache.has(0, 0));
  } finally {
    disk.unmount();
  }
});

test('features are kept where something is frozen, the budget holds their room and the file stays below 2 GiB', async (t) => {
  const graph = await mobileNet(32);
  const plan = makePlan(graph, { batch: 4 });
  const shapeAtCut = featureShape(plan);
  if (!shapeAtCut) throw new Error('expected a prefix');
  const bytes = 4 * shapeAtCut.reduce((product, extent) => product * extent, 1);
  t.is(plan.buffers.find(({ name }) => name === plan.values.cut)?.bytesPerImage, bytes);
  t.is(featureShape({ ...plan, prefix: { ...plan.prefix, nodes: 0 } }), null);
  const needs = { shape: shapeAtCut, precision: 'exact', variants: 2, images: 100 } as const;
  const room = featureRoomBytes(4, bytes);
  t.is(room, 8 * bytes, 'two batches of four');
  const withRoom = (roomBytes: number): Plan =>
    makePlan(graph, { batch: 4, cachesFeatures: true, budgetBytes: plan.totalBytes + roomBytes });
  t.true(fitsCache(withRoom(room), needs));
  t.false(fitsCache(withRoom(room - 1), needs));
  t.false(fitsCache(plan, needs), 'not wanted');
  const kept = withRoom(room);
  const most = Math.floor(2 ** 31 / bytes / 2);
  t.true(fitsCache(kept, { ...needs, images: most }));
  t.false(fitsCache(kept, { ...needs, images: most + 1 }));
  t.true(fitsCache(kept, { ...needs, precision: '8bit', images: 2 * most }), 'codes take less');
});
