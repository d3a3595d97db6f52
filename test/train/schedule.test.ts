import test from 'ava';
import { rateFactor } from '../../runtime/train/schedule.ts';

const near = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-12;

test('cosine falls from 1 to 0, by half in the middle', (t) => {
  const cosine = { name: 'cosine', warmupSteps: 0, totalSteps: 100 } as const;
  t.is(rateFactor(cosine, 0), 1);
  t.true(near(rateFactor(cosine, 50), 0.5));
  t.true(near(rateFactor(cosine, 25), 0.5 * (1 + Math.SQRT1_2)));
  t.true(near(rateFactor(cosine, 100), 0));
  t.true(near(rateFactor(cosine, 250), 0), 'it does not rise again');
  for (let step = 1; step <= 100; step++) t.true(rateFactor(cosine, step) <= rateFactor(cosine, step - 1));
});

test('warm-up rises linearly to the full rate, then the schedule begins', (t) => {
  const schedule = { warmupSteps: 4, totalSteps: 24 };
  for (const name of ['cosine', 'constant'] as const) {
    const factors = [0, 1, 2, 3, 4].map((step) => rateFactor({ name, ...schedule }, step));
    t.deepEqual(factors, [0.25, 0.5, 0.75, 1, 1], name);
  }
  t.true(near(rateFactor({ name: 'cosine', ...schedule }, 14), 0.5), 'half of what is left after the warm-up');
});

test('constant is 1', (t) => {
  for (const step of [0, 7, 1e6]) t.is(rateFactor({ name: 'constant', warmupSteps: 0, totalSteps: 10 }, step), 1);
});

test('a warm-up as long as the run or longer stays finite', (t) => {
  for (const totalSteps of [1, 5]) {
    for (let step = 0; step < 8; step++) {
      const factor = rateFactor({ name: 'cosine', warmupSteps: 5, totalSteps }, step);
      t.true(factor >= 0 && factor <= 1, `step ${step} of ${totalSteps}: ${factor}`);
    }
  }
});
