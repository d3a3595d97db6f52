import test from 'ava';
import { type Arena, closeTo, draw, openArena, seeded } from './simd-arena.ts';

const SEED = 20261;
const CHANNELS = [1, 3, 5, 8, 13, 24, 96] as const;
const absent = 0;
const exact = { rtol: 0, atol: 0 };

const maskBytes = (channels: number) => Math.ceil(channels / 8);

/** The packed form of bits[row * channels + c]. */
function pack(bits: ArrayLike<boolean>, rows: number, channels: number): Uint8Array {
  const packed = new Uint8Array(rows * maskBytes(channels));
  for (let i = 0; i < rows * channels; i++) {
    const row = Math.floor(i / channels);
    const c = i % channels;
    const at = row * maskBytes(channels) + (c >> 3);
    if (bits[i]) packed[at] = (packed[at] as number) | (1 << (c & 7));
  }
  return packed;
}

const at = (values: ArrayLike<number>, index: number) => values[index] as number;

const clip = (a: number, low: number, high: number) => (Number.isNaN(a) ? a : Math.min(Math.max(a, low), high));

/** Values around the corners 0 and 6 of ReLU6: exact hits, NaN, infinities, negative zero. */
function activations(count: number, channels: number, seed: number): Float64Array {
  const values = draw(seeded(seed), count).map((value) => Math.fround(value * 9));
  const special = [Number.NaN, 0, -0, 6, Infinity, -Infinity, 1e-45, 6.0000005];
  special.forEach((value, i) => {
    values[(i * (channels + 1) * 3) % count] = Math.fround(value);
  });
  return values;
}

for (const channels of CHANNELS) {
  for (const [low, high] of [
    [0, 6],
    [0, Infinity],
    [-Infinity, Infinity],
    [-1.5, -0.25],
  ] as const) {
    test(`clipForward C=${channels} [${low}, ${high}]: values, both masks, nothing else written`, async (t) => {
      const rows = 7;
      const arena = await openArena();
      const x = activations(rows * channels, channels, SEED);
      const source = arena.put(x);
      const y = arena.put(x.map(() => 99));
      const mask = arena.putBytes(new Uint8Array(rows * maskBytes(channels)).fill(0xff));
      const expected = x.map((a) => clip(a, low, high));
      for (const sign of [0, 1]) {
        arena.writesOnly(t, [y, mask], () => {
          arena.kernels.clipForward(
            source.pointer,
            y.pointer,
            rows,
            channels,
            low,
            high,
            mask.pointer,
            sign,
            0,
            channels,
          );
        });
        closeTo(t, `y, seed ${SEED}`, arena.floats(y), expected, exact);
        const bits = Array.from(x, (a) => (sign ? a >= 0 : a > low && a < high));
        t.deepEqual([...arena.bytes(mask)], [...pack(bits, rows, channels)], `seed ${SEED} signMask ${sign}`);
      }
      arena.writesOnly(t, [source], () => {
        arena.kernels.clipForward(source.pointer, source.pointer, rows, channels, low, high, absent, 0, 0, channels);
      });
      closeTo(t, `in place, seed ${SEED}`, arena.floats(source), expected, exact);
    });
  }

  for (const withFactor of [false, true]) {
    test(`affineForward C=${channels} factor=${withFactor}: values, mask, in place`, async (t) => {
      const rows = 9;
      const arena = await openArena();
      const next = seeded(SEED);
      const z = draw(next, rows * channels).map((value) => Math.fround(value * 8));
      z[rows - 1] = Number.NaN;
      const factor = draw(next, channels);
      const offset = draw(next, channels);
      const a = z.map((value, i) => value * (withFactor ? at(factor, i % channels) : 1) + at(offset, i % channels));
      const source = arena.put(z);
      const y = arena.put(z.map(() => 99));
      const factors = withFactor ? arena.put(factor).pointer : absent;
      const offsets = arena.put(offset).pointer;
      const mask = arena.putBytes(new Uint8Array(rows * maskBytes(channels)).fill(0xff));
      const run = (from: number, to: number, bits: number) =>
        arena.kernels.affineForward(from, to, rows, channels, factors, offsets, 0, 6, bits, 0, 0, channels);
      arena.writesOnly(t, [y, mask], () => run(source.pointer, y.pointer, mask.pointer));
      const expected = a.map((value) => clip(value, 0, 6));
      closeTo(t, `y, seed ${SEED}`, arena.floats(y), expected);
      // No value lies so near a corner that float32 and float64 could disagree about its side.
      t.true(a.every((value) => !(Math.abs(value) < 1e-5 || Math.abs(value - 6) < 1e-5)));
      const bits = Array.from(a, (value) => value > 0 && value < 6);
      t.deepEqual([...arena.bytes(mask)], [...pack(bits, rows, channels)], `mask, seed ${SEED}`);
      arena.writesOnly(t, [source], () => run(source.pointer, source.pointer, absent));
      closeTo(t, `in place, seed ${SEED}`, arena.floats(source), expected);
    });
  }
}

interface Masked {
  readonly arena: Arena;
  readonly dy: Float64Array;
  readonly g: Float64Array;
  readonly mask: number;
}

/** dy with NaN where its bit is 0: a masked NaN must not come through. */
async function masked(rows: number, channels: number, withMask: boolean): Promise<Masked> {
  const arena = await openArena(64);
  const next = seeded(SEED);
  const bits = Array.from({ length: rows * channels }, () => next() > 0);
  const dy = draw(next, rows * channels);
  for (let i = 0; i < dy.length; i += 5) {
    if (withMask && !bits[i]) dy[i] = Number.NaN;
  }
  const g = dy.map((value, i) => (!withMask || bits[i] ? value : 0));
  const mask = withMask ? arena.putBytes(pack(bits, rows, channels)).pointer : absent;
  return { arena, dy, g, mask };
}

/** Column sums on top of `start`, with the sums of absolute terms. */
function columnSums(terms: Float64Array, channels: number, start: Float64Array) {
  const sums = start.slice();
  const magnitude = start.map(Math.abs);
  terms.forEach((term, i) => {
    sums[i % channels] = at(sums, i % channels) + term;
    magnitude[i % channels] = at(magnitude, i % channels) + Math.abs(term);
  });
  return { sums, magnitude };
}

for (const channels of CHANNELS) {
  for (const [rows, withMask] of [
    [1, true],
    [150, true],
    [150, false],
    [2800, true],
  ] as const) {
    test(`affineBackward rows=${rows} C=${channels} mask=${withMask}: every combination of outputs`, async (t) => {
      const { arena, dy, g, mask } = await masked(rows, channels, withMask);
      const factor = draw(seeded(SEED + 1), channels);
      const start = draw(seeded(SEED + 2), channels);
      const source = arena.put(dy);
      const dz = arena.put(dy.map(() => 99));
      const shift = arena.put(start);
      const factors = arena.put(factor).pointer;
      const { sums, magnitude } = columnSums(g, channels, start);
      const scaled = g.map((value, i) => value * at(factor, i % channels));
      const run = (to: number, scale: number, sum: number) =>
        arena.kernels.affineBackward(source.pointer, to, rows, channels, scale, mask, sum, 0, channels);

      arena.writesOnly(t, [dz, shift], () => run(dz.pointer, factors, shift.pointer));
      closeTo(t, `dz, seed ${SEED}`, arena.floats(dz), scaled);
      closeTo(t, `dshift, seed ${SEED}`, arena.floats(shift), sums, { magnitude });

      arena.floats(shift).set(start);
      arena.writesOnly(t, [shift], () => run(absent, absent, shift.pointer));
      closeTo(t, `dshift alone, seed ${SEED}`, arena.floats(shift), sums, { magnitude });

      arena.writesOnly(t, [dz], () => run(dz.pointer, absent, absent));
      closeTo(t, `dz without factor, seed ${SEED}`, arena.floats(dz), g, exact);

      arena.writesOnly(t, [source], () => run(source.pointer, factors, absent));
      closeTo(t, `dz in place, seed ${SEED}`, arena.floats(source), scaled);
    });
  }

  for (const withMask of [true, false]) {
    test(`affineScaleGradient and columnSum C=${channels} mask=${withMask}`, async (t) => {
      const rows = 333;
      const { arena, dy, g, mask } = await masked(rows, channels, withMask);
      const next = seeded(SEED + 3);
      const z = draw(next, rows * channels).map((value) => Math.fround(value * 3 + 1));
      const mean = draw(next, channels);
      const inverse = draw(next, channels).map((value) => value + 2);
      const start = draw(next, channels);
      const terms = g.map((value, i) => value * (at(z, i) - at(mean, i % channels)) * at(inverse, i % channels));
      const source = arena.put(dy);
      const zs = arena.put(z);
      const means = arena.put(mean);
      const inverses = arena.put(inverse);
      const scale = arena.put(start);
      arena.writesOnly(t, [scale], () => {
        arena.kernels.affineScaleGradient(
          source.pointer,
          zs.pointer,
          rows,
          channels,
          mask,
          means.pointer,
          inverses.pointer,
          scale.pointer,
          0,
          channels,
        );
      });
      const { sums, magnitude } = columnSums(terms, channels, start);
      closeTo(t, `dscale, seed ${SEED}`, arena.floats(scale), sums, { magnitude });

      const bias = arena.put(start);
      arena.writesOnly(t, [bias], () => arena.kernels.columnSum(zs.pointer, rows, channels, bias.pointer, 0, channels));
      const plain = columnSums(z, channels, start);
      closeTo(t, `db, seed ${SEED}`, arena.floats(bias), plain.sums, { magnitude: plain.magnitude });
    });
  }
}

test('columnSum over 100 000 equal rows keeps seven digits', async (t) => {
  const rows = 100_000;
  const channels = 9;
  const arena = await openArena(60);
  const value = Math.fround(0.1);
  const dy = arena.put(new Float32Array(rows * channels).fill(value));
  const db = arena.put(new Float32Array(channels));
  arena.writesOnly(t, [db], () => arena.kernels.columnSum(dy.pointer, rows, channels, db.pointer, 0, channels));
  closeTo(t, 'db', arena.floats(db), new Float64Array(channels).fill(rows * value), { rtol: 1e-6, atol: 0 });
});
