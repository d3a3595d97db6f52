/** @file Cloud-like height maps by the diamond-square algorithm. */
import type { Random } from '../../train/random.ts';

/** Deviation of the first round; later ones divide it by the decay. */
const firstWibble = 100;

/**
 * A square map of values from 0 to 1 that wraps around at its edges, row-major. Each point is a quarter of the sum of four
 * neighbours plus a uniform deviate of at most the wibble squared.
 *
 * @param side A power of two.
 * @param decay How much smoother each halving of the step is, above 1.
 */
export function plasma(side: number, decay: number, random: Random): Float64Array {
  const map = new Float64Array(side * side);
  const wrap = side - 1;
  const at = (y: number, x: number) => map[(y & wrap) * side + (x & wrap)] as number;
  let wibble = firstWibble;
  for (let step = side; step >= 2; step /= 2) {
    const half = step / 2;
    const fill = (y: number, x: number, sum: number) => {
      map[y * side + x] = sum / 4 + wibble * random.uniform(-wibble, wibble);
    };
    const grid = (firstY: number, firstX: number, visit: (y: number, x: number) => void) => {
      for (let y = firstY; y < side; y += step) for (let x = firstX; x < side; x += step) visit(y, x);
    };
    const besides = (y: number, x: number) => at(y - half, x) + at(y + half, x) + at(y, x - half) + at(y, x + half);
    grid(half, half, (y, x) => {
      const corners = at(y - half, x - half) + at(y - half, x + half) + at(y + half, x - half) + at(y + half, x + half);
      fill(y, x, corners);
    });
    grid(0, half, (y, x) => fill(y, x, besides(y, x)));
    grid(half, 0, (y, x) => fill(y, x, besides(y, x)));
    wibble /= decay;
  }
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const height of map) {
    least = Math.min(least, height);
    most = Math.max(most, height);
  }
  return map.map((height) => (height - least) / (most - least));
}
