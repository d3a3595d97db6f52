import { readFile } from 'node:fs/promises';
import test from 'ava';
import { corrupt } from '../../runtime/adapt/corruptions/corrupt.ts';
import { waterLight } from '../../runtime/adapt/corruptions/spatter.ts';
import { assertClose } from '../support/compare.ts';
import { goldenUrl } from '../support/goldens.ts';

interface Golden {
  readonly regenerate: string;
  readonly seeds: { readonly pixels: number; readonly drops: number };
  readonly positions: Readonly<Record<string, readonly number[]>>;
  readonly cases: readonly {
    readonly side: number;
    readonly corruption: string;
    readonly severity: number;
    readonly bytes: readonly number[];
    readonly sum: number;
  }[];
  readonly waterLight: Readonly<Record<string, readonly number[]>>;
}

const golden = JSON.parse(await readFile(goldenUrl('corruptions.json'), 'utf8')) as Golden;

/** The generator that the golden file describes. */
function draws(seed: number, count: number): Uint32Array {
  let state = seed;
  return new Uint32Array(count).map(() => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state;
  });
}

function imageOf(side: number): Uint8Array {
  const [drawn, quarter] = [draws(golden.seeds.pixels, side * side * 3), Math.floor(side / 4)];
  return Uint8Array.from(drawn, (draw, i) => {
    const [y, x, c] = [Math.floor(i / (3 * side)), Math.floor(i / 3) % side, i % 3];
    if (x < quarter && y < quarter) return 255;
    if (x >= side - quarter && y >= side - quarter) return 0;
    return ((5 * x + 3 * (c + 1) * y) % 200) + (draw >>> 27);
  });
}

/**
 * Every byte within one level, as a fraction is cut off that rounding may put on either side of a whole number; the mean
 * within 0.04 levels, since only areas of one colour do that.
 */
for (const { side, corruption, severity, bytes, sum } of golden.cases) {
  test(`${corruption} ${severity} at ${side} px equals other libraries'`, async (t) => {
    const made = await corrupt(imageOf(side), side, { corruption, severity, seed: 1, index: 0 });
    const sampled = (golden.positions[side] ?? []).map((position) => made[position] ?? Number.NaN);
    assertClose(t, sampled, bytes, { rtol: 0, atol: 1 }, `${corruption} ${severity}; ${golden.regenerate}`);
    const difference = (made.reduce((total, byte) => total + byte, 0) - sum) / made.length;
    t.true(Math.abs(difference) <= 0.04, `mean differs by ${difference} levels`);
  });
}

for (const [size, light] of Object.entries(golden.waterLight)) {
  test(`light of water drops at ${size} px equals OpenCV's`, (t) => {
    const side = Number(size);
    const drops = Uint8Array.from(draws(golden.seeds.drops, side * side), (draw, i) => {
      const [y, x] = [Math.floor(i / side), i % side];
      return (x - y + 16 * side) % 16 < 5 || draw >>> 29 === 0 ? 160 + (draw >>> 26) : 0;
    });
    // Six digits are stored.
    assertClose(t, waterLight(drops, side), light, { rtol: 0, atol: 1e-6 }, golden.regenerate);
  });
}

test('drops of no thickness throw no light, and neither do drops without an edge', (t) => {
  t.true(waterLight(new Uint8Array(64), 8).every((value) => value === 0));
  t.true(waterLight(new Uint8Array(64).fill(200), 8).every((value) => value >= 0 && value <= 1));
});
