import test, { type ExecutionContext } from 'ava';
import { loadSimd, type SimdKernels } from '../../kernels/simd/simd.ts';
import { cut, type KernelName, shares } from '../../runtime/engine/cpu/simd-shares.ts';
import { SimdThreads } from '../../runtime/engine/cpu/simd-threads.ts';
import { PAGE_BYTES } from '../../runtime/plan/plan.ts';
import { seeded } from '../kernels/simd-arena.ts';

const SEED = 20261121;
const [BATCH, SIZE, CHANNELS] = [2, 60, 152];
const COUNT = BATCH * SIZE * SIZE * CHANNELS;
const ROWS = COUNT / CHANNELS;

/** Operands side by side: three maps, a mask, and some rows of channels that are read or summed into. */
const MAP = 4 * COUNT;
const [X, Y, Z, MASK] = [64, 64 + MAP, 64 + 2 * MAP, 64 + 3 * MAP];
const ROW = 4 * 9 * CHANNELS;
const at = (row: number): number => MASK + COUNT / 8 + row * ROW;
const PAGES = Math.ceil(at(8) / PAGE_BYTES);

/** Of the right side of a product, which fits the rows of channels. */
const COLUMNS = 64;

const window = [BATCH, SIZE, SIZE, CHANNELS, 3, 3, 1, 1, 1, 1, 1, 1, SIZE, SIZE, 0, CHANNELS] as const;

/** A call of every kernel that is cut, large enough to be. */
const calls: Readonly<Record<KernelName, (simd: SimdKernels) => void>> = {
  affineForward: (simd) => simd.affineForward(X, Y, ROWS, CHANNELS, at(0), at(1), 0, 1, MASK, 0, 0, CHANNELS),
  clipForward: (simd) => simd.clipForward(X, Y, ROWS, CHANNELS, 0.25, 0.75, MASK, 0, 0, CHANNELS),
  affineBackward: (simd) => simd.affineBackward(X, Y, ROWS, CHANNELS, at(0), MASK, at(1), 0, CHANNELS),
  affineScaleGradient: (simd) => simd.affineScaleGradient(X, Y, ROWS, CHANNELS, MASK, at(0), at(1), at(2), 0, CHANNELS),
  depthwiseForward: (simd) => simd.depthwiseForward(X, at(0), Y, ...window),
  depthwiseInputGradient: (simd) => simd.depthwiseInputGradient(X, at(0), Y, ...window),
  depthwiseWeightGradient: (simd) => simd.depthwiseWeightGradient(X, Y, at(0), ...window),
  productNn: (simd) => simd.productNn(X, at(0), Y, ROWS, CHANNELS, COLUMNS, 0, ROWS),
  productNt: (simd) => simd.productNt(X, at(0), Y, ROWS, CHANNELS, COLUMNS, 0, ROWS),
  productTnAdd: (simd) => simd.productTnAdd(X, Y, at(0), CHANNELS, ROWS, COLUMNS, 0, CHANNELS),
  add: (simd) => simd.add(X, Y, Z, COUNT),
  multiply: (simd) => simd.multiply(X, Y, Z, COUNT),
  sgd: (simd) => simd.sgd(X, Y, Z, COUNT, 0.1, 0.9, 0.01, 0),
  adam: (simd) => simd.adam(X, Y, Z, X, COUNT, 0.1, 0.9, 0.999, 1e-8, 0.01, 0.1, 0.03, 1),
};

const memories = () => new WebAssembly.Memory({ initial: PAGES, maximum: PAGES, shared: true });

function fill(memory: WebAssembly.Memory): void {
  const random = seeded(SEED);
  const floats = new Float32Array(memory.buffer);
  for (let i = 0; i < floats.length; i++) floats[i] = random();
}

async function sameBytes(t: ExecutionContext, helpers: number): Promise<void> {
  const [alone, together] = [memories(), memories()];
  const one = await loadSimd(alone);
  const threads = await SimdThreads.start(await loadSimd(together), together, helpers, true);
  for (const [name, call] of Object.entries(calls)) {
    for (const memory of [alone, together]) fill(memory);
    // Twice, since a helper that missed a call would only be late for the next one.
    for (let i = 0; i < 2; i++) {
      call(one);
      call(threads.kernels);
    }
    const [expected, found] = [alone, together].map(({ buffer }) => Buffer.from(new Uint8Array(buffer)));
    t.is(Buffer.compare(found as Buffer, expected as Buffer), 0, `${name}, ${helpers + 1} threads, seed ${SEED}`);
  }
  await threads.release();
}

test('kernels on two threads give the bytes of one', sameBytes, 1);

test('kernels on four threads give the bytes of one', sameBytes, 3);

test('shares of a call are whole cache lines and cover it once', (t) => {
  for (const channels of [8, 16, 24, 100, 576]) {
    for (const parts of [1, 2, 3, 4, 7]) {
      const args = [64, 128, 1000, channels, 0, 0, 0, channels];
      const ranges = Array.from({ length: parts }, (_, part) =>
        cut(shares.affineBackward, args, part, parts)?.slice(-2),
      );
      const borders = ranges.flatMap((range) => range ?? []);
      t.deepEqual(
        borders.filter((border) => border % 16 !== 0 && border !== channels),
        [],
      );
      t.is(borders[0], 0);
      t.is(borders.at(-1), channels);
      const gaps = ranges.filter((range) => range !== undefined).slice(1);
      for (const [i, range] of gaps.entries()) t.is(range[0], borders[2 * i + 1], `${channels} in ${parts}`);
    }
  }
});

test('shares by elements move the pointers that are there', (t) => {
  t.deepEqual(cut(shares.sgd, [64, 128, 0, 100, 0.1], 1, 2), [64 + 4 * 64, 128 + 4 * 64, 0, 36, 0.1]);
  t.deepEqual(cut(shares.sgd, [64, 128, 0, 100, 0.1], 0, 2), [64, 128, 0, 64, 0.1]);
  t.is(cut(shares.sgd, [64, 128, 0, 10, 0.1], 1, 2), null);
});

test('shares by rows move maps and masks', (t) => {
  const args = [64, 128, 10, 20, 7, 8, 0, 1, 256, 0, 0, 20];
  t.deepEqual(cut(shares.affineForward, args, 1, 2), [64 + 400, 128 + 400, 5, 20, 7, 8, 0, 1, 256 + 15, 0, 0, 20]);
});
