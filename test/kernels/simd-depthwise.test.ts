import test from 'ava';
import { closeTo, draw, openArena, seeded } from './simd-arena.ts';

const SEED = 20262;

interface Geometry {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly kernel: readonly [number, number];
  readonly stride?: readonly [number, number];
  readonly dilation?: readonly [number, number];
  /** top, left, bottom, right */
  readonly pads?: readonly [number, number, number, number];
}

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

const range = (count: number) => Array.from({ length: count }, (_, i) => i);
const at = (values: ArrayLike<number>, index: number) => values[index] as number;

function complete(geometry: Geometry, channels: number) {
  const { batch, height, width, kernel, stride = [1, 1], dilation = [1, 1], pads = [0, 0, 0, 0] } = geometry;
  const size = (input: number, axis: 0 | 1) =>
    Math.floor(
      (input + pads[axis] + pads[axis === 0 ? 2 : 3] - (kernel[axis] - 1) * dilation[axis] - 1) / stride[axis],
    ) + 1;
  const outHeight = size(height, 0);
  const outWidth = size(width, 1);
  const [top, left] = pads;
  const counts = {
    x: batch * height * width * channels,
    w: kernel[0] * kernel[1] * channels,
    y: batch * outHeight * outWidth * channels,
  };
  /** Calls back with indices into x, w and y for every product of the convolution. */
  const products = (each: (x: number, w: number, y: number) => void) => {
    for (const row of range(batch * outHeight * outWidth)) {
      const ow = row % outWidth;
      const oh = Math.floor(row / outWidth) % outHeight;
      const n = Math.floor(row / outWidth / outHeight);
      for (const tap of range(kernel[0] * kernel[1])) {
        const ih = oh * stride[0] - top + Math.floor(tap / kernel[1]) * dilation[0];
        const iw = ow * stride[1] - left + (tap % kernel[1]) * dilation[1];
        if (ih < 0 || ih >= height || iw < 0 || iw >= width) continue;
        const pixel = (n * height + ih) * width + iw;
        for (const c of range(channels)) each(pixel * channels + c, tap * channels + c, row * channels + c);
      }
    }
  };
  const numbers = [batch, height, width, channels, ...kernel, ...stride, ...dilation, top, left, outHeight, outWidth];
  return { counts, products, outHeight, outWidth, numbers: numbers as GeometryNumbers };
}

type GeometryNumbers = [
  batch: number,
  height: number,
  width: number,
  channels: number,
  kernelHeight: number,
  kernelWidth: number,
  strideH: number,
  strideW: number,
  dilationH: number,
  dilationW: number,
  padTop: number,
  padLeft: number,
  outHeight: number,
  outWidth: number,
];

function title({ batch, height, width, kernel, stride = [1, 1], dilation = [1, 1], pads = [0, 0, 0, 0] }: Geometry) {
  return `x=[${batch},${height},${width}] k=${kernel} stride=${stride} dilation=${dilation} pads=${pads}`;
}

for (const geometry of geometries) {
  test(`depthwise ${title(geometry)}: forward and both gradients, any number of channels`, async (t) => {
    for (const channels of [1, 3, 5, 8, 13, 96, 164]) {
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
      arena.writesOnly(t, [ys], () => kernels.depthwiseForward(xs.pointer, ws.pointer, ys.pointer, ...numbers));
      closeTo(t, `y ${label}`, arena.floats(ys), y, { ...limits, magnitude: magnitudes.y });
      arena.writesOnly(t, [dxs], () =>
        kernels.depthwiseInputGradient(dys.pointer, ws.pointer, dxs.pointer, ...numbers),
      );
      closeTo(t, `dx ${label}`, arena.floats(dxs), dx, { ...limits, magnitude: magnitudes.dx });
      arena.writesOnly(t, [dws], () =>
        kernels.depthwiseWeightGradient(xs.pointer, dys.pointer, dws.pointer, ...numbers),
      );
      closeTo(t, `dw ${label}`, arena.floats(dws), dw, { ...limits, magnitude: magnitudes.dw });
    }
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

test('depthwise propagates NaN to the outputs that see it and to no other', async (t) => {
  const { counts, products, numbers } = complete(geometries[0] as Geometry, 8);
  const x = draw(seeded(SEED), counts.x);
  x[3 * 8 + 2] = Number.NaN;
  const seen = new Set<number>();
  products((i, _, k) => Number.isNaN(x[i]) && seen.add(k));
  const arena = await openArena();
  const [xs, ws, ys] = [arena.put(x), arena.put(new Float32Array(counts.w)), arena.put(new Float32Array(counts.y))];
  arena.kernels.depthwiseForward(xs.pointer, ws.pointer, ys.pointer, ...numbers);
  t.deepEqual(
    [...arena.floats(ys)].map(Number.isNaN),
    range(counts.y).map((k) => seen.has(k)),
    `seed ${SEED}`,
  );
});
