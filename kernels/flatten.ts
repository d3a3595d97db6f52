/**
 * @file Flatten: y[n, c*P + p] = x[n,p,c]   (ONNX Flatten-13 / Reshape-14 of a whole image to one vector)
 *
 * x [H, W, C] -> y [C H W] in ONNX's channels-first order, so that the next layer's weight keeps the user's layout.
 * dx is the inverse permutation of dy. Saved: nothing. For one pixel or a vector it only renames.
 */
import { elements } from '../runtime/graph/graph.ts';
import type { Kernel } from './kernel.ts';

export const flatten: Kernel = {
  op: 'Flatten',
  trainable: [],
  shape: (_node, [x]) => [elements(x ?? [])],
  flops: () => 0,
  forward({ batch, shapes, inputs: [x], output }) {
    permute(batch, shapes.inputs[0] ?? [], (last, first) => {
      output[first] = x?.[last] ?? 0;
    });
  },
  backward: {
    saves: () => [],
    apply({ batch, shapes, dOutput, dInputs: [dx] }) {
      permute(batch, shapes.inputs[0] ?? [], (last, first) => {
        if (dx) dx[last] = dOutput[first] ?? 0;
      });
    },
  },
  samples: [
    { title: 'x=[3,2,5]', attributes: {}, inputs: [[3, 2, 5]], parameters: {} },
    { title: 'x=[1,1,7]', attributes: {}, inputs: [[1, 1, 7]], parameters: {} },
    { title: 'x=[6]', attributes: {}, inputs: [[6]], parameters: {} },
  ],
};

function permute(batch: number, shape: readonly number[], move: (last: number, first: number) => void): void {
  const C = shape.at(-1) ?? 1;
  const pixels = elements(shape) / C;
  for (let n = 0; n < batch; n++) {
    for (let p = 0; p < pixels; p++) {
      for (let c = 0; c < C; c++) move((n * pixels + p) * C + c, (n * C + c) * pixels + p);
    }
  }
}
