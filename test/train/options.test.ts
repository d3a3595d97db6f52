import test from 'ava';
import { UsageError } from '../../runtime/errors.ts';
import { defaults, resolveConfig, type TrainOptions } from '../../runtime/train/options.ts';

const least = { model: 'm.onnx', data: 'images', run: 'run' };

test('what is not given, or undefined, takes its default', (t) => {
  t.deepEqual(resolveConfig(least), { ...defaults, ...least });
  const undefinedOptions = { ...least, batch: undefined, blocks: undefined } as unknown as TrainOptions;
  t.deepEqual(resolveConfig(undefinedOptions), { ...defaults, ...least });
  t.is(resolveConfig({ ...least, epochs: 2, validation: 0 }).epochs, 2);
});

const wrong: readonly [keyof TrainOptions, readonly unknown[]][] = [
  ['batch', [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]],
  ['microBatch', [0, 2.5, 'all']],
  ['blocks', [-1, 0.5, 'most']],
  ['threads', [0, 1.5]],
  ['epochs', [0, 1.5, Number.NaN]],
  ['maxSteps', [0, -3, 2.5]],
  ['checkpointSteps', [0, 0.5]],
  ['limit', [0, 1.5]],
  ['testLimit', [0, -1]],
  ['patience', [-1, 0.5]],
  ['warmupSteps', [-1, 1.5]],
  ['seed', [0.5, Number.NaN]],
  ['validation', [-0.1, 1, Number.NaN]],
  ['momentum', [-0.1, 1]],
  ['labelSmoothing', [-0.1, 1]],
  ['weightDecay', [-1, Number.NaN]],
  ['imageSize', [0, 7, 32.5]],
  ['cacheFeatures', ['exact', '4bit', null]],
  [
    'learningRate',
    [
      { head: -1, weights: 0, norms: 0 },
      { head: Number.NaN, weights: 0, norms: 0 },
    ],
  ],
];

for (const [option, values] of wrong) {
  test(`${option} out of range is named`, (t) => {
    for (const value of values) {
      const error = t.throws(() => resolveConfig({ ...least, [option]: value } as TrainOptions), {
        instanceOf: UsageError,
      });
      t.true(error?.message.startsWith(`${option} must be `), error?.message);
      t.deepEqual(error?.facts.options, [option]);
    }
  });
}

test('everything that is wrong is told at once', (t) => {
  const error = t.throws(() => resolveConfig({ ...least, batch: 0, epochs: 0, seed: 0.5 }), { instanceOf: UsageError });
  t.deepEqual(error?.facts.options, ['batch', 'epochs', 'seed']);
  t.is(error?.message.split('\n').length, 3);
});

test('the ends of every range are allowed', (t) => {
  const ends: Partial<TrainOptions> = {
    ...{ batch: 1, microBatch: 1, blocks: 0, threads: 1, epochs: 1, maxSteps: 1, checkpointSteps: 1, patience: 0 },
    ...{ warmupSteps: 0, seed: -1, validation: 0, momentum: 0, labelSmoothing: 0, weightDecay: 0, imageSize: 8 },
    learningRate: { head: 0, weights: 0, norms: 0 },
  };
  t.notThrows(() => resolveConfig({ ...least, ...ends }));
});
