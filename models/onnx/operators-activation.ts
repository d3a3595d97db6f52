/** @file Rules of activations: clipping ones become Clip, smooth ones Activation. */
import { noActivation } from '../../kernels/activation.ts';
import type { ActivationFunction } from '../../kernels/smooth-functions.ts';
import type { ImportContext } from './import-context.ts';
import type { OnnxNode } from './onnx-node.ts';
import type { Operator, Rule } from './rule.ts';

const Relu: Rule = (node, context) =>
  context.emit('Clip', node, node.inputs.slice(0, 1), {}, { ...noActivation, low: 0 });

const Clip: Rule = (node, context) => readClip(node, context);

/** Reads a Clip; `x` stands in for its own input, and `atLeast` for a lower limit. */
export function readClip(
  node: OnnxNode,
  context: ImportContext,
  x = node.inputs[0] ?? '',
  atLeast: number | null = null,
): string | undefined {
  const limit = (attribute: 'min' | 'max', input: number): number | null | undefined => {
    const name = node.inputs[input];
    if (name === undefined || name === '') return finite(node.float(attribute, Number.NaN));
    const [value] = context.floats(name) ?? [];
    return value === undefined ? undefined : finite(value);
  };
  const low = limit('min', 1);
  const high = limit('max', 2);
  if (low === undefined || high === undefined) return 'its limits are not constants';
  return context.emit('Clip', node, [x], {}, { ...noActivation, low: atLeast ?? low, high });
}

/** Opset 6 to 10 write "no limit" as the largest float. */
const finite = (value: number): number | null => (Math.abs(value) < 3e38 ? value : null);

/** Max and Min of an activation and one number. */
const limit =
  (end: 'low' | 'high'): Rule =>
  (node, context) => {
    const numbers = node.inputs.map((input) => context.scalar(input));
    const value = numbers.find((number) => number !== undefined);
    const x = node.inputs.find((_, i) => numbers[i] === undefined);
    if (node.inputs.length !== 2 || value === undefined || x === undefined) return 'only with one number';
    return context.emit('Clip', node, [x], {}, { ...noActivation, [end]: value });
  };

/** Adds an Activation; kept exactly until the planner chooses otherwise. */
export function emitActivation(
  context: ImportContext,
  node: OnnxNode,
  x: string,
  name: ActivationFunction,
  [alpha = 0, beta = 0]: readonly number[] = [],
): undefined {
  return context.emit('Activation', node, [x], {}, { function: name, alpha, beta, save: 'float' });
}

/** A node that is the function itself; its ONNX attributes alpha and beta with their defaults. */
const smooth =
  (name: ActivationFunction, defaults: readonly number[] = []): Rule =>
  (node, context) => {
    const parameters = defaults.map((value, i) => node.float(['alpha', 'beta'][i] ?? '', value));
    // The derivative is told from the output, which falls where alpha is negative.
    if ((parameters[0] ?? 0) < 0) return FALLING;
    return emitActivation(context, node, node.inputs[0] ?? '', name, parameters);
  };

const FALLING = 'its alpha is negative';

const Gelu: Rule = (node, context) =>
  smooth(node.text('approximate', 'none') === 'tanh' ? 'geluTanh' : 'gelu')(node, context);

const Swish: Rule = (node, context) =>
  node.float('alpha', 1) === 1 ? smooth('silu')(node, context) : 'only with alpha 1';

/** Where it is the end of the file, it never comes to a rule: what is trained ends before it. */
const Softmax: Rule = () => SOFTMAX_LIMIT;

export const SOFTMAX_LIMIT = 'only at the end, over the classes of [N, classes]';

const softmax: Operator = { read: Softmax, becomes: ['SoftmaxCrossEntropy'], limits: [SOFTMAX_LIMIT] };
const always = { becomes: ['Activation'], limits: [] } satisfies Partial<Operator>;
const bound = { becomes: ['Clip'], limits: ['only with one number'] } satisfies Partial<Operator>;

export const activationRules = {
  Clip: { read: Clip, becomes: ['Clip'], limits: ['its limits are not constants'] },
  Elu: { read: smooth('elu', [1]), ...always, limits: [FALLING] },
  Gelu: { read: Gelu, ...always, since: 20 },
  HardSigmoid: { read: smooth('hardSigmoid', [0.2, 0.5]), ...always, limits: [FALLING] },
  HardSwish: { read: smooth('hardSwish'), ...always, since: 14 },
  LeakyRelu: { read: smooth('leakyRelu', [0.01]), ...always, limits: [FALLING] },
  LogSoftmax: softmax,
  Max: { read: limit('low'), ...bound },
  Min: { read: limit('high'), ...bound },
  Relu: { read: Relu, becomes: ['Clip'], limits: [] },
  Sigmoid: { read: smooth('sigmoid'), ...always },
  Softmax: softmax,
  Swish: { read: Swish, ...always, limits: ['only with alpha 1'], since: 24 },
  Tanh: { read: smooth('tanh'), ...always },
} satisfies Record<string, Operator>;
