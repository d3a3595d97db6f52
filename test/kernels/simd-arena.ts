/**
 * @file What the SIMD kernel tests share: a small arena on real memory, seeded values, comparison with float64 results.
 */
import type { ExecutionContext } from 'ava';
import { loadSimd, type SimdKernels } from '../../kernels/simd/simd.ts';

/** mulberry32; values in [-1, 1), rounded to float32 so that both sides start from the same numbers. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return Math.fround(((bits ^ (bits >>> 14)) >>> 0) / 2 ** 31 - 1);
  };
}

export function draw(next: () => number, count: number): Float64Array {
  return Float64Array.from({ length: count }, next);
}

export interface Buffer32 {
  readonly pointer: number;
  readonly bytes: number;
}

export interface Arena {
  readonly kernels: SimdKernels;
  /** A new buffer holding `values` as float32. Offsets are multiples of 4 only, never of 16. */
  put(values: Iterable<number>): Buffer32;
  putBytes(values: Uint8Array): Buffer32;
  floats(buffer: Buffer32): Float32Array;
  bytes(buffer: Buffer32): Uint8Array;
  /** Runs `work` and fails if a byte outside `targets` has changed, sources included. */
  writesOnly(t: ExecutionContext, targets: readonly Buffer32[], work: () => void): void;
}

export async function openArena(pages = 16): Promise<Arena> {
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const kernels = await loadSimd(memory);
  const all = new Uint8Array(memory.buffer).fill(0xa5);
  let next = 68;
  const reserve = (bytes: number): Buffer32 => {
    const pointer = next;
    // 20 bytes of guard at least, and the next offset again 4 (mod 16) away from alignment.
    next = Math.ceil((pointer + bytes + 20) / 16) * 16 + 4;
    if (next > all.length) throw new RangeError(`arena of ${all.length} bytes is too small for this test`);
    return { pointer, bytes };
  };
  const putBytes = (values: Uint8Array): Buffer32 => {
    const buffer = reserve(values.length);
    all.set(values, buffer.pointer);
    return buffer;
  };
  return {
    kernels,
    putBytes,
    put: (values) => putBytes(new Uint8Array(Float32Array.from(values).buffer)),
    floats: ({ pointer, bytes }) => new Float32Array(memory.buffer, pointer, bytes / 4),
    bytes: ({ pointer, bytes }) => all.subarray(pointer, pointer + bytes),
    writesOnly(t, targets, work) {
      const before = all.slice();
      work();
      const after = all.slice();
      for (const { pointer, bytes } of targets) after.set(before.subarray(pointer, pointer + bytes), pointer);
      if (Buffer.compare(before, after) === 0) return t.pass();
      const at = after.findIndex((value, index) => value !== before[index]);
      t.fail(`byte ${at} was written but belongs to no target`);
    },
  };
}

export interface Tolerance {
  readonly rtol?: number;
  readonly atol?: number;
  /** Sum of the absolute terms of each element, for sums that cancel: allows 1e-6 of it. */
  readonly magnitude?: Float64Array;
}

/** Fails with the worst element unless |actual - expected| <= atol + rtol |expected| (+ 1e-6 magnitude); NaN = NaN. */
export function closeTo(
  t: ExecutionContext,
  title: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { rtol = 1e-5, atol = 1e-6, magnitude }: Tolerance = {},
): void {
  t.is(actual.length, expected.length, title);
  let worst = 0;
  let report = '';
  for (let i = 0; i < expected.length; i++) {
    const a = actual[i] as number;
    const e = expected[i] as number;
    if (Object.is(a, e) || a === e) continue;
    const allowed = atol + rtol * Math.abs(e) + 1e-6 * (magnitude?.[i] ?? 0);
    const error = Math.abs(a - e);
    if (Number.isFinite(e) && (error <= allowed || error / allowed <= worst)) continue;
    worst = error / allowed;
    report = `${title}: [${i}] is ${a}, expected ${e}, error ${error} > ${allowed}`;
  }
  t.is(report, '');
}
