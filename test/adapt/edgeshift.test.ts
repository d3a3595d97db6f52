/** The default method on a real model and real images, where it must help and where it must not harm. */
import anyTest, { type TestFn } from 'ava';
import { argmaxRows } from '../../runtime/adapt/entropy.ts';
import type { GuardName } from '../../runtime/adapt/guards/names.ts';
import { guardNames } from '../../runtime/adapt/guards/names.ts';
import type { MethodName } from '../../runtime/adapt/methods/index.ts';
import { openAdapter } from '../../runtime/adapt/open.ts';
import { loadRun, openMethod, saveRun } from '../support/adapt-methods.ts';
import {
  FRAME_BYTES as bytes,
  cleanFrames,
  type Frames,
  fashionFolder,
  fashionModel as model,
  noisyFrames,
} from '../support/fashion-frames.ts';

const test = anyTest as TestFn;
const onImages = fashionFolder ? test : test.skip;
const frames = 640;
const SHOES = 128;
const [SANDAL, SNEAKER] = [5, 7];

const darkened = ({ images, labels }: Frames): Frames => ({ images: images.map((value) => 0.55 * value), labels });

const dimmed = ({ images, labels }: Frames): Frames => ({ images: images.map((value) => 110 + value / 2), labels });

function sorted({ images, labels }: Frames): Frames {
  const order = [...labels.keys()].sort((a, b) => (labels[a] ?? 0) - (labels[b] ?? 0) || a - b);
  const result = new Uint8Array(images.length);
  order.forEach((from, to) => {
    result.set(images.subarray(from * bytes, (from + 1) * bytes), to * bytes);
  });
  return { images: result, labels: Uint8Array.from(order, (n) => labels[n] ?? 0) };
}

/** Those of two classes, whose low norms differ from the other classes' as much as worlds do, behind the first frames. */
function endingInShoes({ images, labels }: Frames): Frames {
  const shoes = [...labels.keys()].filter((n) => n >= frames && [SANDAL, SNEAKER].includes(labels[n] ?? 0));
  const order = [...labels.keys()].slice(0, frames - SHOES).concat(shoes.slice(0, SHOES));
  return {
    images: Uint8Array.from(order.flatMap((n) => [...images.subarray(n * bytes, (n + 1) * bytes)])),
    labels: Uint8Array.from(order, (n) => labels[n] ?? 0),
  };
}

interface Seen {
  /** Share that was misclassified. */
  readonly error: number;
  readonly reasons: ReadonlySet<string>;
  readonly updates: number;
}

async function see(
  stream: Frames,
  { method = 'edgeshift', batch = 64, guards = guardNames }: Partial<Options> = {},
): Promise<Seen> {
  await using adapter = await openAdapter({ model, method, batch, guards, threads: 2, budgetBytes: 2 ** 33 });
  const reasons = new Set<string>();
  let [wrong, updates] = [0, 0];
  for (let from = 0; from < frames; from += batch) {
    const part = stream.images.subarray(from * bytes, (from + batch) * bytes);
    const { logits, updated, reason } = await adapter.observe(part, batch);
    reasons.add(reason);
    updates += Number(updated);
    for (const [n, label] of argmaxRows(logits, 10).entries()) wrong += Number(label !== stream.labels[from + n]);
  }
  const { plannedPeakBytes, highWaterBytes } = await adapter.memory();
  if (highWaterBytes !== plannedPeakBytes && updates > 0) {
    throw new Error(`high water ${highWaterBytes}, planned ${plannedPeakBytes}`);
  }
  return { error: wrong / frames, reasons, updates };
}

interface Options {
  readonly method: MethodName;
  readonly batch: number;
  readonly guards: readonly GuardName[];
}

const POINT = 0.01;

onImages(
  'a changed world is followed: most of the lost accuracy comes back, batch by batch and frame by frame',
  async (t) => {
    const stream = dimmed(await cleanFrames(frames));
    const none = await see(stream, { method: 'none' });
    t.true(none.error > 0.5, `none ${none.error}`);
    const adapted = await see(stream);
    t.true(adapted.error <= 0.1, `batch 64: ${adapted.error}`);
    t.true(adapted.reasons.has('drift'));
    const few = await see(stream, { batch: 16 });
    t.true(few.error <= 0.1, `batch 16: ${few.error}`);
    const single = await see(stream, { batch: 1 });
    // The first 15 frames are predicted before anything is known.
    t.true(single.error <= 0.13, `batch 1: ${single.error}`);
    t.log(`none ${none.error}, batch 64, 16, 1: ${adapted.error}, ${few.error}, ${single.error}`);
  },
);

onImages(
  'a world in which the model takes everything for one class is followed by a few frames at a time, too',
  async (t) => {
    const plain = await cleanFrames(frames);
    const stream = { ...plain, images: plain.images.map((value) => Math.min(255, value + 100)) };
    const none = await see(stream, { method: 'none' });
    t.true(none.error > 0.8, `none ${none.error}`);
    for (const batch of [64, 16]) {
      const { error } = await see(stream, { batch });
      t.true(error <= 0.25, `batch ${batch}: ${error}`);
      t.log(`none ${none.error}, batch ${batch}: ${error}`);
    }
  },
);

onImages(
  'no harm: clean, sorted by class, and sorted in a changed world, at most one point worse than nothing',
  async (t) => {
    const plain = await cleanFrames(frames);
    for (const [name, stream] of [
      ['clean', plain],
      ['clean, sorted', sorted(plain)],
      ['speckle noise, sorted', sorted(await noisyFrames(plain))],
    ] as const) {
      const none = await see(stream, { method: 'none' });
      const adapted = await see(stream);
      t.true(adapted.error <= none.error + POINT, `${name}: ${adapted.error}, none ${none.error}`);
      t.log(
        `${name}: none ${none.error.toFixed(3)}, edgeshift ${adapted.error.toFixed(3)}, ${[...adapted.reasons].join('; ')}`,
      );
    }
  },
);

onImages('no harm: two classes in a changed world, whose low norms move as a world would move them', async (t) => {
  const stream = endingInShoes(darkened(await cleanFrames(2 * frames)));
  const none = await see(stream, { method: 'none' });
  const adapted = await see(stream);
  t.true(adapted.error <= none.error + POINT, `${adapted.error}, none ${none.error}`);
  t.true(adapted.reasons.has('drift'), [...adapted.reasons].join('; '));
});

onImages('without the guard against few classes, a sorted stream does harm', async (t) => {
  const stream = sorted(await cleanFrames(frames));
  const guarded = await see(stream);
  const open = await see(stream, { guards: guardNames.filter((name) => name !== 'skew') });
  t.true(open.error >= guarded.error + 10 * POINT, `guarded ${guarded.error}, open ${open.error}`);
});

onImages('a stopped run continues to the bit, whole memories a call or less', async (t) => {
  const { images } = dimmed(await cleanFrames(frames));
  for (const batch of [64, 16]) {
    const open = () => openMethod({ model, method: 'edgeshift', batch });
    const batchOf = (n: number): Uint8Array => images.subarray(n * batch * bytes, (n + 1) * batch * bytes);
    await using whole = await open();
    for (let n = 0; n < 3; n++) await whole.running.observe(batchOf(n), batch);
    await using other = await open();
    await loadRun(other, await saveRun(whole));
    for (let n = 3; n < 6; n++) {
      t.deepEqual(await other.running.observe(batchOf(n), batch), await whole.running.observe(batchOf(n), batch));
    }
    t.deepEqual(await saveRun(other), await saveRun(whole));
  }
});

onImages('labels that arrive late are learnt from', async (t) => {
  const { images, labels } = await cleanFrames(frames);
  await using adapter = await openAdapter({ model, batch: 64, threads: 2, budgetBytes: 2 ** 33 });
  const some = Array.from({ length: 32 }, (_, n) => ({
    image: images.subarray(n * bytes, (n + 1) * bytes),
    label: (labels[n] ?? 0) === 9 ? 0 : (labels[n] ?? 0) + 1,
  }));
  const right = async (): Promise<number> => {
    const { logits } = await adapter.observe(images.subarray(0, 32 * bytes), 32, false);
    return argmaxRows(logits, 10).reduce((sum, label, n) => sum + Number(label === some[n]?.label), 0);
  };
  const before = await right();
  for (let step = 0; step < 40; step++) t.true(await adapter.teach(some));
  t.true((await right()) > before, 'labels that contradict the model move it');
});
