import test from 'ava';
import { toFileLayout, toGraphLayout } from '../../runtime/graph/axes.ts';

const origin = { shape: [2, 3, 1, 2], permutation: [0, 2, 3, 1] };
const file = Float32Array.from({ length: 12 }, (_, i) => i);

test('graph axis i is file axis permutation[i]', (t) => {
  // File [o, i, h, w] = 6 o + 2 i + w; graph [o, h, w, i].
  t.deepEqual([...toGraphLayout(file, origin)], [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]);
});

test('back and forth gives the same values', (t) => {
  t.deepEqual(toFileLayout(toGraphLayout(file, origin), origin), file);
  const cyclic = { shape: [2, 3, 2], permutation: [2, 0, 1] };
  t.deepEqual(toFileLayout(toGraphLayout(file, cyclic), cyclic), file);
  const identity = { shape: [12], permutation: [0] };
  t.deepEqual(toGraphLayout(file, identity), file);
});
