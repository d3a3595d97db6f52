import test from 'ava';
import fc from 'fast-check';
import { buildStream, type StreamOptions } from '../../runtime/adapt/protocols/build-stream.ts';
import { dirichlet } from '../../runtime/adapt/protocols/dirichlet.ts';
import { protocolNames, type Stream, sampleAt } from '../../runtime/adapt/protocols/stream.ts';
import { UsageError } from '../../runtime/errors.ts';
import { Random } from '../../runtime/train/random.ts';

const seed = 20261121;

/** Labels of a data set that is not balanced, in no order. */
function someLabels(count: number, classes: number, key: number): Int32Array {
  const random = new Random(seed, key);
  return Int32Array.from({ length: count }, () => Math.min(random.integer(0, classes - 1), random.integer(0, classes)));
}

const names = ['noise', 'blur', 'fog', 'contrast'];
const base: StreamOptions = {
  protocol: 'continual',
  labels: someLabels(600, 10, 0),
  classes: 10,
  corruptions: names,
  seed,
};

const samplesOf = (stream: Stream) =>
  stream.segments.flatMap((segment) =>
    Array.from(segment.images, (_, place) => ({ ...sampleAt(stream, segment, place), segment: segment.name })),
  );

/** Images under each corruption. */
function groups(samples: ReturnType<typeof samplesOf>): Map<string, number[]> {
  const shown = new Map<string, number[]>();
  for (const { corruption, image } of samples) {
    const name = corruption ?? 'clean';
    shown.set(name, [...(shown.get(name) ?? []), image]);
  }
  return shown;
}

const sorted = (values: Iterable<number>): number[] => [...values].sort((a, b) => a - b);

const options = fc.record({
  protocol: fc.constantFrom(...protocolNames),
  count: fc.integer({ min: 1, max: 120 }),
  classes: fc.integer({ min: 1, max: 12 }),
  corruptions: fc.integer({ min: 1, max: 4 }).map((count) => names.slice(0, count)),
  limit: fc.option(fc.integer({ min: 1, max: 150 }), { nil: undefined }),
  severity: fc.integer({ min: 1, max: 5 }),
  delta: fc.constantFrom(0.001, 0.1, 1, 100),
  seed: fc.nat(),
});

test('every stream shows each image once under every corruption, with its own label', (t) => {
  fc.assert(
    fc.property(options, ({ count, limit, ...rest }) => {
      const labels = someLabels(count, rest.classes, rest.seed);
      const stream = buildStream({ ...rest, labels, ...(limit !== undefined && { limit }) });
      const samples = samplesOf(stream);
      const shown = groups(samples);
      const expected = rest.protocol === 'source-only' ? [] : rest.corruptions;
      const clean = ['source-only', 'back-to-source'].includes(rest.protocol) ? ['clean'] : [];
      t.deepEqual([...shown.keys()].sort(), [...expected, ...clean].sort());
      const used = Math.min(count, limit ?? count);
      const [first = []] = shown.values();
      t.is(new Set(first).size, used);
      for (const images of shown.values()) t.deepEqual(sorted(images), sorted(first));
      t.true(samples.every(({ image, label }) => label === labels[image]));
      t.true(samples.every(({ corruption, severity }) => (corruption === null ? severity === 0 : severity >= 1)));
      t.is(stream.frames, samples.length);
      t.true(stream.segments[0]?.reset);
    }),
    { seed },
  );
});

for (const protocol of protocolNames) {
  test(`${protocol}: the same seed gives the same stream, another seed another`, (t) => {
    t.deepEqual(buildStream({ ...base, protocol }), buildStream({ ...base, protocol }));
    const other = buildStream({ ...base, protocol, seed: seed + 1 });
    t.notDeepEqual(
      buildStream({ ...base, protocol }).segments.map(({ images }) => images),
      other.segments.map(({ images }) => images),
    );
  });
}

test('continual and reset differ in nothing but the resets', (t) => {
  const [continual, reset] = [buildStream(base), buildStream({ ...base, protocol: 'reset' })];
  t.deepEqual(
    continual.segments.map((segment) => segment.reset),
    [true, false, false, false],
  );
  t.deepEqual(
    reset.segments,
    continual.segments.map((segment) => ({ ...segment, reset: true })),
  );
  t.deepEqual(
    continual.segments.map(({ name }) => name),
    names,
  );
});

test('each corruption has an order of its own, and a limit takes the same images for all', (t) => {
  const { segments } = buildStream({ ...base, limit: 50 });
  t.is(new Set(segments.map(({ images }) => images.join())).size, names.length);
  t.is(new Set(segments.map(({ images }) => sorted(images).join())).size, 1);
});

test('gradual rises to the severity and falls back in parts of equal length', (t) => {
  const stream = buildStream({ ...base, protocol: 'gradual', limit: 90 });
  for (const segment of stream.segments) {
    const severities = Array.from(segment.images, (_, place) => sampleAt(stream, segment, place).severity);
    t.deepEqual(
      severities,
      [1, 2, 3, 4, 5, 4, 3, 2, 1].flatMap((severity) => Array<number>(10).fill(severity)),
    );
  }
});

test('mixed spreads every corruption over the whole stream', (t) => {
  const samples = samplesOf(buildStream({ ...base, protocol: 'mixed' }));
  const middle = (samples.length - 1) / 2;
  for (const name of names) {
    const places = samples.flatMap(({ corruption }, place) => (corruption === name ? [place] : []));
    const mean = places.reduce((sum, place) => sum + place, 0) / places.length;
    // The mean of n places drawn from N without putting back has this deviation.
    const [n, all] = [places.length, samples.length];
    const deviation = Math.sqrt(((all + 1) * (all - n)) / (12 * n));
    t.true(Math.abs(mean - middle) <= 4 * deviation, `seed ${seed}: ${name} at ${mean}, deviation ${deviation}`);
  }
});

/** Neighbouring frames of different classes. */
const changes = ({ segments }: Stream): number =>
  segments.reduce((sum, { labels }) => sum + labels.filter((label, place) => label !== labels[place - 1]).length, 0);

test('single-class shows class after class', (t) => {
  const stream = buildStream({ ...base, protocol: 'single-class' });
  t.is(changes(stream), names.length * new Set(base.labels as Int32Array).size);
  const orders = stream.segments.map(({ labels }) => [...new Set(labels)].join());
  t.is(new Set(orders).size, names.length, 'each corruption has its own order of classes');
});

test('a smaller delta correlates more: classes change less often', (t) => {
  const labels = someLabels(6000, 10, 1);
  const streams = [0.01, 0.1, 1, 10].map((delta) => buildStream({ ...base, protocol: 'correlated', labels, delta }));
  const changed = streams.map(changes);
  t.deepEqual(changed, sorted(changed), `seed ${seed}`);
  t.is(new Set(changed).size, changed.length, `seed ${seed}: ${changed}`);
  const shuffled = changes(buildStream({ ...base, labels }));
  t.true((changed[3] as number) < shuffled / 10, `seed ${seed}: ${changed[3]} against ${shuffled} shuffled`);
});

for (const [index, delta] of [0.01, 0.1, 1, 10].entries()) {
  test(`dirichlet delta=${delta}: shares add up to 1 and are as concentrated as they should be`, (t) => {
    const [slots, draws] = [10, 4000];
    const random = new Random(seed, index);
    const squares = Array.from({ length: draws }, () => {
      const shares = dirichlet(random, slots, delta);
      const sum = shares.reduce((total, share) => total + share, 0);
      t.true(Math.abs(sum - 1) <= 1e-12 && shares.every((share) => share >= 0), `seed ${seed}: ${shares}`);
      return shares.reduce((total, share) => total + share ** 2, 0);
    });
    const mean = squares.reduce((total, value) => total + value, 0) / draws;
    const variance = squares.reduce((total, value) => total + (value - mean) ** 2, 0) / (draws - 1);
    const expected = (delta + 1) / (slots * delta + 1);
    const error = Math.abs(mean - expected);
    t.true(error <= 4 * Math.sqrt(variance / draws), `seed ${seed}: mean ${mean}, expected ${expected}`);
  });
}

test('back-to-source ends with clean images and no reset; batch-1 takes one frame a call', (t) => {
  const { segments } = buildStream({ ...base, protocol: 'back-to-source' });
  t.deepEqual([segments.at(-1)?.name, segments.at(-1)?.reset], ['clean', false]);
  t.is(buildStream({ ...base, protocol: 'batch-1' }).batchLimit, 1);
  t.is(buildStream(base).batchLimit, null);
});

const refused: readonly (readonly [string, Partial<StreamOptions>])[] = [
  ['severity: expected 1 to 5 but got 6', { severity: 6 }],
  ['severity: expected 1 to 5 but got NaN', { severity: Number.NaN }],
  ['delta: expected a number above 0 but got 0', { delta: 0 }],
  ['delta: expected a number above 0 but got NaN', { delta: Number.NaN }],
  ['limit: expected a whole number above 0 but got 0', { limit: 0 }],
  ['labels: expected at least one image but got none', { labels: [] }],
  ['labels: expected whole numbers from 0 to below 10 but got 10', { labels: [0, 10] }],
  ['corruptions: expected at least one name, each once but got none', { corruptions: [] }],
  ['corruptions: expected at least one name, each once but got fog', { corruptions: ['fog', 'fog'] }],
];

for (const [message, wrong] of refused) {
  test(message, (t) => {
    t.throws(() => buildStream({ ...base, ...wrong }), { instanceOf: UsageError, message });
  });
}
