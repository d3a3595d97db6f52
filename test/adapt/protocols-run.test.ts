import test from 'ava';
import type { Outcome } from '../../runtime/adapt/adapter.ts';
import { corrupt } from '../../runtime/adapt/corruptions/corrupt.ts';
import { buildStream } from '../../runtime/adapt/protocols/build-stream.ts';
import { corruptedImages, type ImageProvider, keptImages } from '../../runtime/adapt/protocols/images.ts';
import { runStream, type StreamProgress } from '../../runtime/adapt/protocols/run-stream.ts';
import {
  compareRuns,
  conditionScores,
  corruptionScores,
  errorCurve,
  meanError,
  runningErrors,
  segmentScores,
} from '../../runtime/adapt/protocols/score.ts';
import type { ProtocolName, Stream, StreamSample } from '../../runtime/adapt/protocols/stream.ts';
import { ExecutionError, UsageError } from '../../runtime/errors.ts';
import { Centroids, classes, pictures, shade, side } from '../support/adapt-centroids.ts';

const seed = 20261121;
const all = pictures(seed, 700);
const source = { labels: all.labels.subarray(0, 300), images: all.images.slice(0, 300) };
const target = { labels: all.labels.subarray(300), images: all.images.slice(300) };

const provide = corruptedImages(
  { imageSize: side, read: async (index) => target.images[index] as Uint8Array },
  async (image, _, { corruption, severity }) => shade(image, corruption === 'bright', severity),
  seed,
);

const streamOf = (protocol: ProtocolName, limit?: number): Stream =>
  buildStream({
    protocol,
    labels: target.labels,
    classes,
    corruptions: ['dark', 'bright'],
    seed,
    ...(limit !== undefined && { limit }),
  });

const frozen = () => new Centroids('none', source, 0);
const following = () => new Centroids('follow', source, 0.02);
const close = (one: number, other: number): boolean => Math.abs(one - other) <= 1e-12;

test('a method that follows the drift is scored better than a frozen one, frame by frame as it predicted', async (t) => {
  const stream = streamOf('continual');
  const none = await runStream(frozen(), stream, provide, { batch: 16 });
  const follow = await runStream(following(), stream, provide, { batch: 16 });
  const { difference, standardError } = compareRuns(stream, follow, none);
  t.true(difference + 4 * standardError < 0, `seed ${seed}: ${difference} +- ${standardError}`);
  t.is(none.updatedFrames, 0);
  t.deepEqual(none.reasons, { frozen: 800 });
  t.is(follow.updatedFrames, 800);
  t.deepEqual(follow.reasons, { 'whole batch': 800 });
  t.is(follow.memory.stateBytes, side * side * 3 * 8);
  // The same frames by hand.
  const adapter = frozen();
  for (const [place, image] of (stream.segments[1]?.images ?? []).entries()) {
    const { logits } = await adapter.observe(await provide({ image, label: 0, corruption: 'bright', severity: 5 }), 1);
    const best = logits.indexOf(Math.max(...logits));
    t.is(none.wrong[400 + place], best === target.labels[image] ? 0 : 1);
  }
});

test('resets happen at the boundaries that the stream names, and a run begins with one', async (t) => {
  const stream = streamOf('reset');
  const adapter = following();
  const first = await runStream(adapter, stream, provide, { batch: 16 });
  t.deepEqual((await runStream(adapter, stream, provide, { batch: 16 })).wrong, first.wrong);
  const alone = buildStream({ protocol: 'continual', labels: target.labels, classes, corruptions: ['dark'], seed });
  t.deepEqual(first.wrong.subarray(0, 400), (await runStream(adapter, alone, provide, { batch: 16 })).wrong);
  const continual = await runStream(adapter, streamOf('continual'), provide, { batch: 16 });
  t.deepEqual(continual.wrong.subarray(0, 400), first.wrong.subarray(0, 400));
  t.notDeepEqual(continual.wrong, first.wrong);
});

test('calls end at boundaries, and batch-1 takes one frame a call', async (t) => {
  const sizes: number[] = [];
  const adapter = following();
  const observe = adapter.observe.bind(adapter);
  adapter.observe = (images, count) => {
    sizes.push(count);
    return observe(images, count);
  };
  const run = await runStream(adapter, streamOf('continual', 40), provide, { batch: 16 });
  t.deepEqual(sizes, [16, 16, 8, 16, 16, 8]);
  t.deepEqual([...run.callEnds], [16, 32, 40, 56, 72, 80]);
  t.deepEqual(Object.entries(run.reasons), [
    ['whole batch', 64],
    ['part of a batch', 16],
  ]);
  t.true(run.callMillis.every((millis) => millis > 0));
  sizes.length = 0;
  const one = await runStream(adapter, streamOf('batch-1', 5), provide, { batch: 16 });
  t.deepEqual(sizes, Array(10).fill(1));
  t.is(one.batch, 1);
});

test('images are made one call ahead and no further, or between the calls', async (t) => {
  for (const prefetch of [true, false]) {
    let made = 0;
    const counted: ImageProvider = (sample) => {
      made += 1;
      return provide(sample);
    };
    const adapter = frozen();
    const observe = adapter.observe.bind(adapter);
    const madeAtCalls: number[] = [];
    adapter.observe = async (images, count) => {
      for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
      madeAtCalls.push(made);
      return observe(images, count);
    };
    await runStream(adapter, streamOf('source-only', 40), counted, { batch: 10, prefetch });
    t.deepEqual(madeAtCalls, prefetch ? [20, 30, 40, 40] : [10, 20, 30, 40]);
  }
});

test('progress tells the segment, the frames done and the error so far', async (t) => {
  const seen: StreamProgress[] = [];
  const stream = streamOf('back-to-source', 20);
  const run = await runStream(frozen(), stream, provide, { batch: 10, onProgress: (progress) => seen.push(progress) });
  t.deepEqual(
    seen.map(({ segment, frame, frames }) => [segment, frame, frames]),
    ['dark', 'dark', 'bright', 'bright', 'clean', 'clean'].map((name, call) => [name, 10 * call + 10, 60]),
  );
  t.deepEqual(
    seen.map(({ error }) => error),
    [...runningErrors(run)],
  );
});

for (const protocol of ['continual', 'gradual', 'mixed', 'back-to-source', 'source-only'] as const) {
  test(`${protocol}: scores by segment, condition and corruption count every frame once`, async (t) => {
    const stream = streamOf(protocol);
    const run = await runStream(following(), stream, provide, { batch: 16 });
    const wrong = run.wrong.reduce((sum, value) => sum + value, 0);
    for (const scores of [segmentScores, conditionScores, corruptionScores].map((by) => by(stream, run))) {
      t.is(
        scores.reduce((sum, { frames }) => sum + frames, 0),
        stream.frames,
      );
      t.is(
        scores.reduce((sum, score) => sum + score.wrong, 0),
        wrong,
      );
    }
    const scores = corruptionScores(stream, run);
    const counted = scores.filter(({ name }) => name !== 'clean' || scores.length === 1);
    const mean = counted.reduce((sum, { error }) => sum + error, 0) / counted.length;
    t.true(close(meanError(stream, run), mean));
    t.true(close(runningErrors(run).at(-1) ?? Number.NaN, wrong / stream.frames));
    const curve = errorCurve(stream, run, 12);
    t.true(
      close(
        curve.reduce((sum, { from, end, error }) => sum + (end - from) * error, 0),
        wrong,
      ),
    );
    let end = 0;
    for (const { images } of stream.segments) {
      end += images.length;
      t.true(curve.some((point) => point.end === end));
    }
  });
}

test('corruptions of the library are what a stream can show, clean images as they are', async (t) => {
  const read = async (index: number) => target.images[index] as Uint8Array;
  const images = corruptedImages({ imageSize: side, read }, corrupt, seed);
  const shown = { image: 3, label: 0, corruption: 'glass_blur', severity: 4 };
  t.deepEqual(await images(shown), await corrupt(await read(3), side, { ...shown, seed, index: 3 }));
  t.notDeepEqual(await images(shown), await read(3));
  t.deepEqual(await images({ ...shown, corruption: null, severity: 0 }), await read(3));
});

test('kept images are the same ones, made once while there is room', async (t) => {
  let made = 0;
  const fresh: ImageProvider = (sample) => {
    made += 1;
    return provide(sample);
  };
  const bytes = side * side * 3;
  const kept = keptImages(fresh, bytes, 5.5 * bytes);
  const samples = Array.from({ length: 8 }, (_, image): StreamSample => {
    return { image: image % 4, label: 0, corruption: image < 4 ? 'dark' : null, severity: image < 4 ? 2 : 0 };
  });
  for (const round of [1, 2]) {
    for (const sample of samples) t.deepEqual(await kept(sample), await provide(sample));
    t.is(made, round === 1 ? 8 : 8 + 3, `round ${round}`);
  }
});

test('a batch that was not planned for, or other classes, are refused before anything runs', async (t) => {
  const stream = streamOf('continual', 8);
  for (const batch of [0, 17, 1.5, Number.NaN]) {
    await t.throwsAsync(runStream(frozen(), stream, provide, { batch }), {
      instanceOf: UsageError,
      message: `batch: expected 1 to 16, as "none" was planned, but got ${batch}`,
    });
  }
  await t.throwsAsync(runStream(frozen(), { ...stream, classes: 5 }, provide, { batch: 8 }), {
    instanceOf: UsageError,
    message: 'stream: expected 4 classes, as the model has, but the data set has 5',
  });
});

test('an image or an answer of the wrong size is named', async (t) => {
  const stream = streamOf('continual', 8);
  const short: ImageProvider = async (sample) => (await provide(sample)).subarray(1);
  await t.throwsAsync(runStream(frozen(), stream, short, { batch: 8 }), {
    instanceOf: ExecutionError,
    message: /^image \d+: expected 192 bytes \(8 x 8 RGB, as "none" takes\) but got 191$/,
  });
  const adapter = frozen();
  const observe = adapter.observe.bind(adapter);
  adapter.observe = async (images, count): Promise<Outcome> => {
    const outcome = await observe(images, count);
    return { ...outcome, logits: outcome.logits.subarray(1) };
  };
  await t.throwsAsync(runStream(adapter, stream, provide, { batch: 8 }), {
    instanceOf: ExecutionError,
    message: '"none": expected 8 x 4 logits but got 31 values',
  });
});

test('a prediction that is not a number is wrong', async (t) => {
  const adapter = frozen();
  const observe = adapter.observe.bind(adapter);
  adapter.observe = async (images, count) => {
    const outcome = await observe(images, count);
    return { ...outcome, logits: outcome.logits.fill(Number.NaN) };
  };
  const stream = streamOf('source-only', 8);
  t.is(meanError(stream, await runStream(adapter, stream, provide, { batch: 8 })), 1);
});
