/**
 * @file GlobalAveragePool: y[n,c] = mean over pixels of x[n,p,c]   (ONNX GlobalAveragePool-1, ReduceMean over H and W)
 *
 * x [H, W, C] -> y [1, 1, C], or [C] where the axes are dropped (`keepAxes` false). dx[n,p,c] = dy[n,c] / (H W).
 * Saved: nothing.
 */
import { elements } from '../runtime/graph/graph.ts';
import type { Kernel } from './kernel.ts';
import { triple } from './window.ts';

export type GlobalAveragePoolAttributes = { readonly keepAxes: boolean };

export const globalAveragePool: Kernel<GlobalAveragePoolAttributes> = {
  op: 'GlobalAveragePool',
  trainable: [],
  shape(node, [x]) {
    const [, , channels] = triple(x ?? []);
    return node.attributes.keepAxes ? [1, 1, channels] : [channels];
  },
  flops: ({ inputs: [x] }) => elements(x ?? []),
  forward({ batch, shapes, inputs: [x], output }) {
    const [height, width, C] = triple(shapes.inputs[0] ?? []);
    const pixels = height * width;
    for (let n = 0; n < batch; n++) {
      for (let c = 0; c < C; c++) {
        let sum = 0;
        for (let p = 0; p < pixels; p++) sum += x?.[(n * pixels + p) * C + c] ?? 0;
        output[n * C + c] = sum / pixels;
      }
    }
  },
  backward: {
    saves: () => [],
    apply({ shapes, dOutput, dInputs: [dx] }) {
      const [height, width, C] = triple(shapes.inputs[0] ?? []);
      const pixels = height * width;
      dx?.forEach((_, i) => {
        dx[i] = (dOutput[Math.floor(i / (pixels * C)) * C + (i % C)] ?? 0) / pixels;
      });
    },
  },
  samples: [
    { title: 'x=[4,3,5]', attributes: { keepAxes: true }, inputs: [[4, 3, 5]], parameters: {} },
    { title: 'x=[1,1,6] dropped axes', attributes: { keepAxes: false }, inputs: [[1, 1, 6]], parameters: {} },
  ],
};
