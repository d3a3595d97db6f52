/**
 * @file Conv: y[n,o,p] = sum over taps t and channels i of w[o,t,i] x[n,i,p*stride+t]   (ONNX Conv-11, group 1)
 *
 * x [H, W, I], w [O, kh, kw, I], y [H', W', O]; no bias: a bias is an Affine of its own, so that it shares one pass with
 * the norm and the activation. A 1x1 window with stride 1 is one matrix product over all pixels.
 * dx = sum_o w dy (transposed walk), dw = sum_n,p dy x.
 * Saved: x, 4 bytes an element, and only if w trains.
 */
import { ShapeError } from '../runtime/errors.ts';
import { elements } from '../runtime/graph/graph.ts';
import type { Kernel } from './kernel.ts';
import { forEachTap, geometry, triple, type WindowAttributes, windowExtent } from './window.ts';

/** True if the convolution is a plain matrix product over pixels. */
export function isPointwise(attributes: WindowAttributes): boolean {
  return (
    attributes.kernel.every((extent) => extent === 1) &&
    attributes.strides.every((stride) => stride === 1) &&
    attributes.pads.every((pad) => pad === 0)
  );
}

/**
 * Patches that are built at a time take this much, or as much as the weight: every chunk of patches reads the whole weight
 * once, and few patches beside a large weight would cost more than their product.
 */
const PATCH_BYTES = 4 << 20;

export const conv: Kernel<WindowAttributes> = {
  op: 'Conv',
  trainable: ['weight'],
  shape(node, [x], { weight }) {
    const [, , channels] = triple(x ?? []);
    const [out = 0, kh = 1, kw = 1, channelsIn = 0] = weight ?? [];
    if (x?.length !== 3 || channels !== channelsIn || kh !== node.attributes.kernel[0]) {
      throw new ShapeError({
        op: 'Conv',
        node: node.name,
        expected: `a map of ${channelsIn} channels (weight [${out}, ${kh}, ${kw}, ${channelsIn}])`,
        actual: `[${x}]`,
      });
    }
    const [height, width] = windowExtent('Conv', node.name, node.attributes, x);
    return [height, width, out];
  },
  flops: ({ output, parameters }) => (2 * elements(output) * elements(parameters.weight ?? [])) / (output[2] ?? 1),
  workspace({ output, parameters }, attributes) {
    if (isPointwise(attributes)) return 0;
    const weight = elements(parameters.weight ?? []);
    const patch = 4 * (weight / (output[2] ?? 1));
    const most = Math.max(PATCH_BYTES, 4 * weight, patch);
    return { bytesPerImage: patch * (output[0] ?? 1) * (output[1] ?? 1), mostBytes: most - (most % patch) };
  },
  forward({ batch, attributes, shapes, inputs, parameters, output }) {
    const { g, weight, x, inSize, outSize, channelsOut } = unpack(attributes, shapes, parameters.weight, inputs[0]);
    output.fill(0);
    for (let n = 0; n < batch; n++) {
      forEachTap(g, (out, input, tap) => {
        for (let o = 0; o < channelsOut; o++) {
          let sum = 0;
          const w = (o * g.kernelHeight * g.kernelWidth + tap) * g.channels;
          for (let i = 0; i < g.channels; i++) {
            sum += (weight[w + i] ?? 0) * (x[n * inSize + input * g.channels + i] ?? 0);
          }
          const at = n * outSize + out * channelsOut + o;
          output[at] = (output[at] ?? 0) + sum;
        }
      });
    }
  },
  backward: {
    saves: (_node, _shapes, wants) => (wants.parameters.has('weight') ? [{ kind: 'input', index: 0 }] : []),
    apply({ batch, attributes, shapes, dOutput, inputs, parameters, dInputs, dParameters }) {
      const { g, weight, x, inSize, outSize, channelsOut } = unpack(attributes, shapes, parameters.weight, inputs[0]);
      const dx = dInputs[0];
      const dw = dParameters.weight;
      dx?.fill(0);
      for (let n = 0; n < batch; n++) {
        forEachTap(g, (out, input, tap) => {
          for (let o = 0; o < channelsOut; o++) {
            const dy = dOutput[n * outSize + out * channelsOut + o] ?? 0;
            if (dy === 0) continue;
            const w = (o * g.kernelHeight * g.kernelWidth + tap) * g.channels;
            const at = n * inSize + input * g.channels;
            for (let i = 0; i < g.channels; i++) {
              if (dx) dx[at + i] = (dx[at + i] ?? 0) + dy * (weight[w + i] ?? 0);
              if (dw) dw[w + i] = (dw[w + i] ?? 0) + dy * (x[at + i] ?? 0);
            }
          }
        });
      }
    },
  },
  samples: [
    {
      title: 'x=[5,4,3] w=[2,1,1,3] pointwise',
      attributes: { kernel: [1, 1], strides: [1, 1], pads: [0, 0, 0, 0], dilations: [1, 1] },
      inputs: [[5, 4, 3]],
      parameters: { weight: [2, 1, 1, 3] },
    },
    {
      title: 'x=[7,6,3] w=[4,3,3,3] stride=2 pads=[0,0,1,1]',
      attributes: { kernel: [3, 3], strides: [2, 2], pads: [0, 0, 1, 1], dilations: [1, 1] },
      inputs: [[7, 6, 3]],
      parameters: { weight: [4, 3, 3, 3] },
    },
    {
      title: 'x=[6,7,2] w=[3,3,2,2] stride=[1,2] pads=[2,1,0,1] dilation=[2,1]',
      attributes: { kernel: [3, 2], strides: [1, 2], pads: [2, 1, 0, 1], dilations: [2, 1] },
      inputs: [[6, 7, 2]],
      parameters: { weight: [3, 3, 2, 2] },
    },
  ],
};

function unpack(
  attributes: WindowAttributes,
  shapes: Parameters<typeof conv.flops>[0],
  weight: Float64Array = new Float64Array(),
  x: Float64Array = new Float64Array(),
) {
  const input = shapes.inputs[0] ?? [];
  const g = geometry(attributes, input, shapes.output);
  const channelsOut = shapes.output[2] ?? 1;
  return { g, weight, x, inSize: elements(input), outSize: elements(shapes.output), channelsOut };
}
