/** @file Rules of norms and of means. */
import { noActivation } from '../../kernels/activation.ts';
import { ModelError } from '../../runtime/errors.ts';
import type { ImportContext } from './import-context.ts';
import type { OnnxNode } from './onnx-node.ts';
import type { Operator, Rule } from './rule.ts';

const BatchNormalization: Rule = (node, context) => {
  const [x = '', scale = '', shift = '', mean = '', variance = ''] = node.inputs;
  const roles = { scale, shift, mean, variance };
  const missing = Object.entries(roles).flatMap(([role, tensor]) => (tensor === '' ? [role] : []));
  if (missing.length > 0) {
    throw new ModelError(
      `BatchNormalization "${node.name}": expected scale, shift, mean and variance, found no ${missing.join(' and no ')}\n` +
        'Hint: export the model in evaluation mode, with its running statistics',
      { node: node.name, missing },
    );
  }
  if (node.integer('training_mode', 0) !== 0) return 'it is exported in training mode';
  const channels = context.shape(x)?.at(-1) ?? 0;
  if (context.isChannelsLast(x)) return 'its input is channels-last';
  const parameters: Record<string, string> = {};
  for (const [role, tensor] of Object.entries(roles)) {
    const name = context.parameter(tensor, [0], [channels]);
    if (name === undefined) return `its ${role} is not a constant of ${channels} values`;
    parameters[role] = name;
  }
  const epsilon = node.float('epsilon', 1e-5);
  return context.emit('Affine', node, [x], parameters, { ...noActivation, epsilon });
};

/** Axes that a reduction or a layer norm names, counted from the front. */
function axesOf(node: OnnxNode, x: string, context: ImportContext): readonly number[] {
  const rank = context.onnxDims(x)?.length ?? 0;
  const input = node.inputs[1] ?? '';
  const axes = input === '' ? node.integers('axes', []) : (context.integers(input) ?? []);
  return axes.map((axis) => (axis < 0 ? axis + rank : axis)).sort();
}

/** True for a mean over the channels of `x` that keeps their axis. */
export function reducesChannels(node: OnnxNode, x: string, context: ImportContext): boolean {
  const axes = axesOf(node, x, context);
  return axes.length === 1 && axes[0] === context.channelAxis(x) && node.integer('keepdims', 1) !== 0;
}

const LayerNormalization: Rule = (node, context) => {
  const [x = '', scale = '', shift = ''] = node.inputs;
  const rank = context.onnxDims(x)?.length ?? 0;
  const axis = node.integer('axis', -1);
  // Everything from the axis on is normalized: only the last one may be, and it must be the channels.
  if (rank - 1 !== (axis < 0 ? axis + rank : axis) || context.channelAxis(x) !== rank - 1) {
    return 'only over the channels of each pixel';
  }
  if (node.outputs.slice(1).some((output) => context.isRead(output))) return 'its mean and deviation are outputs too';
  return emitLayerNorm(context, node, x, scale, shift, node.float('epsilon', 1e-5));
};

/** Adds a LayerNorm over the channels of `x`, or says why it cannot be. */
export function emitLayerNorm(
  context: ImportContext,
  node: OnnxNode,
  x: string,
  scale: string,
  shift: string,
  epsilon: number,
): string | undefined {
  const channels = context.shape(x)?.at(-1) ?? 0;
  const parameters: Record<string, string> = {};
  for (const [role, tensor] of Object.entries({ scale, shift })) {
    const name = context.isAlongChannels(tensor, x) ? context.parameter(tensor, null, [channels]) : undefined;
    if (name === undefined) return `its ${role} is not a constant of ${channels} values`;
    parameters[role] = name;
  }
  return context.emit('LayerNorm', node, [x], parameters, { epsilon });
}

const ReduceMean: Rule = (node, context) => {
  const [x = ''] = node.inputs;
  const pixels = context.channelAxis(x) === 3 ? '1,2' : '2,3';
  if (context.shape(x)?.length !== 3 || String(axesOf(node, x, context)) !== pixels) {
    return 'only a mean over height and width';
  }
  return context.emit('GlobalAveragePool', node, [x], {}, { keepAxes: node.integer('keepdims', 1) !== 0 });
};

const notPerChannel = 'its … is not a constant of … values';

export const normRules = {
  BatchNormalization: {
    read: BatchNormalization,
    becomes: ['Affine'],
    limits: ['it is exported in training mode', 'its input is channels-last', notPerChannel],
  },
  LayerNormalization: {
    read: LayerNormalization,
    becomes: ['LayerNorm'],
    limits: ['only over the channels of each pixel', 'its mean and deviation are outputs too', notPerChannel],
    since: 17,
  },
  ReduceMean: { read: ReduceMean, becomes: ['GlobalAveragePool'], limits: ['only a mean over height and width'] },
} satisfies Record<string, Operator>;
