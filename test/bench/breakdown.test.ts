/** The arithmetic of the benchmarks: work of planned steps, shares of rooflines, lines over the batch. */
import test from 'ava';
import { emptyStep } from '../../runtime/autodiff/training-graph.ts';
import type { Plan, PlannedBuffer, PlannedStep } from '../../runtime/plan/plan.ts';
import { grouped, linearity, type Rates, roofShare, type Stage, stagesOf } from '../../tools/bench/breakdown.ts';
import { powersBetween } from '../../tools/bench/table.ts';
import { stepWork } from '../../tools/bench/traffic.ts';
import { prefixFlops, updateBytes } from '../../tools/profiler/traffic.ts';

const WINDOW = { strides: [1, 1], dilations: [1, 1] };
const pointwise = { ...WINDOW, kernel: [1, 1], pads: [0, 0, 0, 0] };

const buffer = (name: string, sizes: Partial<PlannedBuffer>): PlannedBuffer => ({
  ...{ name, offset: 0, bytes: 0, bytesPerImage: 0, category: 'workspace', alive: null, storage: name },
  ...sizes,
});

/** x [4, 4, 8] through a pointwise convolution to y [4, 4, 16], forward and backward; then ReLU of y. */
const shapes = { inputs: [[4, 4, 8]], output: [4, 4, 16], parameters: { weight: [16, 1, 1, 8] } };
const conv: PlannedStep = {
  ...emptyStep('forward', 'Conv', 'conv', [4, 4, 8]),
  ...{ shapes, attributes: pointwise, inputs: ['x'], output: 'y', parameters: { weight: 'w' }, workspace: null },
};
const convBackward: PlannedStep = {
  ...{ ...conv, pass: 'backward', output: null, dOutput: 'd y', dInputs: ['d x'], dParameters: { weight: 'w' } },
};
const relu: PlannedStep = {
  ...emptyStep('forward', 'Clip', 'relu', [4, 4, 16]),
  ...{ attributes: { low: 0, high: null, derivative: 'exact' }, inputs: ['y'], output: 'z', saved: { mask: 'm' } },
  workspace: null,
};
const buffers = [
  ...['x', 'd x'].map((name) => buffer(name, { bytesPerImage: 512 })),
  ...['y', 'd y', 'z'].map((name) => buffer(name, { bytesPerImage: 1024 })),
  buffer('m', { bytesPerImage: 32 }),
  ...['w', 'gradient w'].map((name) => buffer(name, { bytes: 512 })),
];

test('a pointwise convolution is one product forward and two backward', (t) => {
  const images = 3;
  t.deepEqual(stepWork({ buffers }, conv, images), {
    flops: images * 2 * 16 * 8 * 16,
    bytes: images * (512 + 1024) + 512,
    products: [[images * 16, 8, 16]],
    convolution: null,
  });
  const backward = stepWork({ buffers }, convBackward, images);
  t.deepEqual(backward.products, [
    [16, images * 16, 8],
    [images * 16, 16, 8],
  ]);
  t.is(backward.flops, 2 * images * 2 * 16 * 8 * 16);
  // x, w, dy and dx once, the gradient of w read and written.
  t.is(backward.bytes, images * (512 + 1024 + 512) + 3 * 512);
});

test('a gradient nobody wants costs nothing', (t) => {
  const { products, flops } = stepWork({ buffers }, { ...convBackward, dParameters: {} }, 1);
  t.deepEqual(products, [[16, 16, 8]]);
  t.is(flops, 2 * 16 * 8 * 16);
});

test('a k x k convolution is held against a convolution, not against products', (t) => {
  const window = { ...WINDOW, kernel: [3, 3], pads: [1, 1, 1, 1] };
  const weight = [16, 3, 3, 8];
  const step: PlannedStep = { ...conv, attributes: window, shapes: { ...shapes, parameters: { weight } } };
  const { products, convolution } = stepWork({ buffers }, step, 2);
  t.deepEqual(products, []);
  t.deepEqual(convolution, {
    ...{ images: 2, input: [4, 4, 8], weight, attributes: window },
    flops: 2 * 16 * 9 * 8 * 16,
  });
});

test('an update reads and writes parameters and states, and clears and reads gradients', (t) => {
  const span = { group: 'weights', bytes: 100, parameters: 0, gradients: 0 } as const;
  t.is(updateBytes({ spans: [{ ...span, states: [0] }] }), 600);
  t.is(
    updateBytes({
      spans: [
        { ...span, states: [0, 0] },
        { ...span, states: [] },
      ],
    }),
    800 + 400,
  );
});

const rates: Rates = {
  product: ([m]) => (m === 16 ? 1e9 : 2e9),
  convolution: () => 1e9,
  copy: () => 4e9,
  gemmFlopsPerSecond: 2e9,
  memoryBytesPerSecond: 1e9,
};

/** A batch of four in two passes. */
const plan = {
  ...{ batch: 4, microBatch: 2, trainableParameters: 128, buffers },
  steps: [{ ...conv, pass: 'prefix', op: 'Prefix' }, conv, relu, convBackward],
  spans: [{ group: 'weights', bytes: 512, parameters: 0, gradients: 0, states: [0] }],
  flops: { forward: 4 * (1e6 + 2 * 16 * 8 * 16 + 16 * 16), backward: 0 },
} as unknown as Plan;

test('what the suffix does not do is left to the prefix', (t) => {
  t.is(prefixFlops(plan), 4e6);
});

test('each stage is held against the rate that bounds it, all passes of a step together', (t) => {
  const millis = { prefix: 4, steps: [0, 2, 1, 3], optimizer: 0.5 };
  const [prefix, forward, clip, backward, optimizer] = stagesOf(plan, millis, rates);
  t.is(prefix?.millis, 4);
  const near = (stage: Stage | undefined, millis: number): void => {
    t.true(Math.abs((stage?.roofMillis ?? Number.NaN) / millis - 1) < 1e-9, `${stage?.name}: ${stage?.roofMillis}`);
  };
  near(prefix, 2);
  // Two passes of [32, 8] x [8, 16] at 2 GFLOP/s.
  t.is(forward?.bound, 'product');
  near(forward, (1000 * 2 * 2 * 32 * 8 * 16) / 2e9);
  t.is(clip?.bound, 'memory');
  near(clip, (1000 * 2 * 2 * (1024 + 1024 + 32)) / 4e9);
  t.is(clip?.memoryMillis, (1000 * 2 * 2 * (1024 + 1024 + 32)) / 1e9);
  // dw is [16, 32] x [32, 8] at 1 GFLOP/s, dx [32, 16] x [16, 8] at 2.
  near(backward, 1000 * 2 * (8192 / 1e9 + 8192 / 2e9));
  near(optimizer, (1000 * 6 * 512) / 4e9);
});

test('groups add up, longest first, and their share is that of their sums', (t) => {
  const stages = stagesOf(plan, { prefix: 4, steps: [0, 2, 1, 3], optimizer: 0.5 }, rates);
  const groups = grouped(stages, ({ bound }) => bound);
  t.deepEqual(
    groups.map(({ name, millis, count }) => [name, millis, count]),
    [
      ['product', 5, 4],
      ['arithmetic', 4, 4],
      ['memory', 1.5, 3],
    ],
  );
  t.is(roofShare(stages.filter(({ name }) => name === 'prefix')), 0.5);
  t.is(roofShare([]), null);
});

test('a straight line over the batch has no deviation, whatever its fixed part', (t) => {
  const { fixedMillis, imageMillis, deviation, smallestToLargest } = linearity(
    [1, 8, 32].map((batch) => ({ batch, millis: 5 + 3 * batch })),
  );
  t.true(Math.abs(fixedMillis - 5) < 1e-9);
  t.true(Math.abs(imageMillis - 3) < 1e-9);
  t.true(deviation < 1e-9);
  t.true(Math.abs(smallestToLargest - 8 / (3 + 5 / 32)) < 1e-9);
});

test('a step that is off the line is seen, relative to its own time', (t) => {
  const points = [1, 2, 4, 8, 16, 32].map((batch) => ({ batch, millis: 3 * batch }));
  const bent = points.map(({ batch, millis }) => ({ batch, millis: batch === 32 ? 1.5 * millis : millis }));
  t.true(linearity(points).deviation < 1e-9);
  t.true(linearity(bent).deviation > 0.15);
});

test('batches between two are powers of the first, both ends included', (t) => {
  t.deepEqual(powersBetween(1, 32), [1, 2, 4, 8, 16, 32]);
  t.deepEqual(powersBetween(3, 10), [3, 6, 10]);
  t.deepEqual(powersBetween(8, 8), [8]);
});
