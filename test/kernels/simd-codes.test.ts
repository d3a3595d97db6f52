import test, { type ExecutionContext } from 'ava';
import { codeBytes, codeOf, stepFunction } from '../../kernels/few-bit.ts';
import { type Arena, draw, openArena, seeded } from './simd-arena.ts';

const SEED = 20272;
const GROUP = 16;
const CHANNELS = [1, 5, 16, 17, 48] as const;

interface Size {
  readonly batch: number;
  readonly pixels: number;
  readonly channels: number;
}

/** Bytes of eight-bit codes: a byte an element, padded to 4 for each image, and two floats for each group. */
const bytesOf = ({ batch, pixels, channels }: Size): number =>
  batch * (Math.ceil((pixels * channels) / 4) * 4 + Math.ceil(channels / GROUP) * 8);

/** Encodes and decodes, and fails if a byte outside the codes or outside the result changes on the way. */
function roundTrip(t: ExecutionContext, arena: Arena, size: Size, x: ArrayLike<number>): Float32Array {
  const { batch, pixels, channels } = size;
  const source = arena.put(Array.from(x));
  const code = arena.putBytes(new Uint8Array(bytesOf(size)).fill(0x5a));
  const target = arena.put(Array.from(x, () => 99));
  arena.writesOnly(t, [code], () => {
    arena.kernels.encodeBytes(source.pointer, code.pointer, batch, pixels, channels);
  });
  arena.writesOnly(t, [target], () => {
    arena.kernels.decodeBytes(code.pointer, target.pointer, batch, pixels, channels);
  });
  return arena.floats(target).slice();
}

/** Indices of the elements of each image's groups of 16 channels. */
function groupsOf({ batch, pixels, channels }: Size): readonly (readonly number[])[] {
  const perImage = Math.ceil(channels / GROUP);
  const groups = Array.from({ length: batch * perImage }, (): number[] => []);
  for (let i = 0; i < batch * pixels * channels; i++) {
    const image = Math.floor(i / pixels / channels);
    groups[image * perImage + Math.floor((i % channels) / GROUP)]?.push(i);
  }
  return groups;
}

const pick = (values: ArrayLike<number>, indices: readonly number[]): number[] => indices.map((i) => values[i] ?? 0);

/** Fails unless every value of a group came back to half of the group's step, but for float32's rounding. */
function halfAStep(t: ExecutionContext, expected: number[], actual: number[], label: string): void {
  const step = (Math.max(...expected) - Math.min(...expected)) / 255;
  const largest = Math.max(...expected.map(Math.abs));
  const allowed = step * (0.5 + 1e-4) + largest * 2 ** -22;
  const errors = expected.map((value, i) => Math.abs(value - (actual[i] ?? Number.NaN)));
  const worst = errors.findIndex((error) => !(error <= allowed));
  t.is(worst, -1, `${label}: ${expected[worst]} came back as ${actual[worst]}, allowed ${allowed}`);
}

for (const channels of CHANNELS) {
  for (const [batch, pixels] of [
    [1, 1],
    [1, 7],
    [3, 1],
    [3, 49],
  ] as const) {
    const size = { batch, pixels, channels };
    const label = `[${batch}, ${pixels}, ${channels}]`;

    test(`eight-bit codes ${label}: back to half a step of each group's own range`, async (t) => {
      const arena = await openArena();
      const x = draw(seeded(SEED), batch * pixels * channels);
      // Ranges that differ by group and image, and lie off zero: a range of a neighbour would show at once.
      groupsOf(size).forEach((group, g) => {
        for (const i of group) x[i] = Math.fround((x[i] ?? 0) * 10 ** (g % 5) + 3 * g);
      });
      const actual = roundTrip(t, arena, size, x);
      groupsOf(size).forEach((group, g) => {
        halfAStep(t, pick(x, group), pick(actual, group), `group ${g}, seed ${SEED}`);
      });
    });

    test(`eight-bit codes ${label}: constants come back exactly`, async (t) => {
      const arena = await openArena();
      for (const constant of [0, 1, -0.1, 1e-30, -3e38].map(Math.fround)) {
        const x = new Float32Array(batch * pixels * channels).fill(constant);
        t.deepEqual(roundTrip(t, arena, size, x), x);
      }
    });

    for (const poison of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      test(`eight-bit codes ${label}: ${poison} spoils its whole group and no other`, async (t) => {
        const arena = await openArena();
        const x = draw(seeded(SEED + 1), batch * pixels * channels);
        const groups = groupsOf(size);
        for (const at of new Set([0, x.length >> 1, x.length - 1])) {
          const poisoned = x.slice();
          poisoned[at] = poison;
          const actual = roundTrip(t, arena, size, poisoned);
          groups.forEach((group, g) => {
            const back = pick(actual, group);
            if (group.includes(at)) t.true(back.every(Number.isNaN), `group ${g}, at ${at}: ${back.slice(0, 20)}`);
            else halfAStep(t, pick(x, group), back, `group ${g}, ${poison} at ${at}, seed ${SEED + 1}`);
          });
        }
      });
    }
  }
}

test('eight-bit codes: a group is spoilt by one bad value among good ones in any of its channels', async (t) => {
  const size = { batch: 1, pixels: 2, channels: 21 };
  const arena = await openArena();
  const x = draw(seeded(SEED + 2), 42);
  for (let at = 0; at < x.length; at++) {
    const poisoned = x.slice();
    poisoned[at] = Number.NaN;
    const actual = roundTrip(t, arena, size, poisoned);
    const bad = groupsOf(size).find((group) => group.includes(at)) ?? [];
    t.deepEqual(
      [...actual.keys()].filter((i) => Number.isNaN(actual[i])),
      [...bad],
      `NaN at ${at}`,
    );
  }
});

test('eight-bit codes: the ends of the range come back, and a range far from zero keeps its detail', async (t) => {
  const size = { batch: 1, pixels: 256, channels: 1 };
  const arena = await openArena();
  const whole = Float32Array.from({ length: 256 }, (_, i) => i - 100);
  t.deepEqual(roundTrip(t, arena, size, whole), whole, 'steps of 1 are met exactly');
  const far = Float32Array.from({ length: 256 }, (_, i) => 1000 + i / 256);
  halfAStep(t, [...far], [...roundTrip(t, arena, size, far)], 'far');
});

/** Code of channel c: `bits` bits from bit `bits` (c mod 8) of the group's bytes, lowest byte first. */
function codeAt(codes: Uint8Array, row: number, channels: number, c: number, bits: number): number {
  const group = (row * Math.ceil(channels / 8) + Math.floor(c / 8)) * bits;
  let code = 0;
  for (let bit = 0; bit < bits; bit++) {
    const at = (c % 8) * bits + bit;
    code |= (((codes[group + (at >> 3)] ?? 0) >> (at & 7)) & 1) << bit;
  }
  return code;
}

for (const bits of [1, 2, 3, 4] as const) {
  for (const channels of [1, 3, 4, 5, 8, 13, 16, 17, 48]) {
    test(`steps of ${bits} bits, ${channels} channels: the codes of codeOf, and dy times their levels`, async (t) => {
      const arena = await openArena();
      const { kernels } = arena;
      const rows = 11;
      const seed = SEED + 3 + bits;
      const next = seeded(seed);
      const steps = stepFunction('hardSwish', { alpha: 0, beta: 0 }, bits);
      const special = [...steps.borders, ...steps.borders.map((x) => -x), -0, -1e-30, 1e30, Infinity, -Infinity, NaN];
      // Every third value is a border or an extreme: what lies exactly on a border is where two codes could part.
      const x = draw(next, rows * channels).map((value, i) =>
        i % 3 === 1 ? Math.fround(special[((i - 1) / 3) % special.length] ?? 0) : Math.fround(4 * value),
      );
      const dy = draw(next, rows * channels);
      const [xs, borders, levels] = [arena.put(x), arena.put(steps.borders), arena.put(steps.levels)];
      const code = arena.putBytes(new Uint8Array(codeBytes([rows, channels], bits)).fill(0x5a));
      arena.writesOnly(t, [code], () => {
        kernels.encodeSteps(xs.pointer, rows, channels, borders.pointer, bits, code.pointer);
      });
      const expected = Array.from(x, (value) => codeOf(steps, value));
      const actual = Array.from(x, (_, i) =>
        codeAt(arena.bytes(code), Math.floor(i / channels), channels, i % channels, bits),
      );
      t.deepEqual(actual, expected, `seed ${seed}`);

      const [dys, dxs] = [arena.put(dy), arena.put(dy.map(() => 99))];
      const product = Float32Array.from(dy, (value, i) => value * Math.fround(steps.levels[expected[i] ?? 0] ?? 0));
      arena.writesOnly(t, [dxs], () => {
        kernels.decodeSteps(dys.pointer, dxs.pointer, rows, channels, levels.pointer, bits, code.pointer);
      });
      t.deepEqual(arena.floats(dxs).slice(), product, `seed ${seed}`);
      arena.writesOnly(t, [dys], () => {
        kernels.decodeSteps(dys.pointer, dys.pointer, rows, channels, levels.pointer, bits, code.pointer);
      });
      t.deepEqual(arena.floats(dys).slice(), product, `dx = dy, seed ${seed}`);
    });
  }
}
