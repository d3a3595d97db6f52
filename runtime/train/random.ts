/**
 * @file Random numbers that are a pure function of their key, so that a resumed run needs no saved generator state.
 *
 * A key is a few numbers, such as (seed, epoch, sample). The same key gives the same numbers on every machine: only
 * 32-bit integer arithmetic is used below the last division. Not for cryptography.
 */

/**
 * Hashes numbers to 32 bits.
 *
 * Safe integers of any size and sign count in full; a fraction is cut off. The mixing steps are the finalizer of
 * MurmurHash3 (Appleby, public domain).
 */
export function hash32(...numbers: readonly number[]): number {
  let hash = 0x9e3779b9;
  for (const number of numbers) {
    const low = number | 0;
    const high = Math.floor(number / 2 ** 32) | 0;
    hash = mix(hash ^ low);
    hash = mix((hash + 0x85ebca6b) ^ high);
  }
  return mix(hash ^ numbers.length);
}

function mix(value: number): number {
  let hash = value | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** A sequence of random numbers belonging to one key; making one costs nothing, so make one per purpose. */
export class Random {
  readonly #first: number;
  readonly #second: number;
  #count = 0;

  constructor(...key: readonly number[]) {
    // Two words of state, so that the sequences of two keys do not become shifted copies of each other.
    this.#first = hash32(0x5bd1e995, ...key);
    this.#second = hash32(0x1b873593, ...key);
  }

  /** The next 32 random bits, 0 to 2^32 - 1. */
  bits(): number {
    this.#count += 1;
    return mix(mix(Math.imul(this.#count, 0x9e3779b9) ^ this.#first) + this.#second);
  }

  /** Uniform in [low, high), 53 random bits. */
  uniform(low = 0, high = 1): number {
    const unit = ((this.bits() >>> 5) * 2 ** 26 + (this.bits() >>> 6)) / 2 ** 53;
    return low + (high - low) * unit;
  }

  /** Uniform whole number from `low` to `high`, both included. */
  integer(low: number, high: number): number {
    return low + Math.floor(this.uniform() * (high - low + 1));
  }

  /** Normal deviate by the Box-Muller transform. */
  normal(mean = 0, deviation = 1): number {
    // 1 - u lies in (0, 1], where the logarithm is finite.
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return mean + deviation * radius * Math.cos(2 * Math.PI * this.uniform());
  }
}

/** Keys an epoch's order apart from everything else drawn from (seed, epoch). */
const shuffleStream = 0x5348;

/** Random permutation of 0 to n - 1 belonging to (seed, epoch): Fisher and Yates' shuffle. */
export function shuffle(n: number, seed: number, epoch: number): Uint32Array {
  const order = Uint32Array.from({ length: n }, (_, position) => position);
  const random = new Random(seed, epoch, shuffleStream);
  for (let last = n - 1; last > 0; last--) {
    const other = random.integer(0, last);
    const kept = order[last] as number;
    order[last] = order[other] as number;
    order[other] = kept;
  }
  return order;
}
