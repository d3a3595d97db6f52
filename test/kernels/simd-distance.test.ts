import test from 'ava';
import { closeTo, draw, openArena, seeded } from './simd-arena.ts';

const SEED = 20265;
const BATCH = 3;

for (const count of [1, 7, 8, 12, 1001, 8200]) {
  test(`distance: ${BATCH} images of ${count} values, forward with and without signs, and backward`, async (t) => {
    const arena = await openArena();
    const { kernels } = arena;
    const next = seeded(SEED + count);
    const [a, b, dy] = [draw(next, BATCH * count), draw(next, BATCH * count), draw(next, BATCH)];
    // A tie has the bit of what lies below.
    b[0] = a[0] ?? 0;
    const bytes = Math.ceil(count / 8);
    const mean = new Float64Array(BATCH);
    const packed = new Uint8Array(BATCH * bytes);
    const da = new Float64Array(BATCH * count);
    for (let i = 0; i < BATCH * count; i++) {
      const n = Math.floor(i / count);
      const difference = (a[i] ?? 0) - (b[i] ?? 0);
      mean[n] = (mean[n] ?? 0) + Math.abs(difference) / count;
      const at = n * bytes + ((i % count) >> 3);
      packed[at] = (packed[at] ?? 0) | (Number(difference > 0) << ((i % count) & 7));
      da[i] = ((difference > 0 ? 1 : -1) * (dy[n] ?? 0)) / count;
    }
    const [as, bs, dys] = [arena.put(a), arena.put(b), arena.put(dy)];
    const [y, plain, das] = [arena.put(dy), arena.put(dy), arena.put(a.map(() => 99))];
    const signs = arena.putBytes(new Uint8Array(BATCH * bytes).fill(0xa5));
    arena.writesOnly(t, [y, signs], () => {
      kernels.distanceForward(as.pointer, bs.pointer, y.pointer, BATCH, count, signs.pointer);
    });
    arena.writesOnly(t, [plain], () => kernels.distanceForward(as.pointer, bs.pointer, plain.pointer, BATCH, count, 0));
    closeTo(t, `mean, seed ${SEED + count}`, arena.floats(y), mean);
    t.deepEqual(arena.floats(plain), arena.floats(y));
    t.deepEqual([...arena.bytes(signs)], [...packed]);
    arena.writesOnly(t, [das], () => {
      kernels.distanceBackward(dys.pointer, signs.pointer, das.pointer, BATCH, count);
    });
    closeTo(t, `da, seed ${SEED + count}`, arena.floats(das), da, { rtol: 1e-6, atol: 1e-9 });
  });
}

test('distance: NaN shows in the mean of its image alone', async (t) => {
  const arena = await openArena();
  const [a, b, y] = [arena.put([1, Number.NaN, 3, 4]), arena.put([1, 1, 1, 1]), arena.put([0, 0])];
  arena.kernels.distanceForward(a.pointer, b.pointer, y.pointer, 2, 2, 0);
  t.deepEqual([...arena.floats(y)], [Number.NaN, 2.5]);
});
