import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import test from 'ava';
import { closeTo, draw, openArena, seeded } from './simd-arena.ts';

const SEED = 20263;
const COUNTS = [1, 3, 5, 8, 13, 96, 1001] as const;
const at = (values: ArrayLike<number>, index: number) => values[index] as number;

for (const count of COUNTS) {
  test(`add, scaleInPlace, fill, countNonFinite: ${count} values`, async (t) => {
    const arena = await openArena();
    const { kernels } = arena;
    const next = seeded(SEED);
    const a = draw(next, count);
    const b = draw(next, count);
    b[count - 1] = Number.NaN;
    const sum = a.map((value, i) => Math.fround(value + at(b, i)));
    const [as, bs, ys] = [arena.put(a), arena.put(b), arena.put(a.map(() => 99))];
    arena.writesOnly(t, [ys], () => kernels.add(as.pointer, bs.pointer, ys.pointer, count));
    t.deepEqual([...arena.floats(ys)], [...sum], `seed ${SEED}`);
    arena.writesOnly(t, [bs], () => kernels.add(as.pointer, bs.pointer, bs.pointer, count));
    t.deepEqual([...arena.floats(bs)], [...sum], `y = b, seed ${SEED}`);
    arena.writesOnly(t, [as], () => kernels.scaleInPlace(as.pointer, count, -2.5));
    t.deepEqual([...arena.floats(as)], [...a.map((value) => Math.fround(value * -2.5))], `seed ${SEED}`);

    t.is(kernels.countNonFinite(as.pointer, count), 0);
    const floats = arena.floats(as);
    floats[0] = Number.POSITIVE_INFINITY;
    floats[count >> 1] = Number.NEGATIVE_INFINITY;
    floats[count - 1] = Number.NaN;
    t.is(kernels.countNonFinite(as.pointer, count), new Set([0, count >> 1, count - 1]).size);
    arena.writesOnly(t, [as], () => kernels.fill(as.pointer, count * 4));
    t.true(arena.floats(as).every((value) => value === 0));
  });

  for (const nesterov of [0, 1]) {
    test(`sgd: ${count} weights, nesterov=${nesterov}, five steps follow PyTorch's formula`, async (t) => {
      const arena = await openArena();
      const next = seeded(SEED + 1);
      const w = draw(next, count);
      const plain = w.slice();
      const buffer = new Float64Array(count);
      const [ws, plains, gs, buffers] = [arena.put(w), arena.put(w), arena.put(w), arena.put(buffer)];
      const [rate, momentum, decay] = [0.05, 0.9, 0.01];
      for (let step = 0; step < 5; step++) {
        const g = draw(next, count);
        arena.floats(gs).set(g);
        for (let i = 0; i < count; i++) {
          const d = at(g, i) + decay * at(w, i);
          buffer[i] = step === 0 ? d : momentum * at(buffer, i) + d;
          w[i] = at(w, i) - rate * (nesterov ? d + momentum * at(buffer, i) : at(buffer, i));
          plain[i] = at(plain, i) - rate * (at(g, i) + decay * at(plain, i));
        }
        arena.writesOnly(t, [ws, buffers], () => {
          arena.kernels.sgd(ws.pointer, gs.pointer, buffers.pointer, count, rate, momentum, decay, nesterov);
        });
        t.deepEqual(arena.floats(gs), Float32Array.from(g), 'the gradient stays unless it is to be cleared');
        arena.writesOnly(t, [plains, gs], () => {
          arena.kernels.sgd(plains.pointer, gs.pointer, 0, count, rate, momentum, decay, nesterov, 1);
        });
        t.true(arena.floats(gs).every((value) => value === 0));
      }
      closeTo(t, `w, seed ${SEED + 1}`, arena.floats(ws), w);
      closeTo(t, `buffer, seed ${SEED + 1}`, arena.floats(buffers), buffer);
      closeTo(t, `w without buffer, seed ${SEED + 1}`, arena.floats(plains), plain);
    });
  }

  for (const decoupled of [0, 1]) {
    test(`adam: ${count} weights, decoupled=${decoupled}, five steps follow PyTorch's formula`, async (t) => {
      const arena = await openArena();
      const next = seeded(SEED + 2);
      const w = draw(next, count);
      const m = new Float64Array(count);
      const v = new Float64Array(count);
      const [ws, gs, ms, vs] = [arena.put(w), arena.put(w), arena.put(m), arena.put(v)];
      const [rate, beta1, beta2, epsilon, decay] = [0.01, 0.9, 0.999, 1e-8, 0.1];
      for (let step = 1; step <= 5; step++) {
        const drawn = draw(next, count);
        arena.floats(gs).set(drawn);
        const correction1 = 1 - beta1 ** step;
        const correction2 = Math.sqrt(1 - beta2 ** step);
        for (let i = 0; i < count; i++) {
          const g = at(drawn, i) + (decoupled ? 0 : decay * at(w, i));
          const shrunk = decoupled ? at(w, i) * (1 - rate * decay) : at(w, i);
          m[i] = beta1 * at(m, i) + (1 - beta1) * g;
          v[i] = beta2 * at(v, i) + (1 - beta2) * g * g;
          w[i] = shrunk - ((rate / correction1) * at(m, i)) / (Math.sqrt(at(v, i)) / correction2 + epsilon);
        }
        arena.writesOnly(t, [ws, gs, ms, vs], () => {
          arena.kernels.adam(
            ws.pointer,
            gs.pointer,
            ms.pointer,
            vs.pointer,
            count,
            rate,
            beta1,
            beta2,
            epsilon,
            decay,
            correction1,
            correction2,
            decoupled,
            1,
          );
        });
        t.true(arena.floats(gs).every((value) => value === 0));
      }
      closeTo(t, `w, seed ${SEED + 2}`, arena.floats(ws), w);
      closeTo(t, `m, seed ${SEED + 2}`, arena.floats(ms), m);
      closeTo(t, `v, seed ${SEED + 2}`, arena.floats(vs), v);
    });
  }
}

for (const channels of [1, 3, 5, 8, 13, 96]) {
  for (const pixels of [1, 6, 49]) {
    test(`pooling and channel order: [3, ${pixels}, ${channels}]`, async (t) => {
      const batch = 3;
      const arena = await openArena();
      const { kernels } = arena;
      const next = seeded(SEED + 3);
      const x = draw(next, batch * pixels * channels);
      const dy = draw(next, batch * channels);
      const [xs, dys] = [arena.put(x), arena.put(dy)];
      const [same, back, pooled] = [x, x, dy].map((values) => arena.put(values.map(() => 99))) as [
        typeof xs,
        typeof xs,
        typeof xs,
      ];
      const mean = dy.map((_, i) => {
        const [n, c] = [Math.floor(i / channels), i % channels];
        let sum = 0;
        for (let p = 0; p < pixels; p++) sum += at(x, (n * pixels + p) * channels + c);
        return sum / pixels;
      });
      arena.writesOnly(t, [pooled], () => {
        kernels.globalAveragePoolForward(xs.pointer, pooled.pointer, batch, pixels, channels);
      });
      closeTo(t, `mean, seed ${SEED + 3}`, arena.floats(pooled), mean);
      arena.writesOnly(t, [same], () => {
        kernels.globalAveragePoolBackward(dys.pointer, same.pointer, batch, pixels, channels);
      });
      const share = x.map((_, i) => at(dy, Math.floor(i / channels / pixels) * channels + (i % channels)) / pixels);
      closeTo(t, `dx, seed ${SEED + 3}`, arena.floats(same), share);

      const planar = x.map((_, i) => {
        const [p, c, n] = [i % pixels, Math.floor(i / pixels) % channels, Math.floor(i / pixels / channels)];
        return at(x, (n * pixels + p) * channels + c);
      });
      arena.writesOnly(t, [same], () => kernels.channelsFirst(xs.pointer, same.pointer, batch, pixels, channels));
      t.deepEqual([...arena.floats(same)], [...planar], `seed ${SEED + 3}`);
      arena.writesOnly(t, [back], () => kernels.channelsLast(same.pointer, back.pointer, batch, pixels, channels));
      t.deepEqual([...arena.floats(back)], [...x], `seed ${SEED + 3}`);
    });
  }
}

for (const pixels of [1, 5, 6, 9, 64]) {
  test(`normalizeImages: ${pixels} pixels, both orders`, async (t) => {
    const batch = 2;
    const arena = await openArena();
    const next = seeded(SEED + 4);
    const image = Uint8Array.from({ length: batch * pixels * 3 }, () => Math.floor((next() + 1) * 128));
    const scale = [0.017, 0.0175, 0.018].map(Math.fround) as [number, number, number];
    const bias = [-2.1, -2, -1.8].map(Math.fround) as [number, number, number];
    const source = arena.putBytes(image);
    const target = arena.put(new Float32Array(image.length));
    for (const channelsFirst of [0, 1]) {
      arena.writesOnly(t, [target], () => {
        arena.kernels.normalizeImages(source.pointer, target.pointer, batch, pixels, channelsFirst, ...scale, ...bias);
      });
      const expected = Float64Array.from(image, (_, i) => {
        const c = channelsFirst ? Math.floor(i / pixels) % 3 : i % 3;
        const p = channelsFirst ? i % pixels : Math.floor(i / 3) % pixels;
        const n = Math.floor(i / pixels / 3);
        return at(image, (n * pixels + p) * 3 + c) * at(scale, c) + at(bias, c);
      });
      closeTo(t, `channelsFirst ${channelsFirst}, seed ${SEED + 4}`, arena.floats(target), expected);
    }
  });
}

test('normalizeImages reads no byte past its source, even at the end of the memory', async (t) => {
  const arena = await openArena(1);
  const pixels = 6;
  const end = 65536 - pixels * 3;
  t.notThrows(() => arena.kernels.normalizeImages(end, 64, 1, pixels, 1, 1, 1, 1, 0, 0, 0));
});

test('loadSimd: a missing or broken simd.wasm is an ExecutionError that says what to do', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'edgeshift-simd-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const compiled = fileURLToPath(new URL('../../', import.meta.url));
  await writeFile(join(folder, 'package.json'), '{"type": "module"}');
  for (const file of ['kernels/simd/simd.js', 'runtime/errors.js']) {
    await mkdir(join(folder, file, '..'), { recursive: true });
    await cp(join(compiled, file), join(folder, file));
  }
  const { loadSimd } = await import(pathToFileURL(join(folder, 'kernels/simd/simd.js')).href);
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const missing = await t.throwsAsync(loadSimd(memory));
  t.is(missing?.name, 'ExecutionError');
  t.regex(missing?.message ?? '', /simd(-relaxed)?\.wasm\nHint: run `npm run build`/);
  for (const name of ['simd.wasm', 'simd-relaxed.wasm'])
    await writeFile(join(folder, 'kernels/simd', name), 'not wasm');
  const broken = await t.throwsAsync(loadSimd(memory));
  t.is(broken?.name, 'ExecutionError');
  t.regex(broken?.message ?? '', /does not run here/);
});
