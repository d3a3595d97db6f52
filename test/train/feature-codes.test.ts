import test from 'ava';
import { CODE_GROUP, codedBytes } from '../../runtime/autodiff/training-graph.ts';
import { decodeFeatures, encodeFeatures } from '../../runtime/train/feature-codes.ts';
import { draw, openArena, seeded } from '../kernels/simd-arena.ts';

const SEED = 41;

function roundTrip(x: Float32Array, channels: number): { code: Uint8Array; values: Float32Array } {
  const code = new Uint8Array(codedBytes([x.length / channels, channels]));
  const values = new Float32Array(x.length);
  encodeFeatures(x, channels, code);
  decodeFeatures(code, channels, values);
  return { code, values };
}

for (const channels of [1, 5, 16, 17, 96]) {
  for (const pixels of [1, 7, 49]) {
    const title = `[${pixels}, ${channels}]`;

    test(`${title}: the bytes and the values of the SIMD kernels`, async (t) => {
      const arena = await openArena();
      const x = Float32Array.from(draw(seeded(SEED), pixels * channels), (value, i) => value * 10 ** (i % 3) + 0.3);
      const { code, values } = roundTrip(x, channels);
      const source = arena.put(x);
      const codes = arena.putBytes(new Uint8Array(code.length));
      const target = arena.put(new Float32Array(x.length));
      arena.kernels.encodeBytes(source.pointer, codes.pointer, 1, pixels, channels);
      arena.kernels.decodeBytes(codes.pointer, target.pointer, 1, pixels, channels);
      t.deepEqual(code, arena.bytes(codes).slice(), `seed ${SEED}`);
      t.deepEqual(values, arena.floats(target).slice(), `seed ${SEED}`);
    });

    test(`${title}: every value comes back to half a step of its group`, (t) => {
      const x = Float32Array.from(draw(seeded(SEED + 1), pixels * channels));
      const { values } = roundTrip(x, channels);
      for (let first = 0; first < channels; first += CODE_GROUP) {
        const group = [...x.keys()].filter((i) => i % channels >= first && i % channels < first + CODE_GROUP);
        const known = group.map((i) => x[i] ?? Number.NaN);
        const allowed = ((Math.max(...known) - Math.min(...known)) / 255) * (0.5 + 1e-4) + 2 ** -22;
        const errors = group.map((i) => Math.abs((x[i] ?? Number.NaN) - (values[i] ?? Number.NaN)));
        t.true(
          errors.every((error) => error <= allowed),
          `seed ${SEED + 1}, channels from ${first}: ${Math.max(...errors)} > ${allowed}`,
        );
      }
    });
  }
}

for (const poison of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
  test(`${poison} spoils its group of channels and no other`, (t) => {
    const x = Float32Array.from(draw(seeded(SEED + 2), 3 * 40));
    x[40 + 17] = poison;
    const { values } = roundTrip(x, 40);
    for (const [i, value] of values.entries()) {
      t.is(Number.isNaN(value), i % 40 >= 16 && i % 40 < 32, `value ${i}`);
    }
  });
}
