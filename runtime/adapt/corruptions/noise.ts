/** @file Noise of each value by itself: gaussian, shot, impulse, speckle. */
import { normals } from './draws.ts';
import { type Operation, toByte } from './operation.ts';

/** x + N(0, deviation). */
export const gaussianNoise: Operation<number> = (image, _side, deviation, random) => {
  const noise = normals(image.length, random);
  return image.map((byte, i) => toByte(byte / 255 + deviation * (noise[i] as number)));
};

/** x + x N(0, deviation). */
export const speckleNoise: Operation<number> = (image, _side, deviation, random) => {
  const noise = normals(image.length, random);
  return image.map((byte, i) => toByte(byte / 255 + (byte / 255) * deviation * (noise[i] as number)));
};

/** Share `amount` of the values (not pixels) becomes 0 or 1, either as likely. */
export const impulseNoise: Operation<number> = (image, _side, amount, random) =>
  image.map((byte) => {
    if (random.uniform() >= amount) return toByte(byte / 255);
    return random.uniform() < 0.5 ? 255 : 0;
  });

/** Poisson(x photons) / photons. */
export const shotNoise: Operation<number> = (image, _side, photons, random) => {
  const levels = countsUpTo(photons);
  return image.map((byte) => toByte(poisson(levels, byte * photons, photons, random.uniform()) / photons));
};

/** Tables of the numbers of photons that were used; each has 256 rows. */
const countTables = new Map<number, Float64Array>();

/** Row `byte`, column k: the probability of at most k counts at byte / 255 of `photons`. Counts from `photons` on are white. */
function countsUpTo(photons: number): Float64Array {
  const known = countTables.get(photons);
  if (known) return known;
  const table = new Float64Array(256 * photons);
  for (let byte = 0; byte < 256; byte++) {
    const mean = (byte / 255) * photons;
    let [logOf, sum] = [-mean, 0];
    for (let k = 0; k < photons; k++) {
      if (k > 0) logOf += Math.log(mean / k);
      sum += Math.exp(logOf);
      table[byte * photons + k] = sum;
    }
  }
  countTables.set(photons, table);
  return table;
}

/** The least count whose cumulative probability lies above `uniform`, at most `photons`. */
function poisson(table: Float64Array, row: number, photons: number, uniform: number): number {
  let [low, high] = [0, photons];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((table[row + middle] as number) > uniform) high = middle;
    else low = middle + 1;
  }
  return low;
}
