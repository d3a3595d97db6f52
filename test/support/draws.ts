/** @file Seeded arrays for tests, on the project's own generator. */
import { elements, type Shape } from '../../runtime/graph/graph.ts';
import { Random } from '../../runtime/train/random.ts';

/** Normal deviates that float32 holds exactly, so that both precisions start from the same numbers. */
export function normals(random: Random, shape: Shape, mean = 0, deviation = 1): Float64Array {
  return Float64Array.from({ length: elements(shape) }, () => Math.fround(random.normal(mean, deviation)));
}

/** Values of a parameter that keep a net of any depth in a sane range. */
export function parameterValues(random: Random, role: string, shape: Shape): Float64Array {
  if (role === 'variance') return normals(random, shape).map((value) => Math.fround(0.5 + Math.abs(value)));
  if (role === 'scale') return normals(random, shape, 1, 0.2);
  if (role !== 'weight') return normals(random, shape, 0, 0.3);
  // Taps and input channels that one output sums over: [O, kh, kw, I], [kh, kw, C] or [O, I].
  const fanIn = shape.length === 3 ? elements(shape.slice(0, 2)) : elements(shape.slice(1));
  return normals(random, shape, 0, Math.sqrt(2 / fanIn));
}

/** Images (u8 RGB, channels-last). */
export function randomImages(seed: number, count: number, size: number): Uint8Array {
  const random = new Random(seed);
  return Uint8Array.from({ length: count * size * size * 3 }, () => random.bits() >>> 24);
}

/** Labels 0, 1, 2, ... wrapped at `classes`. */
export function cyclicLabels(count: number, classes: number): Int32Array {
  return Int32Array.from({ length: count }, (_, n) => n % classes);
}

/** The generator of the PyTorch goldens: `state = state * 1664525 + 1013904223` modulo 2^32; a draw is the new state. */
export function goldenStream(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state;
  };
}
