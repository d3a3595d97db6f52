import test from 'ava';
import { buildStream } from '../../runtime/adapt/protocols/build-stream.ts';
import type { StreamRun } from '../../runtime/adapt/protocols/run-stream.ts';
import { compareRuns, meanError } from '../../runtime/adapt/protocols/score.ts';
import type { Stream } from '../../runtime/adapt/protocols/stream.ts';
import { UsageError } from '../../runtime/errors.ts';
import { Random } from '../../runtime/train/random.ts';

const seed = 20261121;

/** A stream of `count` images of one class under five corruptions. */
function streamOf(count: number, key: number): Stream {
  const corruptions = ['a', 'b', 'c', 'd', 'e'];
  return buildStream({ protocol: 'continual', labels: new Int32Array(count), classes: 1, corruptions, seed: key });
}

const close = (one: number, other: number): boolean => Math.abs(one - other) <= 1e-12;

/** A run that errs on each frame with the probability of its image; `draw` sets runs apart. */
function drawnRun(stream: Stream, method: string, hard: (image: number) => number, draw: number): StreamRun {
  const wrong = Uint8Array.from(
    stream.segments.flatMap(({ images }, at) =>
      Array.from(images, (image) => (new Random(seed, draw, image, at).uniform() < hard(image) ? 1 : 0)),
    ),
  );
  const memory = { plannedPeakBytes: 0, highWaterBytes: 0, stateBytes: 0, plannedTotalBytes: 0 };
  const calls = { callEnds: Uint32Array.of(wrong.length), callMillis: Float64Array.of(1) };
  return { method, batch: wrong.length, wrong, ...calls, updatedFrames: 0, reasons: {}, memory };
}

test('the standard error of a difference is the spread of the differences of other images, clustered by image', (t) => {
  const draws = 300;
  const apart: number[] = [];
  const stated: number[] = [];
  const missed: boolean[] = [];
  for (let draw = 0; draw < draws; draw++) {
    const stream = streamOf(200, draw);
    // One method fails on images that are hard for it under every corruption: its errors go together.
    const cluster = (image: number): number => (new Random(seed, draw, image, 99).uniform() < 0.25 ? 0.9 : 0.05);
    const run = drawnRun(stream, 'one', cluster, 2 * draw);
    const other = drawnRun(stream, 'other', () => 0.2, 2 * draw + 1);
    const { difference, standardError, upperBound } = compareRuns(stream, run, other);
    t.true(close(difference, meanError(stream, run) - meanError(stream, other)));
    apart.push(difference);
    stated.push(standardError);
    missed.push(upperBound < 0.25 * 0.9 + 0.75 * 0.05 - 0.2);
  }
  const mean = apart.reduce((sum, value) => sum + value, 0) / draws;
  const spread = Math.sqrt(apart.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (draws - 1));
  const typical = stated.reduce((sum, value) => sum + value, 0) / draws;
  // A deviation from 300 draws has a relative error of 4 %.
  t.true(Math.abs(spread / typical - 1) <= 0.16, `seed ${seed}: spread ${spread}, stated ${typical}`);
  const share = missed.filter(Boolean).length / draws;
  t.true(share <= 0.1, `seed ${seed}: the 95 % bound was too low in ${share} of the draws`);
});

test('a run compared with itself differs by nothing; a run of another stream is refused', (t) => {
  const [stream, longer] = [30, 31].map((count) => streamOf(count, seed)) as [Stream, Stream];
  const run = drawnRun(stream, 'none', () => 0.5, 0);
  t.deepEqual(compareRuns(stream, run, run), { difference: 0, standardError: 0, upperBound: 0 });
  t.true(meanError(stream, run) > 0);
  t.throws(
    () =>
      compareRuns(
        stream,
        run,
        drawnRun(longer, 'none', () => 0.5, 0),
      ),
    {
      instanceOf: UsageError,
      message: '"none": expected a run of 150 frames but got 155',
    },
  );
});
