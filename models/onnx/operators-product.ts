/** @file Rules of matrix products: fully connected layers, and linear layers on channels-last maps. */
import type { ImportContext } from './import-context.ts';
import type { OnnxNode } from './onnx-node.ts';
import type { Operator, Rule } from './rule.ts';

const Gemm: Rule = (node, context) => {
  const [x = '', w = '', b = ''] = node.inputs;
  const dims = context.dims(w);
  const scaled = node.float('alpha', 1) !== 1 || (b !== '' && node.float('beta', 1) !== 1);
  if (!dims || scaled || node.integer('transA', 0) !== 0) return 'only x w + b with a constant w';
  return fullyConnected(node, context, x, w, dims, node.integer('transB', 0) !== 0, b);
};

const MatMul: Rule = (node, context) => {
  const [x = '', w = ''] = node.inputs;
  const dims = context.dims(w);
  const shape = context.shape(x);
  if (dims?.length !== 2 || !shape) return 'only an activation times a constant matrix';
  if (shape.length === 1) return fullyConnected(node, context, x, w, dims, false, '');
  // A linear layer on every pixel is a pointwise convolution.
  if (shape.length !== 3 || !context.isChannelsLast(x)) return 'only a vector or a channels-last map times a matrix';
  const [channels = 0, out = 0] = dims;
  const weight = context.parameter(w, [1, 0], [out, 1, 1, channels]);
  if (weight === undefined) return 'its weight is shared with a node that reads it in another layout';
  const window = { kernel: [1, 1], strides: [1, 1], pads: [0, 0, 0, 0], dilations: [1, 1] };
  return context.emit('Conv', node, [x], { weight }, window);
};

function fullyConnected(
  node: OnnxNode,
  context: ImportContext,
  x: string,
  w: string,
  dims: readonly number[],
  transposed: boolean,
  b: string,
): string | undefined {
  if (context.shape(x)?.length !== 1) return 'its input is not one vector an image';
  const [first = 0, second = 0] = dims;
  const [out, features] = transposed ? [first, second] : [second, first];
  const weight = context.parameter(w, transposed ? [0, 1] : [1, 0], [out, features]);
  if (weight === undefined) return 'its weight is shared with a node that reads it in another layout';
  const bias = b === '' ? null : isRow(context.dims(b) ?? []) ? context.parameter(b, null, [out]) : undefined;
  if (bias === undefined) return 'its bias is not one value an output';
  return context.emitWithBias('Gemm', node, [x], { weight }, bias, {});
}

/** True if a constant broadcasts along the last of two axes only. */
function isRow(dims: readonly number[]): boolean {
  return dims.length <= 2 && dims.every((extent, i) => extent === 1 || i === dims.length - 1);
}

const sharedWeight = 'its weight is shared with a node that reads it in another layout';
const fullyConnectedLimits = ['its input is not one vector an image', sharedWeight];

export const productRules = {
  Gemm: {
    read: Gemm,
    becomes: ['Gemm', 'Affine'],
    limits: ['only x w + b with a constant w', ...fullyConnectedLimits, 'its bias is not one value an output'],
  },
  MatMul: {
    read: MatMul,
    becomes: ['Gemm', 'Conv'],
    limits: [
      'only an activation times a constant matrix',
      'only a vector or a channels-last map times a matrix',
      sharedWeight,
    ],
  },
} satisfies Record<string, Operator>;
