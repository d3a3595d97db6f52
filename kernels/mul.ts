/**
 * @file Mul: y = a b, element by element, or with one factor per channel   (ONNX Mul-14)
 *
 * a [.., C]; b of a's shape, or a gate [1, 1, C] per image, as in squeeze-and-excitation -> y of a's shape.
 * da = b dy, db = a dy, summed over the pixels for a gate.
 * Saved: of each input, 4 bytes an element, only if the other one's gradient is wanted.
 */
import { ShapeError } from '../runtime/errors.ts';
import { elements, type Shape } from '../runtime/graph/graph.ts';
import type { Kernel, NodeShapes, Save } from './kernel.ts';

/** True if b is one factor per channel of an a that has more than one pixel. */
export function isGate({ inputs: [a = [], b = []] }: NodeShapes): boolean {
  return elements(a) !== elements(b);
}

export const mul: Kernel = {
  op: 'Mul',
  trainable: [],
  inPlace: true,
  shape(node, [a = [], b = []]) {
    const same = (first: Shape, second: Shape): boolean =>
      first.length === second.length && first.every((extent, axis) => extent === second[axis]);
    if (a.length === 0 || !(same(a, b) || (a.length === 3 && same([1, 1, a[2] ?? 1], b)))) {
      throw new ShapeError({
        op: 'Mul',
        node: node.name,
        expected: `a second factor of shape [${a}] or one per channel ([1,1,${a.at(-1)}])`,
        actual: `[${b}]`,
      });
    }
    return a;
  },
  flops: ({ output }) => elements(output),
  // A gate's gradient is a product and a sum.
  backwardFlops: ({ output }, _attributes, wants) =>
    (Number(wants.inputs[0]) + 2 * Number(wants.inputs[1])) * elements(output),
  forward({ shapes, inputs: [a, b], output }) {
    const at = factorIndex(shapes);
    a?.forEach((value, i) => {
      output[i] = value * (b?.[at(i)] ?? 0);
    });
  },
  backward: {
    inPlace: true,
    saves: (_node, _shapes, { inputs: [wantsA, wantsB] }) => {
      const saves: Save[] = [];
      if (wantsB) saves.push({ kind: 'input', index: 0 });
      if (wantsA) saves.push({ kind: 'input', index: 1 });
      return saves;
    },
    apply({ shapes, dOutput, inputs: [a, b], dInputs: [da, db] }) {
      const at = factorIndex(shapes);
      db?.fill(0);
      dOutput.forEach((dy, i) => {
        if (db) db[at(i)] = (db[at(i)] ?? 0) + dy * (a?.[i] ?? 0);
        if (da) da[i] = dy * (b?.[at(i)] ?? 0);
      });
    },
  },
  samples: [
    {
      title: 'a=[3,4,5] b=[3,4,5]',
      attributes: {},
      inputs: [
        [3, 4, 5],
        [3, 4, 5],
      ],
      parameters: {},
    },
    {
      title: 'a=[5,4,23] b=[1,1,23], a gate',
      attributes: {},
      inputs: [
        [5, 4, 23],
        [1, 1, 23],
      ],
      parameters: {},
    },
    { title: 'a=[6] b=[6]', attributes: {}, inputs: [[6], [6]], parameters: {} },
  ],
};

/** Index into b for an index into a. */
function factorIndex(shapes: NodeShapes): (i: number) => number {
  if (!isGate(shapes)) return (i) => i;
  const size = elements(shapes.output);
  const channels = shapes.output.at(-1) ?? 1;
  return (i) => Math.floor(i / size) * channels + (i % channels);
}
