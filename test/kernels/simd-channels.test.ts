import test from 'ava';
import { closeTo, draw, openArena, seeded } from './simd-arena.ts';

const SEED = 9173;
const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const at = (values: ArrayLike<number>, index: number): number => values[index] as number;
const unwritten = (length: number): Float64Array => new Float64Array(length).fill(Number.NaN);
const exact = { rtol: 0, atol: 0 };

test('columns of any width are copied, and nothing beside them', async (t) => {
  for (const [rows, from, to, width] of [
    [7, 3, 5, 2],
    [5, 37, 21, 21],
    [1, 4, 4, 4],
  ] as const) {
    const arena = await openArena();
    const x = draw(seeded(SEED), rows * from);
    const y = draw(seeded(SEED + 1), rows * to);
    const [xs, ys] = [arena.put(x), arena.put(y)];
    arena.writesOnly(t, [ys], () =>
      arena.kernels.copyColumns(xs.pointer, 4 * from, ys.pointer, 4 * to, rows, 4 * width),
    );
    const expected = y.map((value, i) => (i % to < width ? at(x, Math.floor(i / to) * from + (i % to)) : value));
    closeTo(t, `${rows} rows of ${width}, seed ${SEED}`, arena.floats(ys), expected, exact);
  }
});

test('channels are shuffled and shuffled back', async (t) => {
  for (const [channels, groups] of [
    [6, 2],
    [58, 2],
    [64, 2],
    [4, 2],
    [15, 3],
    [48, 3],
    [64, 8],
    [7, 1],
    [7, 7],
  ] as const) {
    const rows = 5;
    const size = channels / groups;
    const arena = await openArena();
    const x = draw(seeded(SEED), rows * channels);
    const [xs, ys, back] = [arena.put(x), arena.put(unwritten(x.length)), arena.put(unwritten(x.length))];
    const about = `${channels} channels, ${groups} groups, seed ${SEED}`;
    const { kernels } = arena;
    arena.writesOnly(t, [ys], () => kernels.shuffleChannels(xs.pointer, ys.pointer, rows, channels, groups));
    const expected = x.map((_, i) => {
      const c = i % channels;
      return at(x, i - c + (c % groups) * size + Math.floor(c / groups));
    });
    closeTo(t, about, arena.floats(ys), expected, exact);
    arena.writesOnly(t, [back], () => kernels.shuffleChannels(ys.pointer, back.pointer, rows, channels, size));
    closeTo(t, `${about}, back`, arena.floats(back), x, exact);
  }
});

test('products and gates, in place or not, and the gradient of a gate', async (t) => {
  for (const channels of [1, 6, 16, 23, 85]) {
    const [batch, pixels] = [2, 150];
    const next = seeded(SEED + channels);
    const [a, b, dy] = range(3).map(() => draw(next, batch * pixels * channels)) as [
      Float64Array,
      Float64Array,
      Float64Array,
    ];
    const gate = draw(next, batch * channels);
    const about = `C=${channels} seed ${SEED + channels}`;
    const arena = await openArena();
    const { kernels } = arena;
    const [as, bs, dys, gates] = [arena.put(a), arena.put(b), arena.put(dy), arena.put(gate)];
    const [ys, dgates] = [arena.put(unwritten(a.length)), arena.put(unwritten(gate.length))];
    const gateOf = (i: number): number => Math.floor(i / (pixels * channels)) * channels + (i % channels);
    arena.writesOnly(t, [ys], () => kernels.multiply(as.pointer, bs.pointer, ys.pointer, a.length));
    const product = a.map((value, i) => value * at(b, i));
    closeTo(t, `a b ${about}`, arena.floats(ys), product, { rtol: 1e-7, atol: 1e-9 });
    arena.writesOnly(t, [dgates], () =>
      kernels.gateGradient(dys.pointer, as.pointer, dgates.pointer, batch, pixels, channels),
    );
    const dgate = new Float64Array(gate.length);
    const magnitude = new Float64Array(gate.length);
    for (const i of range(a.length)) {
      dgate[gateOf(i)] = at(dgate, gateOf(i)) + at(dy, i) * at(a, i);
      magnitude[gateOf(i)] = at(magnitude, gateOf(i)) + Math.abs(at(dy, i) * at(a, i));
    }
    closeTo(t, `d gate ${about}`, arena.floats(dgates), dgate, { rtol: 1e-6, atol: 1e-6, magnitude });
    arena.writesOnly(t, [as], () =>
      kernels.multiplyGate(as.pointer, gates.pointer, as.pointer, batch, pixels, channels),
    );
    const gated = a.map((value, i) => value * at(gate, gateOf(i)));
    closeTo(t, `a gate ${about}`, arena.floats(as), gated, { rtol: 1e-7, atol: 1e-9 });
  }
});

test('layer norm in place keeps its digits beside a large mean and over many rows', async (t) => {
  for (const channels of [1, 5, 32, 100]) {
    const rows = 3000;
    const epsilon = 1e-5;
    const next = seeded(SEED + channels);
    const x = draw(next, rows * channels).map((value) => Math.fround(value + 100));
    const dy = draw(next, rows * channels);
    const [scale, shift] = [draw(next, channels), draw(next, channels)];
    const y = new Float64Array(x.length);
    const dx = new Float64Array(x.length);
    const [dscale, dshift] = [new Float64Array(channels).fill(0.5), new Float64Array(channels).fill(0.5)];
    for (const row of range(rows)) {
      const values = x.subarray(row * channels, (row + 1) * channels);
      const mean = values.reduce((sum, value) => sum + value, 0) / channels;
      const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / channels;
      const inverse = 1 / Math.sqrt(variance + epsilon);
      const h = values.map((value) => (value - mean) * inverse);
      const g = h.map((_, c) => at(dy, row * channels + c) * at(scale, c));
      const meanG = g.reduce((sum, value) => sum + value, 0) / channels;
      const meanGH = g.reduce((sum, value, c) => sum + value * at(h, c), 0) / channels;
      for (const c of range(channels)) {
        const i = row * channels + c;
        y[i] = at(scale, c) * at(h, c) + at(shift, c);
        dx[i] = inverse * (at(g, c) - meanG - at(h, c) * meanGH);
        dscale[c] = at(dscale, c) + at(dy, i) * at(h, c);
        dshift[c] = at(dshift, c) + at(dy, i);
      }
    }
    const arena = await openArena(100);
    const { kernels } = arena;
    const [xs, ys, dys, scales, shifts] = [x, x, dy, scale, shift].map((values) => arena.put(values)) as [
      ReturnType<typeof arena.put>,
      ReturnType<typeof arena.put>,
      ReturnType<typeof arena.put>,
      ReturnType<typeof arena.put>,
      ReturnType<typeof arena.put>,
    ];
    const [dscales, dshifts] = [arena.put(shift.map(() => 0.5)), arena.put(shift.map(() => 0.5))];
    const work = arena.put(unwritten(6 * channels));
    const about = `C=${channels} seed ${SEED + channels}`;
    // The mean of numbers around 100 is known to about 1e-5, which the small deviations make 1e-4 of y at most.
    const near = { rtol: 1e-4, atol: 2e-4 };
    arena.writesOnly(t, [ys], () =>
      kernels.layerNormForward(ys.pointer, ys.pointer, rows, channels, scales.pointer, shifts.pointer, epsilon),
    );
    closeTo(t, `y ${about}`, arena.floats(ys), y, near);
    arena.writesOnly(t, [dys, dscales, dshifts, work], () =>
      kernels.layerNormBackward(
        ...([dys.pointer, xs.pointer, dys.pointer, rows, channels, scales.pointer] as const),
        ...([dscales.pointer, dshifts.pointer, epsilon, work.pointer] as const),
      ),
    );
    closeTo(t, `dx ${about}`, arena.floats(dys), dx, { rtol: 1e-3, atol: 1e-3 });
    closeTo(t, `dscale ${about}`, arena.floats(dscales), dscale, { rtol: 1e-4, atol: 1e-2 });
    closeTo(t, `dshift ${about}`, arena.floats(dshifts), dshift, { rtol: 1e-6, atol: 1e-5 });
  }
});
