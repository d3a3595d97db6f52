/** @file Moving values between the layout of a file and the layout of the graph. */
import type { Origin } from './graph.ts';

/** Values of a file tensor in graph layout. */
export function toGraphLayout(values: Float32Array, origin: Pick<Origin, 'shape' | 'permutation'>): Float32Array {
  if (isIdentity(origin.permutation)) return values;
  const out = new Float32Array(values.length);
  forEachElement(origin, (graphIndex, fileIndex) => {
    out[graphIndex] = values[fileIndex] ?? 0;
  });
  return out;
}

/** The inverse of `toGraphLayout`. */
export function toFileLayout(values: Float32Array, origin: Pick<Origin, 'shape' | 'permutation'>): Float32Array {
  if (isIdentity(origin.permutation)) return values;
  const out = new Float32Array(values.length);
  forEachElement(origin, (graphIndex, fileIndex) => {
    out[fileIndex] = values[graphIndex] ?? 0;
  });
  return out;
}

const isIdentity = (permutation: readonly number[]): boolean => permutation.every((axis, i) => axis === i);

/** Visits all elements in graph order. */
function forEachElement(
  { shape, permutation }: Pick<Origin, 'shape' | 'permutation'>,
  visit: (graphIndex: number, fileIndex: number) => void,
): void {
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, extent) => product * extent, 1));
  const extents = permutation.map((axis) => shape[axis] ?? 1);
  const steps = permutation.map((axis) => strides[axis] ?? 1);
  let graphIndex = 0;
  const walk = (axis: number, fileIndex: number): void => {
    if (axis === extents.length) {
      visit(graphIndex++, fileIndex);
      return;
    }
    for (let i = 0; i < (extents[axis] ?? 1); i++) walk(axis + 1, fileIndex + i * (steps[axis] ?? 1));
  };
  walk(0, 0);
}
