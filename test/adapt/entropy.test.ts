import test from 'ava';
import { mixture, softmax } from '../../runtime/adapt/entropy.ts';
import { Random } from '../../runtime/train/random.ts';
import { normals } from '../support/draws.ts';

test('a mixture of logits has the mixture of their probabilities, row by row', (t) => {
  const [classes, share] = [5, 0.25];
  const [first, second] = [1, 2].map((seed) => Float32Array.from(normals(new Random(seed), [3, classes], 0, 3))) as [
    Float32Array,
    Float32Array,
  ];
  const [p, q] = [softmax(first, classes), softmax(second, classes)];
  const mixed = softmax(mixture(first, second, share, classes), classes);
  for (const [i, found] of mixed.entries()) {
    const expected = (1 - share) * (p[i] ?? 0) + share * (q[i] ?? 0);
    t.true(Math.abs(found - expected) <= 1e-6, `${i}: ${found}, expected ${expected}`);
  }
});

test('a class without any probability has a number for a logit', (t) => {
  const certain = Float32Array.of(0, 500, -500);
  const mixed = mixture(certain, certain, 0.5, 3);
  t.true(mixed.every(Number.isFinite), `${mixed}`);
  t.deepEqual([...softmax(mixed, 3)].map(Math.round), [0, 1, 0]);
});
