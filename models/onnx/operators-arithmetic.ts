/** @file Rules of Add, Sub, Mul and Div: of two activations, or of one with a constant a channel, which is an Affine. */
import { noActivation } from '../../kernels/activation.ts';
import { elements } from '../../runtime/graph/graph.ts';
import type { ImportContext } from './import-context.ts';
import type { OnnxNode } from './onnx-node.ts';
import type { Operator, Rule } from './rule.ts';

const plain = { epsilon: 0, ...noActivation } as const;

/** The activation and the constant of a node that has one of each. */
function operands(node: OnnxNode, context: ImportContext): { x: string; constant: string } | null {
  const [a = '', b = ''] = node.inputs;
  if (context.dims(b)) return { x: a, constant: b };
  return context.dims(a) ? { x: b, constant: a } : null;
}

/** Why two activations do not go together pixel by pixel; undefined if they do. */
function mismatch([a = '', b = '']: readonly string[], context: ImportContext): string | undefined {
  const [left, right] = [context.shape(a), context.shape(b)];
  const layouts = context.isChannelsLast(a) === context.isChannelsLast(b);
  return String(left) === String(right) && (layouts || left?.length !== 3)
    ? undefined
    : `it broadcasts [${left}] and [${right}]`;
}

const Add: Rule = (node, context) => {
  const found = operands(node, context);
  if (!found) return mismatch(node.inputs, context) ?? context.emit('Add', node, node.inputs, {}, {});
  const shift = channelParameter(found, context);
  if (shift !== undefined) return context.emit('Affine', node, [found.x], { shift }, plain);
  const mean = statistic(node, context, found, (value) => -value);
  if (mean === undefined) return 'it adds a constant that is not one value a channel';
  return context.emit('Affine', node, [found.x], { mean }, plain);
};

const Sub: Rule = (node, context) => {
  const found = operands(node, context);
  if (!found || found.x !== node.inputs[0]) return 'only an activation less a constant';
  const mean = channelParameter(found, context) ?? statistic(node, context, found, (value) => value);
  if (mean === undefined) return 'it subtracts a constant that is not one value a channel';
  return context.emit('Affine', node, [found.x], { mean }, plain);
};

const Mul: Rule = (node, context) => {
  const found = operands(node, context);
  if (!found) return product(node, context);
  const scale = channelParameter(found, context);
  if (scale !== undefined) return context.emit('Affine', node, [found.x], { scale }, plain);
  const variance = statistic(node, context, found, (value) => (value > 0 ? value ** -2 : Number.NaN));
  if (variance === undefined) return 'it multiplies by a constant that is neither one value a channel nor positive';
  return context.emit('Affine', node, [found.x], { variance }, plain);
};

function product(node: OnnxNode, context: ImportContext): string | undefined {
  const [a = '', b = ''] = node.inputs;
  if (context.shape(a)?.length === 0) return 'its factors are one number an image';
  if (mismatch([a, b], context) === undefined) return context.emit('Mul', node, [a, b], {}, {});
  const [left = [], right = []] = [context.shape(a), context.shape(b)];
  const [map, gate] = elements(left) >= elements(right) ? [a, b] : [b, a];
  const fits = String(context.shape(gate)) === `1,1,${context.shape(map)?.[2]}`;
  if (!fits || context.isChannelsLast(a) !== context.isChannelsLast(b)) return `it broadcasts [${left}] and [${right}]`;
  return context.emit('Mul', node, [map, gate], {}, {});
}

const Div: Rule = (node, context) => {
  const found = operands(node, context);
  if (!found || found.x !== node.inputs[0]) return 'only an activation divided by a constant';
  const variance = statistic(node, context, found, (value) => (value > 0 ? value ** 2 : Number.NaN));
  if (variance === undefined) return 'it divides by a constant that is neither one value a channel nor positive';
  return context.emit('Affine', node, [found.x], { variance }, plain);
};

/** The constant as a parameter of one value a channel. A number that goes with all channels is none: it could not learn. */
function channelParameter(
  { x, constant }: { x: string; constant: string },
  context: ImportContext,
): string | undefined {
  const channels = context.shape(x)?.at(-1) ?? 0;
  return context.isAlongChannels(constant, x) ? context.parameter(constant, null, [channels]) : undefined;
}

/**
 * A statistic of an Affine, made from a constant of one value for all channels or one each; undefined if that is not what
 * it is or a value cannot be had. Statistics never train, and the file holds no tensor that this one could go back to.
 */
function statistic(
  node: OnnxNode,
  context: ImportContext,
  { x, constant }: { x: string; constant: string },
  of: (value: number) => number,
): string | undefined {
  const channels = context.shape(x)?.at(-1) ?? 0;
  const given = context.isAlongChannels(constant, x) ? context.floats(constant) : undefined;
  if (!given || (given.length !== 1 && given.length !== channels)) return undefined;
  const values = Float32Array.from({ length: channels }, (_, c) => of(given[given.length === 1 ? 0 : c] ?? Number.NaN));
  return values.every(Number.isFinite) ? context.derived(`${node.output} constant`, values) : undefined;
}

export const arithmeticRules = {
  Add: {
    read: Add,
    becomes: ['Add', 'Affine'],
    limits: ['it broadcasts […] and […]', 'it adds a constant that is not one value a channel'],
  },
  Div: {
    read: Div,
    becomes: ['Affine'],
    limits: [
      'only an activation divided by a constant',
      'it divides by a constant that is neither one value a channel nor positive',
    ],
  },
  Mul: {
    read: Mul,
    becomes: ['Mul', 'Affine'],
    limits: [
      'its factors are one number an image',
      'it broadcasts […] and […]',
      'it multiplies by a constant that is neither one value a channel nor positive',
    ],
  },
  Sub: {
    read: Sub,
    becomes: ['Affine'],
    limits: ['only an activation less a constant', 'it subtracts a constant that is not one value a channel'],
  },
} satisfies Record<string, Operator>;
