import test from 'ava';
import { codeBytes, codeOf, derivativeOf, type StepFunction, stepFunction } from '../../kernels/few-bit.ts';
import { type ActivationFunction, activationFunctions } from '../../kernels/smooth-functions.ts';
import { Random } from '../../runtime/train/random.ts';

/** What files in the wild write: slopes of HardSigmoid in MobileNetV3, ONNX's default of LeakyRelu and Elu. */
const parametersOf = (name: ActivationFunction) => {
  if (name === 'hardSigmoid') return { alpha: 1 / 6, beta: 0.5 };
  if (name === 'leakyRelu') return { alpha: 0.01, beta: 0 };
  return { alpha: name === 'elu' ? 1 : 0, beta: 0 };
};

/** The functions whose input or output would otherwise be kept, and whose derivative is no step function itself. */
const curved = ['hardSwish', 'silu', 'gelu', 'geluTanh'] as const;
const BITS = [1, 2, 3, 4] as const;
const SEED = 20271;
const POINTS_PER_UNIT = 256;
/** Inputs count as normal with deviation 2, as the module says. */
const weightOf = (x: number): number => Math.exp(-((x / 2) ** 2) / 2);

interface Sample {
  readonly x: number;
  readonly weight: number;
  readonly slope: number;
}

/** f' on a grid eight times finer than the one the steps are found on. */
function samplesOf(name: ActivationFunction): readonly Sample[] {
  return Array.from({ length: 16 * POINTS_PER_UNIT }, (_, i) => {
    const x = (i + 0.5) / POINTS_PER_UNIT - 8;
    return { x, weight: weightOf(x), slope: derivativeOf(name, x, parametersOf(name)) };
  });
}

/** Weighted mean of the squared difference between f' and the step function. */
function errorOf(samples: readonly Sample[], steps: StepFunction): number {
  let sum = 0;
  let total = 0;
  for (const { x, weight, slope } of samples) {
    sum += weight * (slope - (steps.levels[codeOf(steps, x)] ?? Number.NaN)) ** 2;
    total += weight;
  }
  return sum / total;
}

/** The same borders with the best levels for them: the weighted mean of f' between two borders. */
function refitted(samples: readonly Sample[], steps: StepFunction): StepFunction {
  const sums = steps.levels.map(() => ({ first: 0, weight: 0 }));
  for (const { x, weight, slope } of samples) {
    const sum = sums[codeOf(steps, x)];
    if (!sum) continue;
    sum.first += weight * slope;
    sum.weight += weight;
  }
  return { ...steps, levels: sums.map(({ first, weight }) => (weight > 0 ? first / weight : 0)) };
}

const stepsOf = (name: ActivationFunction, bits: number) => stepFunction(name, parametersOf(name), bits);

for (const name of activationFunctions) {
  test(`${name}: borders rise, there is a level for each code, and more bits are no worse`, (t) => {
    const samples = samplesOf(name);
    let before = Number.POSITIVE_INFINITY;
    for (const bits of BITS) {
      const { borders, levels } = stepsOf(name, bits);
      t.is(levels.length, 2 ** bits, `${bits} bits`);
      t.is(borders.length, levels.length - 1, `${bits} bits`);
      t.true(
        borders.every((border, i) => i === 0 || border > (borders[i - 1] ?? Number.NaN)),
        `${borders}`,
      );
      t.true(levels.every(Number.isFinite), `${levels}`);
      t.deepEqual(borders.map(Math.fround), [...borders], 'float32 holds each border');
      const error = errorOf(samples, { borders, levels });
      t.true(error <= before + 1e-9, `${bits} bits: ${error}, with a bit fewer ${before}`);
      before = error;
    }
  });
}

for (const name of curved) {
  test(`${name}: each bit cuts the error to less than half`, (t) => {
    const samples = samplesOf(name);
    const errors = BITS.map((bits) => errorOf(samples, stepsOf(name, bits)));
    for (const [i, error] of errors.entries()) {
      if (i > 0) t.true(error > 0 && error <= (errors[i - 1] ?? 0) / 2, `${errors}`);
    }
  });

  test(`${name}: one bit is 1[x >= 0]`, (t) => {
    const steps = stepsOf(name, 1);
    t.deepEqual(steps, { borders: [0], levels: [0, 1] });
    t.deepEqual(
      [-1e-30, 0, -0, 1e-30].map((x) => codeOf(steps, x)),
      [0, 1, 1, 1],
    );
  });

  for (const bits of [2, 3, 4] as const) {
    test(`${name}, ${bits} bits: no steps nearby fit better`, (t) => {
      const samples = samplesOf(name);
      const best = stepsOf(name, bits);
      const least = errorOf(samples, best);
      const random = new Random(SEED + bits);
      for (let round = 0; round < 60; round++) {
        const spread = [0.03, 0.2, 1][round % 3] ?? 1;
        // Only on multiples of 1/32: between them the optimum may lie, but not by more than the tolerance.
        const moved = best.borders.map((border) => Math.round((border + spread * random.normal(0, 1)) * 32) / 32);
        const borders = moved.toSorted((a, b) => a - b);
        const levels = best.levels.map((level) => level + 0.3 * spread * random.normal(0, 1));
        for (const other of [
          { borders: best.borders, levels },
          { borders, levels: best.levels },
          refitted(samples, { borders, levels }),
        ]) {
          const error = errorOf(samples, other);
          const drawn = `seed ${SEED + bits}, round ${round}`;
          t.true(least <= error * (1 + 1e-3) + 1e-12, `${least} > ${error} of ${JSON.stringify(other)}, ${drawn}`);
        }
      }
    });
  }
}

test('leakyRelu: one bit gives the exact derivative', (t) => {
  t.is(errorOf(samplesOf('leakyRelu'), stepFunction('leakyRelu', parametersOf('leakyRelu'), 1)), 0);
});

test('parameters tell step functions apart', (t) => {
  t.deepEqual(stepFunction('leakyRelu', { alpha: 0.1, beta: 0 }, 1).levels, [0.1, 1]);
  t.deepEqual(stepFunction('leakyRelu', { alpha: 0.2, beta: 0 }, 1).levels, [0.2, 1]);
});

test('hardSwish, 3 bits: closer than the published table', (t) => {
  // Novikov et al. 2022, fewbit/data/builtin.npz, without its outer borders at +-100.
  const published = {
    borders: [-3, -2, -1, 0, 1, 2, 3],
    levels: [0, -0.33333, 0, 0.33333, 0.66667, 1, 1.33333, 1],
  };
  const samples = samplesOf('hardSwish');
  const [ours, theirs] = [errorOf(samples, stepsOf('hardSwish', 3)), errorOf(samples, published)];
  t.true(ours < theirs, `${ours}, published ${theirs}`);
});

test('codeOf counts the borders at or below x', (t) => {
  const steps: StepFunction = { borders: [-1.5, 0, 2], levels: [1, 2, 3, 4] };
  const codes = new Map([
    [Number.NEGATIVE_INFINITY, 0],
    [-1.5000001, 0],
    [-1.5, 1],
    [-1e-30, 1],
    [-0, 2],
    [0, 2],
    [1.9999999, 2],
    [2, 3],
    [Number.POSITIVE_INFINITY, 3],
  ]);
  for (const [x, code] of codes) t.is(codeOf(steps, x), code, `x = ${x}`);
});

test('codeBytes rounds the channels of each pixel up to eight', (t) => {
  for (const bits of BITS) {
    t.is(codeBytes([3, 5, 8], bits), 15 * bits);
    t.is(codeBytes([3, 5, 1], bits), 15 * bits);
    t.is(codeBytes([3, 5, 9], bits), 30 * bits);
    t.is(codeBytes([3, 5, 13], bits), 30 * bits);
    t.is(codeBytes([17], bits), 3 * bits);
    t.is(codeBytes([0, 5, 8], bits), 0);
  }
});
