/** Matrix products against loops in float64, in whatever ranges of rows. */
import test from 'ava';
import { loadSimd, type SimdKernels } from '../../kernels/simd/simd.ts';
import { closeTo, draw, openArena, seeded } from './simd-arena.ts';

const SEED = 20267;

type Sizes = readonly [m: number, k: number, n: number];

interface Product {
  readonly name: 'productNn' | 'productNt' | 'productTnAdd';
  /** Where an element of a and of b stands. */
  readonly a: (row: number, step: number, sizes: Sizes) => number;
  readonly b: (step: number, column: number, sizes: Sizes) => number;
  /** Of the sum so far. */
  readonly adds: number;
}

const products: readonly Product[] = [
  { name: 'productNn', a: (i, s, [, k]) => i * k + s, b: (s, j, [, , n]) => s * n + j, adds: 0 },
  { name: 'productNt', a: (i, s, [, k]) => i * k + s, b: (s, j, [, k]) => j * k + s, adds: 0 },
  { name: 'productTnAdd', a: (i, s, [m]) => s * m + i, b: (s, j, [, , n]) => s * n + j, adds: 1 },
];

/** Every rest of tiles and vectors, and sums longer than one pass over them. */
const shapes: readonly Sizes[] = [
  ...[1, 2, 3, 4, 5, 7].flatMap((m) => [1, 3, 4, 9].flatMap((k) => [1, 2, 4, 7, 8, 13].map((n): Sizes => [m, k, n]))),
  ...([
    [133, 20, 24],
    [9, 255, 12],
    [6, 256, 11],
    [17, 257, 9],
    [4, 600, 33],
    [35, 513, 40],
  ] as const),
];

function expected(
  { a, b, adds }: Product,
  sizes: Sizes,
  left: Float64Array,
  right: Float64Array,
  before: Float64Array,
) {
  const [m, k, n] = sizes;
  const sums = new Float64Array(m * n);
  const magnitude = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = adds * (before[i * n + j] ?? 0);
      let size = Math.abs(sum);
      for (let s = 0; s < k; s++) {
        const term = (left[a(i, s, sizes)] ?? 0) * (right[b(s, j, sizes)] ?? 0);
        sum += term;
        size += Math.abs(term);
      }
      sums[i * n + j] = sum;
      magnitude[i * n + j] = size;
    }
  }
  return { sums, magnitude };
}

for (const product of products) {
  test(`${product.name} equals float64 loops, whole and in ranges of rows`, async (t) => {
    const next = seeded(SEED);
    for (const sizes of shapes) {
      const [m, k, n] = sizes;
      const arena = await openArena();
      const [left, right, before] = [draw(next, m * k), draw(next, k * n), draw(next, m * n)] as const;
      const [a, b, y] = [arena.put(left), arena.put(right), arena.put(before)] as const;
      const run = (kernels: SimdKernels, from: number, to: number): void =>
        kernels[product.name](a.pointer, b.pointer, y.pointer, m, k, n, from, to);
      arena.writesOnly(t, [y], () => run(arena.kernels, 0, m));
      const whole = arena.floats(y).slice();
      const { sums, magnitude } = expected(product, sizes, left, right, before);
      closeTo(t, `${product.name} ${sizes.join('x')}, seed ${SEED}`, whole, sums, { magnitude });
      arena.floats(y).set(before);
      for (let from = 0; from < m; from += 3) run(arena.kernels, from, Math.min(m, from + 3));
      t.deepEqual(arena.floats(y), whole, `${product.name} ${sizes.join('x')} in ranges, seed ${SEED}`);
    }
  });
}

test('products read their operands and nothing beside them, and pass on what is no number', async (t) => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const kernels = await loadSimd(memory);
  const [m, k, n] = [5, 6, 7];
  const [a, b, y] = [64, 64 + 4 * (m * k + 5), 64 + 4 * (m * k + k * n + 10)];
  const floats = new Float32Array(memory.buffer).fill(Number.NaN);
  const operand = (at: number, count: number): Float32Array => floats.subarray(at / 4, at / 4 + count);
  operand(a, m * k).fill(1);
  operand(b, k * n).fill(1);
  for (const { name } of products) {
    operand(y, m * n).fill(0);
    kernels[name](a, b, y, m, k, n, 0, m);
    t.deepEqual([...operand(y, m * n)], Array(m * n).fill(k), name);
  }
  floats[a / 4] = Number.NaN;
  kernels.productNt(a, b, y, m, k, n, 0, m);
  t.deepEqual([...operand(y, n + 1)], [...Array(n).fill(Number.NaN), k]);
});
