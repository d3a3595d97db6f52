import test, { type ExecutionContext } from 'ava';
import { loadSimd } from '../../kernels/simd/simd.ts';
import { closeTo, draw, openArena, seeded } from './simd-arena.ts';
import { at, complete, type Geometry, range, title } from './simd-geometry.ts';

const SEED = 20262;

const geometries: readonly Geometry[] = [
  { batch: 2, height: 7, width: 7, kernel: [3, 3], pads: [1, 1, 1, 1] },
  { batch: 1, height: 5, width: 4, kernel: [3, 3], pads: [1, 1, 1, 1] },
  { batch: 1, height: 3, width: 2, kernel: [3, 3], pads: [1, 1, 1, 1] },
  { batch: 1, height: 1, width: 1, kernel: [3, 3], pads: [1, 1, 1, 1] },
  { batch: 1, height: 6, width: 9, kernel: [3, 3] },
  { batch: 1, height: 6, width: 9, kernel: [3, 3], pads: [2, 2, 2, 2] },
  { batch: 1, height: 6, width: 9, kernel: [3, 3], pads: [3, 4, 0, 3] },
  { batch: 2, height: 14, width: 14, kernel: [3, 3], stride: [2, 2], pads: [0, 0, 1, 1] },
  { batch: 1, height: 14, width: 13, kernel: [3, 3], stride: [2, 2], pads: [1, 1, 1, 1] },
  { batch: 1, height: 15, width: 11, kernel: [3, 3], stride: [2, 2], pads: [1, 1, 0, 0] },
  { batch: 1, height: 9, width: 16, kernel: [3, 3], stride: [1, 2], pads: [1, 0, 1, 1] },
  { batch: 1, height: 9, width: 16, kernel: [3, 3], stride: [2, 1], pads: [1, 1, 1, 1] },
  { batch: 1, height: 9, width: 10, kernel: [3, 3], dilation: [2, 2], pads: [2, 2, 2, 2] },
  { batch: 1, height: 9, width: 10, kernel: [3, 3], stride: [2, 2], dilation: [2, 2], pads: [2, 1, 2, 2] },
  { batch: 1, height: 11, width: 12, kernel: [3, 3], stride: [3, 3], dilation: [2, 1], pads: [1, 2, 0, 1] },
  { batch: 1, height: 9, width: 8, kernel: [5, 5], pads: [2, 2, 2, 2] },
  { batch: 1, height: 11, width: 12, kernel: [5, 5], stride: [2, 2], pads: [1, 2, 2, 1] },
  { batch: 1, height: 7, width: 7, kernel: [7, 7], pads: [3, 3, 3, 3] },
  { batch: 1, height: 70, width: 6, kernel: [1, 3], pads: [0, 1, 0, 1] },
  { batch: 1, height: 6, width: 70, kernel: [3, 1], pads: [1, 0, 1, 0] },
  { batch: 1, height: 5, width: 9, kernel: [2, 4], stride: [2, 3], pads: [0, 1, 1, 0] },
];

/** Forward and both gradients against loops in float64. */
async function compare(t: ExecutionContext, geometry: Geometry, channels: number): Promise<void> {
  const { counts, products, numbers } = complete(geometry, channels);
  const next = seeded(SEED + channels);
  const x = draw(next, counts.x);
  const w = draw(next, counts.w);
  const dy = draw(next, counts.y);
  const y = new Float64Array(counts.y);
  const dx = new Float64Array(counts.x);
  const dw = draw(next, counts.w);
  const magnitudes = { y: y.slice(), dx: dx.slice(), dw: dw.map(Math.abs) };
  const arena = await openArena(24);
  const [xs, ws, dys, dws] = [arena.put(x), arena.put(w), arena.put(dy), arena.put(dw)];
  // What is overwritten holds NaN before, so that a left-out element shows.
  const ys = arena.put(y.map(() => Number.NaN));
  const dxs = arena.put(dx.map(() => Number.NaN));
  products((i, j, k) => {
    y[k] = at(y, k) + at(x, i) * at(w, j);
    dx[i] = at(dx, i) + at(dy, k) * at(w, j);
    dw[j] = at(dw, j) + at(dy, k) * at(x, i);
    magnitudes.y[k] = at(magnitudes.y, k) + Math.abs(at(x, i) * at(w, j));
    magnitudes.dx[i] = at(magnitudes.dx, i) + Math.abs(at(dy, k) * at(w, j));
    magnitudes.dw[j] = at(magnitudes.dw, j) + Math.abs(at(dy, k) * at(x, i));
  });
  const { kernels } = arena;
  const label = `C=${channels} seed ${SEED + channels}`;
  const limits = { rtol: 1e-6, atol: 1e-7 };
  arena.writesOnly(t, [ys], () =>
    kernels.depthwiseForward(xs.pointer, ws.pointer, ys.pointer, ...numbers, 0, channels),
  );
  closeTo(t, `y ${label}`, arena.floats(ys), y, { ...limits, magnitude: magnitudes.y });
  arena.writesOnly(t, [dxs], () =>
    kernels.depthwiseInputGradient(dys.pointer, ws.pointer, dxs.pointer, ...numbers, 0, channels),
  );
  closeTo(t, `dx ${label}`, arena.floats(dxs), dx, { ...limits, magnitude: magnitudes.dx });
  arena.writesOnly(t, [dws], () =>
    kernels.depthwiseWeightGradient(xs.pointer, dys.pointer, dws.pointer, ...numbers, 0, channels),
  );
  closeTo(t, `dw ${label}`, arena.floats(dws), dw, { ...limits, magnitude: magnitudes.dw });
}

for (const geometry of geometries) {
  test(`depthwise ${title(geometry)}: forward and both gradients, any number of channels`, async (t) => {
    for (const channels of [1, 3, 5, 8, 13, 96, 164]) await compare(t, geometry, channels);
  });

  test(`patches ${title(geometry)}: im2col and col2im in pieces`, async (t) => {
    for (const channels of [1, 3, 5, 32]) {
      const { counts, numbers, outHeight, outWidth } = complete(geometry, channels);
      const [batch, height, width, , kernelHeight, kernelWidth, strideH, strideW, dilationH, dilationW, top, left] =
        numbers;
      const next = seeded(SEED - channels);
      const rows = batch * outHeight * outWidth;
      const length = kernelHeight * kernelWidth * channels;
      const x = draw(next, counts.x);
      const cotangent = draw(next, rows * length);
      const dx = draw(next, counts.x);
      const columns = new Float64Array(rows * length);
      const arena = await openArena(48);
      const [xs, cotangents, dxs] = [arena.put(x), arena.put(cotangent), arena.put(dx)];
      const out = arena.put(columns.map(() => Number.NaN));
      for (const i of range(rows * length)) {
        const row = Math.floor(i / length);
        const tap = Math.floor((i % length) / channels);
        const ih = (Math.floor(row / outWidth) % outHeight) * strideH - top + Math.floor(tap / kernelWidth) * dilationH;
        const iw = (row % outWidth) * strideW - left + (tap % kernelWidth) * dilationW;
        if (ih < 0 || ih >= height || iw < 0 || iw >= width) continue;
        const pixel = (Math.floor(row / outWidth / outHeight) * height + ih) * width + iw;
        const index = pixel * channels + (i % channels);
        columns[i] = at(x, index);
        dx[index] = at(dx, index) + at(cotangent, i);
      }
      const cut = Math.ceil(rows * 0.4);
      const pieces = [
        [0, cut],
        [cut, rows - cut],
      ] as const;
      for (const [first, count] of pieces) {
        const shift = first * length * 4;
        const piece = { pointer: out.pointer + shift, bytes: count * length * 4 };
        arena.writesOnly(t, [piece], () => arena.kernels.im2col(xs.pointer, piece.pointer, ...numbers, first, count));
        arena.writesOnly(t, [dxs], () => {
          arena.kernels.col2im(cotangents.pointer + shift, dxs.pointer, ...numbers, first, count);
        });
      }
      const label = `C=${channels} seed ${SEED - channels}`;
      closeTo(t, `columns ${label}`, arena.floats(out), columns, { rtol: 0, atol: 0 });
      closeTo(t, `dx ${label}`, arena.floats(dxs), dx, { atol: 1e-5 });
    }
  });
}

for (const width of [1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 40, 130]) {
  for (const stride of [1, 2] as const) {
    test(`depthwise 3x3, ${width} wide, stride ${stride}: every padding of either side`, async (t) => {
      for (const [left, right] of range(9).map((i) => [i % 3, Math.floor(i / 3)] as const)) {
        if (left + width + right < 3) continue;
        const pads = [1, left, 1, right] as const;
        const geometry: Geometry = { batch: 2, height: 5, width, kernel: [3, 3], stride: [stride, stride], pads };
        await compare(t, geometry, 12);
      }
    });
  }
}

test('depthwise reads nothing behind tensors that end with the memory', async (t) => {
  for (const [height, width] of [
    [7, 40],
    [3, 70],
    [6, 8],
  ] as const) {
    for (const stride of [1, 2] as const) {
      const pads = [1, 1, 1, 1] as const;
      const geometry: Geometry = { batch: 2, height, width, kernel: [3, 3], stride: [stride, stride], pads };
      const { counts, numbers } = complete(geometry, 16);
      const memory = new WebAssembly.Memory({ initial: 8, maximum: 8 });
      const kernels = await loadSimd(memory);
      const [x, y] = [memory.buffer.byteLength - 4 * counts.x, memory.buffer.byteLength - 4 * counts.y];
      const [first, w] = [64, 64 + 4 * Math.max(counts.x, counts.y)];
      t.true(w + 4 * counts.w <= Math.min(x, y), title(geometry));
      t.notThrows(() => kernels.depthwiseForward(x, w, first, ...numbers, 0, 16));
      t.notThrows(() => kernels.depthwiseForward(first, w, y, ...numbers, 0, 16));
      t.notThrows(() => kernels.depthwiseInputGradient(y, w, first, ...numbers, 0, 16));
      t.notThrows(() => kernels.depthwiseInputGradient(first, w, x, ...numbers, 0, 16));
      t.notThrows(() => kernels.depthwiseWeightGradient(x, first, w, ...numbers, 0, 16));
      t.notThrows(() => kernels.depthwiseWeightGradient(first, y, w, ...numbers, 0, 16));
    }
  }
});

test('depthwise propagates NaN to the outputs that see it and to no other', async (t) => {
  const { counts, products, numbers } = complete(geometries[0] as Geometry, 8);
  const x = draw(seeded(SEED), counts.x);
  x[3 * 8 + 2] = Number.NaN;
  const seen = new Set<number>();
  products((i, _, k) => Number.isNaN(x[i]) && seen.add(k));
  const arena = await openArena();
  const [xs, ws, ys] = [arena.put(x), arena.put(new Float32Array(counts.w)), arena.put(new Float32Array(counts.y))];
  arena.kernels.depthwiseForward(xs.pointer, ws.pointer, ys.pointer, ...numbers, 0, 8);
  t.deepEqual(
    [...arena.floats(ys)].map(Number.isNaN),
    range(counts.y).map((k) => seen.has(k)),
    `seed ${SEED}`,
  );
});
