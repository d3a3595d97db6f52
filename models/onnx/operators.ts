/**
 * @file One rule for each ONNX op that becomes a node of the graph, named as in ONNX. A rule that cannot read its node says
 * why; the node then stays opaque, which is fine in the frozen part.
 */

import { noActivation } from '../../kernels/activation.ts';
import type { AttributeValue, Shape } from '../../runtime/graph/graph.ts';
import type { ImportContext, OnnxNode } from './import.ts';

/** Undefined when the node was read, else the reason why not. */
type Rule = (node: OnnxNode, context: ImportContext) => string | undefined;

const noNorm = { epsilon: 0, ...noActivation } as const;

const Conv: Rule = (node, context) => {
  const [x = '', w = '', b = ''] = node.inputs;
  const shape = context.shape(x);
  const dims = context.dims(w);
  if (!dims) return 'its weight is not a constant';
  if (shape?.length !== 3 || dims.length !== 4) return 'only two-dimensional convolutions of maps';
  const [out = 0, perGroup = 0, kh = 1, kw = 1] = dims;
  const channels = shape[2] ?? 0;
  const group = node.integer('group', 1);
  const window = {
    kernel: [kh, kw],
    strides: node.integers('strides', [1, 1]),
    dilations: node.integers('dilations', [1, 1]),
    pads: node.integers('pads', [0, 0, 0, 0]),
  };
  const autoPad = node.text('auto_pad', 'NOTSET');
  if (autoPad === 'SAME_UPPER' || autoPad === 'SAME_LOWER') {
    window.pads = samePads(shape, window, autoPad === 'SAME_LOWER');
  } else if (autoPad === 'VALID') window.pads = [0, 0, 0, 0];
  const depthwise = group > 1 && group === channels && perGroup === 1 && out === channels;
  if (group !== 1 && !depthwise) return `grouped convolution (group ${group}) has no kernel yet`;
  const weight = depthwise
    ? context.parameter(w, [2, 3, 0, 1], [kh, kw, channels])
    : context.parameter(w, [0, 2, 3, 1], [out, kh, kw, perGroup]);
  if (weight === undefined) return 'its weight is shared with a node that reads it in another layout';
  const bias = b === '' ? null : context.parameter(b, [0], [out]);
  if (bias === undefined) return 'its bias is not a constant';
  return context.emitWithBias(depthwise ? 'DepthwiseConv' : 'Conv', node, [x], { weight }, bias, window);
};

function samePads(shape: Shape, window: { kernel: number[]; strides: number[]; dilations: number[] }, lower: boolean) {
  const total = [0, 1].map((axis) => {
    const stride = window.strides[axis] ?? 1;
    const extent = ((window.kernel[axis] ?? 1) - 1) * (window.dilations[axis] ?? 1) + 1;
    const size = shape[axis] ?? 1;
    return Math.max(0, (Math.ceil(size / stride) - 1) * stride + extent - size);
  });
  const begin = total.map((pad) => (lower ? Math.ceil(pad / 2) : Math.floor(pad / 2)));
  return [...begin, ...total.map((pad, axis) => pad - (begin[axis] ?? 0))];
}

const BatchNormalization: Rule = (node, context) => {
  const [x = '', scale = '', shift = '', mean = '', variance = ''] = node.inputs;
  if (node.integer('training_mode', 0) !== 0) return 'it is exported in training mode';
  const channels = context.shape(x)?.at(-1) ?? 0;
  const roles = { scale, shift, mean, variance };
  const parameters: Record<string, string> = {};
  for (const [role, tensor] of Object.entries(roles)) {
    const name = context.parameter(tensor, [0], [channels]);
    if (name === undefined) return `its ${role} is not a constant of ${channels} values`;
    parameters[role] = name;
  }
  const epsilon = node.float('epsilon', 1e-5);
  return context.emit('Affine', node, [x], parameters, { ...noActivation, epsilon });
};

const Relu: Rule = (node, context) =>
  context.emit('Clip', node, node.inputs.slice(0, 1), {}, { ...noActivation, low: 0 });

const Clip: Rule = (node, context) => {
  const limit = (attribute: 'min' | 'max', input: number): number | null | undefined => {
    const name = node.inputs[input];
    if (name === undefined || name === '') return finite(node.float(attribute, Number.NaN));
    const [value] = context.floats(name) ?? [];
    return value === undefined ? undefined : finite(value);
  };
  const low = limit('min', 1);
  const high = limit('max', 2);
  if (low === undefined || high === undefined) return 'its limits are not constants';
  return context.emit('Clip', node, node.inputs.slice(0, 1), {}, { ...noActivation, low, high });
};

/** Opset 6 to 10 write "no limit" as the largest float. */
const finite = (value: number): number | null => (Math.abs(value) < 3e38 ? value : null);

const Add: Rule = (node, context) => {
  const [a = '', b = ''] = node.inputs;
  const constant = context.dims(a) ? a : context.dims(b) ? b : null;
  if (constant === null) {
    const [left, right] = [context.shape(a), context.shape(b)];
    if (!left || String(left) !== String(right)) return `it broadcasts [${left}] and [${right}]`;
    return context.emit('Add', node, [a, b], {}, {});
  }
  const x = constant === a ? b : a;
  const channels = context.shape(x)?.at(-1) ?? 0;
  const alongChannels = isAlongChannels(context.dims(constant) ?? [], context.shape(x)?.length === 3 ? 4 : 2);
  const shift = alongChannels ? context.parameter(constant, null, [channels]) : undefined;
  if (shift === undefined) return 'it adds a constant that is not one value a channel';
  return context.emit('Affine', node, [x], { shift }, noNorm);
};

/** True if a constant broadcasts along axis 1 of an ONNX tensor of that rank and along no other; axes align at the end. */
function isAlongChannels(dims: readonly number[], rank: number): boolean {
  return dims.length <= rank && dims.every((extent, i) => extent === 1 || i + rank - dims.length === 1);
}

const GlobalAveragePool: Rule = (node, context) =>
  context.shape(node.inputs[0] ?? '')?.length === 3
    ? context.emit('GlobalAveragePool', node, node.inputs.slice(0, 1), {}, { keepAxes: true })
    : 'only maps can be pooled';

const AveragePool: Rule = (node, context) => {
  const [height, width] = context.shape(node.inputs[0] ?? '') ?? [];
  const [kh, kw] = node.integers('kernel_shape', []);
  const padded = node.integers('pads', []).some((pad) => pad !== 0);
  if (kh !== height || kw !== width || padded) return 'only an average over the whole map has a kernel yet';
  return GlobalAveragePool(node, context);
};

const ReduceMean: Rule = (node, context) => {
  const [x = '', axesInput = ''] = node.inputs;
  const axes = axesInput === '' ? node.integers('axes', []) : (context.integers(axesInput) ?? []);
  const positive = axes.map((axis) => (axis < 0 ? axis + 4 : axis)).sort();
  if (context.shape(x)?.length !== 3 || String(positive) !== '2,3') return 'only a mean over height and width';
  return context.emit('GlobalAveragePool', node, [x], {}, { keepAxes: node.integer('keepdims', 1) !== 0 });
};

const Flatten: Rule = (node, context) => {
  if (node.integer('axis', 1) !== 1) return 'only axis 1';
  return flattenOrRename(node, context);
};

const Reshape: Rule = (node, context) => {
  const target = node.inputs[1] ? context.vector(node.inputs[1]) : node.integers('shape', []);
  const size = context.shape(node.inputs[0] ?? '')?.reduce((product, extent) => product * extent, 1);
  if (target?.length !== 2 || size === undefined) return 'only a flattening to [N, features]';
  const [, features] = target;
  return features === -1 || features === size ? flattenOrRename(node, context) : `its target is [${target}]`;
};

const Squeeze: Rule = (node, context) => {
  const shape = context.shape(node.inputs[0] ?? '');
  const onePixel = shape?.length === 3 && shape[0] === 1 && shape[1] === 1;
  return onePixel ? flattenOrRename(node, context) : 'only of a single pixel';
};

function flattenOrRename(node: OnnxNode, context: ImportContext): string | undefined {
  const [x = ''] = node.inputs;
  const shape = context.shape(x);
  if (!shape) return 'its input has no known shape';
  return shape.length === 1 ? context.rename(node, x) : context.emit('Flatten', node, [x], {}, {});
}

const Identity: Rule = (node, context) => context.rename(node, node.inputs[0] ?? '');

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
  if (dims?.length !== 2 || context.shape(x)?.length !== 1) return 'only a vector times a constant matrix';
  return fullyConnected(node, context, x, w, dims, false, '');
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
  const perOutput = isAlongChannels(context.dims(b) ?? [], 2);
  const bias = b === '' ? null : perOutput ? context.parameter(b, null, [out]) : undefined;
  if (bias === undefined) return 'its bias is not one value an output';
  return context.emitWithBias('Gemm', node, [x], { weight }, bias, {});
}

export const operators: Readonly<Record<string, Rule>> = {
  Add,
  AveragePool,
  BatchNormalization,
  Clip,
  Conv,
  Dropout: Identity,
  Flatten,
  Gemm,
  GlobalAveragePool,
  Identity,
  MatMul,
  ReduceMean,
  Relu,
  Reshape,
  Squeeze,
};

/** Attributes of an emitted node; re-exported so that rules and context agree. */
export type EmittedAttributes = Readonly<Record<string, AttributeValue>>;
