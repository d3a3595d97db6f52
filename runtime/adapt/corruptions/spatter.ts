/** @file Splashes of water or mud on the lens. */
import { cannyEdges, edgeDistances } from './canny.ts';
import { normals } from './draws.ts';
import { correlate, gaussianBlur } from './filters.ts';
import { type Operation, toByte } from './operation.ts';
import type { CorruptionParameters } from './tables.ts';

const water = [175 / 255, 238 / 255, 238 / 255] as const;
const mud = [63 / 255, 42 / 255, 20 / 255] as const;

/** Drops are where blurred noise lies above the threshold: light and shaded if water, brown and opaque if mud. */
export const spatter: Operation<CorruptionParameters['spatter']> = (image, side, parameters, random) => {
  const [mean, deviation, sigma, threshold, strength, liquid] = parameters;
  const noise = normals(side * side, random).map((value) => mean + deviation * value);
  const drops = gaussianBlur(noise, side, 1, { sigma }).map((value) => (value < threshold ? 0 : value));
  if (liquid === 'water') {
    const light = waterLight(
      Uint8Array.from(drops, (value) => Math.trunc(value * 255)),
      side,
    );
    return image.map((byte, i) =>
      toByte(byte / 255 + strength * (light[Math.trunc(i / 3)] as number) * (water[i % 3] as number)),
    );
  }
  const covered = gaussianBlur(
    drops.map((value) => (value > threshold ? 1 : 0)),
    side,
    1,
    { sigma: strength },
  );
  return image.map((byte, i) => {
    const share = covered[Math.trunc(i / 3)] as number;
    return share < 0.8 ? toByte(byte / 255) : toByte((byte / 255) * (1 - share) + (mud[i % 3] as number) * share);
  });
};

const relief = { extent: 3, weights: [-2, -1, 0, -1, 1, 1, 0, 1, 2] };
const mean3x3 = { extent: 3, weights: new Array<number>(9).fill(1 / 9) };
const farthest = 20;

/**
 * How much light each pixel of drops (thickness in bytes) throws, 0 to 1: thickness times a relief of the equalised distance
 * to the drops' edges. All 0 where no drop throws any.
 */
export function waterLight(drops: Uint8Array, side: number): Float64Array {
  const distances = edgeDistances(cannyEdges(drops, side, 50, 150), side).map((value) => Math.min(value, farthest));
  const flattened = equalized(correlate(distances, side, 1, mean3x3).map(Math.trunc));
  const raised = correlate(flattened, side, 1, relief).map((value) => Math.min(Math.max(value, 0), 255));
  const light = correlate(raised, side, 1, mean3x3).map((value, i) => Math.round(value) * (drops[i] as number));
  const most = light.reduce((high, value) => Math.max(high, value), 0);
  return most === 0 ? light : light.map((value) => value / most);
}

/** Spreads whole values from 0 to 255 so that their histogram becomes flat, the lowest at 0. */
function equalized(values: Float64Array): Float64Array {
  const counts = new Float64Array(256);
  for (const value of values) counts[value] = (counts[value] as number) + 1;
  const lowest = counts.findIndex((count) => count > 0);
  const others = values.length - (counts[lowest] as number);
  if (others === 0) return values;
  const levels = new Float64Array(256);
  let sum = 0;
  for (let value = lowest + 1; value < 256; value++) {
    sum += counts[value] as number;
    levels[value] = Math.round((255 * sum) / others);
  }
  return values.map((value) => levels[value] as number);
}
