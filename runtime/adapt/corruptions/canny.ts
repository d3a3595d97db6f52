/** @file Edges by Canny's method and distances to them, as OpenCV defines both for bytes. */
import { inside } from './filters.ts';

/** tan(22.5 degrees) in units of 2^-15. */
const tangent = 13573;

/**
 * 1 at the pixels of edges, else 0: 3 x 3 Sobel gradients, |dx| + |dy|, thinned along four directions; above `high` an edge
 * begins, above `low` it goes on.
 */
export function cannyEdges(bytes: Uint8Array, side: number, low: number, high: number): Uint8Array {
  const { right, down } = sobel(bytes, side);
  const strength = (y: number, x: number) => {
    if (y < 0 || x < 0 || y >= side || x >= side) return 0;
    return Math.abs(right[y * side + x] as number) + Math.abs(down[y * side + x] as number);
  };
  const thin = new Uint8Array(side * side);
  const begun: number[] = [];
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const own = strength(y, x);
      if (own <= low) continue;
      const [dx, dy] = [right[y * side + x] as number, down[y * side + x] as number];
      const [flat, steep] = [Math.abs(dx) * tangent, Math.abs(dy) * 2 ** 15];
      const diagonal = dx < 0 !== dy < 0 ? -1 : 1;
      const peak =
        steep < flat
          ? own > strength(y, x - 1) && own >= strength(y, x + 1)
          : steep > flat + Math.abs(dx) * 2 ** 16
            ? own > strength(y - 1, x) && own >= strength(y + 1, x)
            : own > strength(y - 1, x - diagonal) && own > strength(y + 1, x + diagonal);
      if (!peak) continue;
      thin[y * side + x] = 1;
      if (own > high) begun.push(y * side + x);
    }
  }
  return connected(thin, begun, side);
}

function sobel(bytes: Uint8Array, side: number): { right: Int16Array; down: Int16Array } {
  const right = new Int16Array(side * side);
  const down = new Int16Array(side * side);
  const at = (y: number, x: number) => bytes[inside(y, side, 'nearest') * side + inside(x, side, 'nearest')] as number;
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const column = (x: number) => at(y - 1, x) + 2 * at(y, x) + at(y + 1, x);
      const row = (y: number) => at(y, x - 1) + 2 * at(y, x) + at(y, x + 1);
      right[y * side + x] = column(x + 1) - column(x - 1);
      down[y * side + x] = row(y + 1) - row(y - 1);
    }
  }
  return { right, down };
}

/** Everything of `thin` that touches `begun`, corners included. */
function connected(thin: Uint8Array, begun: number[], side: number): Uint8Array {
  const edges = new Uint8Array(side * side);
  const open = begun;
  for (const pixel of open) edges[pixel] = 1;
  for (let pixel = open.pop(); pixel !== undefined; pixel = open.pop()) {
    const [y, x] = [Math.trunc(pixel / side), pixel % side];
    for (let near = 0; near < 9; near++) {
      const [nearY, nearX] = [y + Math.trunc(near / 3) - 1, x + (near % 3) - 1];
      if (nearY < 0 || nearX < 0 || nearY >= side || nearX >= side) continue;
      const other = nearY * side + nearX;
      if (thin[other] === 0 || edges[other] === 1) continue;
      edges[other] = 1;
      open.push(other);
    }
  }
  return edges;
}

/** Steps of the 5 x 5 chamfer distance, from the pixels above and to the left: rows, columns, length. */
const steps = [
  [-2, -1, 2.1969],
  [-2, 1, 2.1969],
  [-1, -2, 2.1969],
  [-1, -1, 1.4],
  [-1, 0, 1],
  [-1, 1, 1.4],
  [-1, 2, 2.1969],
  [0, -1, 1],
] as const;

/** Distance of each pixel to the nearest edge by steps of 1, 1.4 and 2.1969 (Borgefors); infinite where there is none. */
export function edgeDistances(edges: Uint8Array, side: number): Float64Array {
  const distances = Float64Array.from(edges, (edge) => (edge === 0 ? Number.POSITIVE_INFINITY : 0));
  const relax = (pixel: number, sign: 1 | -1) => {
    const [y, x] = [Math.trunc(pixel / side), pixel % side];
    for (const [rows, columns, length] of steps) {
      const [nearY, nearX] = [y + sign * rows, x + sign * columns];
      if (nearY < 0 || nearX < 0 || nearY >= side || nearX >= side) continue;
      const through = (distances[nearY * side + nearX] as number) + length;
      if (through < (distances[pixel] as number)) distances[pixel] = through;
    }
  };
  for (let pixel = 0; pixel < distances.length; pixel++) relax(pixel, 1);
  for (let pixel = distances.length - 1; pixel >= 0; pixel--) relax(pixel, -1);
  return distances;
}
