/**
 * @file Gemm: y = x w^T, the fully connected layer   (ONNX Gemm-13 with transB = 1, or MatMul-13 with a constant)
 *
 * x [I], w [O, I], y [O]; the bias is an Affine of its own (see conv.ts). dx = dy w, dw = sum_n dy^T x.
 * Saved: x, 4 bytes an element, and only if w trains.
 */
import { ShapeError } from '../runtime/errors.ts';
import { elements } from '../runtime/graph/graph.ts';
import type { Kernel } from './kernel.ts';

export const gemm: Kernel = {
  op: 'Gemm',
  trainable: ['weight'],
  shape(node, [x], { weight }) {
    const [out = 0, features = 0] = weight ?? [];
    if (x?.length !== 1 || x[0] !== features) {
      throw new ShapeError({
        op: 'Gemm',
        node: node.name,
        expected: `a vector of ${features} features (weight [${out}, ${features}])`,
        actual: `[${x}]`,
      });
    }
    return [out];
  },
  flops: ({ parameters }) => 2 * elements(parameters.weight ?? []),
  forward({ batch, inputs: [x], parameters: { weight }, output, shapes }) {
    const I = elements(shapes.inputs[0] ?? []);
    const O = elements(shapes.output);
    for (let n = 0; n < batch; n++) {
      for (let o = 0; o < O; o++) {
        let sum = 0;
        for (let i = 0; i < I; i++) sum += (x?.[n * I + i] ?? 0) * (weight?.[o * I + i] ?? 0);
        output[n * O + o] = sum;
      }
    }
  },
  backward: {
    saves: (_node, _shapes, wants) => (wants.parameters.has('weight') ? [{ kind: 'input', index: 0 }] : []),
    apply({ batch, dOutput, inputs: [x], parameters: { weight }, dInputs: [dx], dParameters: { weight: dw }, shapes }) {
      const I = elements(shapes.inputs[0] ?? []);
      const O = elements(shapes.output);
      dx?.fill(0);
      for (let n = 0; n < batch; n++) {
        for (let o = 0; o < O; o++) {
          const dy = dOutput[n * O + o] ?? 0;
          for (let i = 0; i < I; i++) {
            if (dx) dx[n * I + i] = (dx[n * I + i] ?? 0) + dy * (weight?.[o * I + i] ?? 0);
            if (dw) dw[o * I + i] = (dw[o * I + i] ?? 0) + dy * (x?.[n * I + i] ?? 0);
          }
        }
      }
    },
  },
  samples: [{ title: 'x=[7] w=[3,7]', attributes: {}, inputs: [[7]], parameters: { weight: [3, 7] } }],
};
