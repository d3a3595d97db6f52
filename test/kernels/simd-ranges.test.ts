import test, { type ExecutionContext } from 'ava';
import { loadSimd, type SimdKernels } from '../../kernels/simd/simd.ts';
import { type Arena, type Buffer32, draw, openArena, seeded } from './simd-arena.ts';
import { complete, type Geometry, range, title } from './simd-geometry.ts';

const SEED = 20265;

type Run = (kernels: SimdKernels, firstChannel: number, lastChannel: number) => void;

/** Runs a kernel on all channels, then on every cut of them into ranges, and compares the bytes of `targets`. */
function sameInRanges(
  t: ExecutionContext,
  arena: Arena,
  about: string,
  channels: number,
  targets: Buffer32[],
  run: Run,
) {
  const read = () => targets.map((target) => arena.bytes(target).slice());
  const restore = (bytes: readonly Uint8Array[]) => {
    for (const [i, target] of targets.entries()) arena.bytes(target).set(bytes[i] ?? []);
  };
  const before = read();
  arena.writesOnly(t, targets, () => run(arena.kernels, 0, channels));
  const whole = read();
  const same = (one: readonly Uint8Array[], other: readonly Uint8Array[]) =>
    one.every((bytes, i) => Buffer.compare(bytes, other[i] ?? new Uint8Array()) === 0);
  t.false(same(whole, before), `${about}: nothing was written`);
  for (const grain of [8, 16, 40]) {
    restore(before);
    const starts = range(Math.ceil(channels / grain)).map((i) => i * grain);
    // The order of threads is not known.
    for (const from of starts.reverse()) run(arena.kernels, from, Math.min(channels, from + grain));
    t.true(same(read(), whole), `${about}, ranges of ${grain}, seed ${SEED}`);
  }
}

const geometries: readonly Geometry[] = [
  { batch: 2, height: 7, width: 7, kernel: [3, 3], pads: [1, 1, 1, 1] },
  { batch: 2, height: 6, width: 40, kernel: [3, 3], pads: [1, 1, 1, 1] },
  { batch: 1, height: 9, width: 14, kernel: [3, 3], stride: [2, 2], pads: [0, 0, 1, 1] },
  { batch: 1, height: 9, width: 38, kernel: [3, 3], stride: [2, 2], pads: [1, 1, 1, 1] },
  { batch: 1, height: 9, width: 10, kernel: [3, 3], dilation: [2, 2], pads: [2, 2, 2, 2] },
  { batch: 1, height: 9, width: 8, kernel: [5, 5], pads: [2, 2, 2, 2] },
];

for (const geometry of geometries) {
  test(`depthwise ${title(geometry)}: ranges of channels give the same bits`, async (t) => {
    for (const channels of [24, 100, 83]) {
      const { counts, numbers } = complete(geometry, channels);
      const arena = await openArena(24);
      const next = seeded(SEED);
      const [x, w, dy] = [draw(next, counts.x), draw(next, counts.w), draw(next, counts.y)].map(arena.put) as Buffers3;
      const [y, dx, dw] = [draw(next, counts.y), draw(next, counts.x), draw(next, counts.w)].map(arena.put) as Buffers3;
      const about = `C=${channels}`;
      sameInRanges(t, arena, `y ${about}`, channels, [y], (kernels, from, to) => {
        kernels.depthwiseForward(x.pointer, w.pointer, y.pointer, ...numbers, from, to);
      });
      sameInRanges(t, arena, `dx ${about}`, channels, [dx], (kernels, from, to) => {
        kernels.depthwiseInputGradient(dy.pointer, w.pointer, dx.pointer, ...numbers, from, to);
      });
      sameInRanges(t, arena, `dw ${about}`, channels, [dw], (kernels, from, to) => {
        kernels.depthwiseWeightGradient(x.pointer, dy.pointer, dw.pointer, ...numbers, from, to);
      });
    }
  });
}

type Buffers3 = [Buffer32, Buffer32, Buffer32];

// Rows of the last are so many that stripes fetch the next ones.
for (const [rows, channels, pages] of [
  [1, 24, 8],
  [700, 100, 40],
  [700, 83, 40],
  [26_300, 80, 420],
] as const) {
  test(`norms and sums of [${rows}, ${channels}]: ranges of channels give the same bits`, async (t) => {
    const arena = await openArena(pages);
    const next = seeded(SEED + rows);
    const vectors = range(6).map(() => arena.put(draw(next, channels)));
    const [factor = 0, offset = 0, mean = 0] = vectors.map(({ pointer }) => pointer);
    const [, , , sums, squares] = vectors as [Buffer32, Buffer32, Buffer32, Buffer32, Buffer32];
    const scratch = arena.put(draw(next, 2 * channels));
    const mask = arena.putBytes(new Uint8Array(rows * Math.ceil(channels / 8)));
    const [x, dy, y] = range(3).map(() => arena.put(draw(next, rows * channels))) as Buffers3;
    const check = (about: string, targets: Buffer32[], run: Run) =>
      sameInRanges(t, arena, about, channels, targets, run);

    check('affineForward', [y, mask], (kernels, from, to) => {
      kernels.affineForward(x.pointer, y.pointer, rows, channels, factor, offset, 0, 1, mask.pointer, 0, from, to);
    });
    check('clipForward', [y, mask], (kernels, from, to) => {
      kernels.clipForward(x.pointer, y.pointer, rows, channels, -0.5, 0.25, mask.pointer, 0, from, to);
    });
    for (const bits of [mask.pointer, 0]) {
      check(`affineBackward, mask at ${bits}`, [y, sums], (kernels, from, to) => {
        kernels.affineBackward(dy.pointer, y.pointer, rows, channels, factor, bits, sums.pointer, from, to);
      });
      check(`affineScaleGradient, mask at ${bits}`, [sums], (kernels, from, to) => {
        kernels.affineScaleGradient(dy.pointer, y.pointer, rows, channels, bits, mean, factor, sums.pointer, from, to);
      });
    }
    check('columnSum', [sums], (kernels, from, to) => {
      kernels.columnSum(y.pointer, rows, channels, sums.pointer, from, to);
    });
    check('columnMoments', [sums, squares, scratch], (kernels, from, to) => {
      const [sum, square] = [sums.pointer, squares.pointer];
      kernels.columnMoments(x.pointer, rows, channels, mean, sum, square, scratch.pointer, from, to);
    });
    check('batchNormSums', [sums, squares], (kernels, from, to) => {
      const [sum, square] = [sums.pointer, squares.pointer];
      kernels.batchNormSums(dy.pointer, x.pointer, rows, channels, mean, factor, sum, square, from, to);
    });
  });
}

test('sums over many rows read nothing behind tensors that end with the memory', async (t) => {
  const [rows, channels] = [32_771, 64];
  const memory = new WebAssembly.Memory({ initial: 130, maximum: 130 });
  const kernels = await loadSimd(memory);
  const dy = memory.buffer.byteLength - 4 * rows * channels;
  const [factor, sums, mean] = [64, 1024, 2048];
  t.true(mean + 4 * channels <= dy);
  t.notThrows(() => kernels.affineBackward(dy, dy, rows, channels, factor, 0, sums, 0, channels));
  t.notThrows(() => kernels.affineBackward(dy, dy, rows, channels, factor, 0, sums, 16, 48));
  t.notThrows(() => kernels.affineScaleGradient(dy, dy, rows, channels, 0, mean, factor, sums, 0, channels));
  t.notThrows(() => kernels.affineScaleGradient(dy, dy, rows, channels, 0, mean, factor, sums, 16, 48));
});
