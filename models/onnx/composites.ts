/** @file What exporters write as several ops and the graph knows as one: the patterns, and how a match becomes a node. */
import type { OpName } from '../../kernels/index.ts';
import type { Constants } from './constants.ts';
import type { ImportContext } from './import-context.ts';
import type { OnnxNode } from './onnx-node.ts';
import { emitActivation, readClip } from './operators-activation.ts';
import { emitLayerNorm, reducesChannels } from './operators-norm.ts';
import {
  activation,
  anything,
  constant,
  either,
  type Match,
  named,
  number,
  op,
  type Pattern,
  scaled,
} from './patterns.ts';

/** One op made of several. */
export interface Composite {
  /** What it is and how exporters write it, for the table of kernels/README.md. */
  readonly title: string;
  readonly becomes: OpName;
  readonly pattern: Pattern;
  /** ONNX ops that can be the last of it. */
  readonly ends: readonly string[];
  /** Adds the node; undefined when it was read, else the reason why not. `root` is the last ONNX node of the match. */
  readonly read: (match: Match, root: OnnxNode, context: ImportContext) => string | undefined;
}

const x = activation('x');

/** A Clip, alone or behind the Relu that PyTorch writes before it for a ReLU6. */
const clip = (low: number, high: number, inner: Pattern): Pattern => {
  const plain = op('Clip', [inner], (node, { constants }) => String(limits(node, constants)) === `${low},${high}`);
  if (low !== 0) return plain;
  const behind = op('Clip', [op('Relu', [inner])], (node, { constants }) => {
    const [least, most] = limits(node, constants);
    return !((least ?? 0) > 0) && most === high;
  });
  return either(plain, behind);
};

/** Limits of a Clip; NaN where there is none, undefined where it is computed. */
function limits(node: OnnxNode, constants: Constants): (number | undefined)[] {
  const [, low, high] = node.inputs;
  return [
    low ? constants.scalar(low) : node.float('min', Number.NaN),
    high ? constants.scalar(high) : node.float('max', Number.NaN),
  ];
}

const isNear = (found: number, value: number): boolean => Math.abs(found - value) <= 1e-3;

/** min(max(x + 3, 0), 6), six times the hard sigmoid. */
const sixfold = clip(0, 6, op('Add', [x, number(3)]));
const hardSigmoid = either(scaled(1 / 6, sixfold), clip(0, 1, op('Add', [scaled(1 / 6, x), number(0.5)])));
const hardSigmoidOp = op(
  'HardSigmoid',
  [x],
  (node) => isNear(node.float('alpha', 0.2), 1 / 6) && isNear(node.float('beta', 0.5), 0.5),
);
const hardSwish = either(scaled(1 / 6, x, sixfold), scaled(1, x, either(hardSigmoidOp, hardSigmoid)));

const silu = scaled(1, x, op('Sigmoid', [x]));

const gelu = scaled(0.5, x, op('Add', [op('Erf', [scaled(Math.SQRT1_2, x)]), number(1)]));

const cube = either(scaled(0.044715, op('Pow', [x, number(3)])), scaled(0.044715, x, x, x));
const square = either(scaled(0.044715, op('Pow', [x, number(2)])), scaled(0.044715, x, x));
const bend = Math.sqrt(2 / Math.PI);
const bent = either(scaled(bend, op('Add', [x, cube])), scaled(bend, x, op('Add', [square, number(1)])));
const geluTanh = scaled(0.5, x, op('Add', [op('Tanh', [bent]), number(1)]));

const centred = op('Sub', [x, named('mean', op('ReduceMean', [x]))]);
const deviation = op('Sqrt', [
  op('Add', [
    named('variance', op('ReduceMean', [either(op('Pow', [centred, number(2)]), op('Mul', [centred, centred]))])),
    number(null, 'epsilon'),
  ]),
]);
const layerNorm = op('Add', [op('Mul', [op('Div', [centred, deviation]), constant('scale')]), constant('shift')]);

const channelShuffle = op('Reshape', [
  op(
    'Transpose',
    [named('split', op('Reshape', [x, anything]))],
    (node) => String(node.integers('perm', [])) === '0,2,1,3,4',
  ),
  anything,
]);

const reluClip = op('Clip', [op('Relu', [x])], (node, { constants }) => !((limits(node, constants)[0] ?? 1) > 0));

/** A pattern for one of the smooth functions. */
const smooth = (name: Parameters<typeof emitActivation>[3], title: string, pattern: Pattern): Composite => ({
  title: `${name}: ${title}`,
  becomes: 'Activation',
  pattern,
  ends: ['Mul', 'Div', 'Clip'],
  read: (match, root, context) =>
    emitActivation(context, root, match.tensors.get('x') ?? '', name, name === 'hardSigmoid' ? [1 / 6, 0.5] : [0, 0]),
});

/** Larger ones first: what one has taken, the next does not see. */
export const composites: readonly Composite[] = [
  smooth('hardSwish', 'Mul by a hard sigmoid, or Add, Clip, Mul and Div', hardSwish),
  smooth('silu', 'Sigmoid and Mul', silu),
  smooth('gelu', 'Erf with Div, Add and Mul', gelu),
  smooth('geluTanh', 'Pow or Mul, Add, Tanh and Mul', geluTanh),
  smooth('hardSigmoid', 'Add, Clip and Div or Mul', hardSigmoid),
  {
    title: 'ReLU6: Relu and Clip',
    becomes: 'Clip',
    pattern: reluClip,
    ends: ['Clip'],
    read: ({ tensors }, root, context) => readClip(root, context, tensors.get('x'), 0),
  },
  {
    title: 'layer norm: ReduceMean, Sub, Pow or Mul, Add, Sqrt, Div, Mul and Add',
    becomes: 'LayerNorm',
    pattern: layerNorm,
    ends: ['Add'],
    read: readLayerNorm,
  },
  {
    title: 'channel shuffle: Reshape, Transpose and Reshape',
    becomes: 'ChannelShuffle',
    pattern: channelShuffle,
    ends: ['Reshape'],
    read: readChannelShuffle,
  },
];

function readLayerNorm({ tensors, numbers, named }: Match, root: OnnxNode, context: ImportContext): string | undefined {
  const [input = '', scale = '', shift = ''] = ['x', 'scale', 'shift'].map((name) => tensors.get(name));
  const means = ['mean', 'variance'].map((name) => named.get(name));
  if (!means.every((mean) => mean && reducesChannels(mean, input, context)))
    return 'its means are not over the channels';
  return emitLayerNorm(context, root, input, scale, shift, numbers.get('epsilon') ?? 0);
}

function readChannelShuffle({ tensors, named }: Match, root: OnnxNode, context: ImportContext): string | undefined {
  const input = tensors.get('x') ?? '';
  const [height = 0, width = 0, channels = 0] = context.shape(input) ?? [];
  const split = context.vector(named.get('split')?.inputs[1] ?? '') ?? named.get('split')?.integers('shape', []) ?? [];
  const joined = context.vector(root.inputs[1] ?? '') ?? root.integers('shape', []);
  const [, groups = 0, perGroup = 0, ...extents] = split;
  const fits = (wanted: number, found: number | undefined) => found === wanted || found === -1;
  if (
    context.isChannelsLast(input) ||
    groups < 1 ||
    !fits(channels / groups, perGroup) ||
    ![height, width].every((extent, i) => fits(extent, extents[i]) && fits(extent, joined[i + 2])) ||
    !fits(channels, joined[1])
  ) {
    return `its shapes [${split}] and [${joined}] do not shuffle ${channels} channels`;
  }
  return context.emit('ChannelShuffle', root, [input], {}, { groups });
}
