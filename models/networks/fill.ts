/**
 * @file Values of tensors that are stored as a range and a seed; tools/goldens/networks/weightless.py gives the same bits.
 *
 * value[i] = fround(low + (high - low) * (hash(seed, i) / 2^32)), in float64 until the last rounding.
 */
import { ModelError } from '../../runtime/errors.ts';

/** What a weightless tensor says in place of its data. */
export interface Uniform {
  readonly low: number;
  readonly high: number;
  readonly seed: number;
}

/** MurmurHash3's finalizer (Austin Appleby, public domain): a bijection of 32-bit integers in which all bits mix. */
function mix(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** The function i -> hash(seed, i), an unsigned 32-bit integer for each index below 2^32. */
export function hashOf(seed: number): (index: number) => number {
  const start = mix(seed ^ 0x9e3779b9);
  return (index) => mix(mix(index) ^ start);
}

/**
 * Reads the text "uniform LOW HIGH SEED"; null if the text is something else.
 * @throws ModelError if it begins so but its numbers make no sense
 */
export function parseUniform(text: string, tensor: string): Uniform | null {
  const [kind, ...numbers] = text.split(' ');
  if (kind !== 'uniform') return null;
  const [low = Number.NaN, high = Number.NaN, seed = Number.NaN] = numbers.map(Number);
  if (numbers.length === 3 && Number.isFinite(high - low) && low <= high && seed === seed >>> 0) {
    return { low, high, seed };
  }
  throw new ModelError(
    `tensor "${tensor}": expected "uniform LOW HIGH SEED" with LOW <= HIGH and a 32-bit seed, found "${text}"\n` +
      'Hint: python3 tools/goldens/networks/main.py writes the networks anew',
    { tensor, text },
  );
}

export function fillUniform({ low, high, seed }: Uniform, length: number): Float32Array<ArrayBuffer> {
  const hash = hashOf(seed);
  const values = new Float32Array(length);
  for (let i = 0; i < length; i++) values[i] = low + (high - low) * (hash(i) / 2 ** 32);
  return values;
}
