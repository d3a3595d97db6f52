/** @file A kernel's sample with numbers: drawn, run forward and run backward by the kernel's own float64 loops. */
import { type ActivationAttributes, hasActivation } from '../../kernels/activation.ts';
import { kernels, type OpName } from '../../kernels/index.ts';
import type { BackwardRule, ForwardMode, Kernel, KernelSample, NodeShapes, Save, Wants } from '../../kernels/kernel.ts';
import type { SmoothActivationAttributes } from '../../kernels/smooth-activation.ts';
import { type Attributes, elements, type Node } from '../../runtime/graph/graph.ts';
import { Random } from '../../runtime/train/random.ts';
import { normals, parameterValues } from './draws.ts';

type Arrays = Readonly<Record<string, Float64Array>>;

export interface KernelCase {
  readonly kernel: Kernel;
  readonly rule: BackwardRule;
  readonly node: Node;
  readonly shapes: NodeShapes;
  readonly batch: number;
  readonly inputs: readonly Float64Array[];
  readonly parameters: Arrays;
  /** Every gradient there is; class indices have none. */
  readonly wants: Wants;
}

export const allKernels = Object.entries(kernels) as unknown as readonly [OpName, Kernel][];

/** How far pre-activations stay from a kink: far above the step of the differences. */
const MARGIN = 1e-3;

/** Numbers for a sample. Pre-activations cover both sides of every kink and keep a margin to it. */
export function drawCase(kernel: Kernel, sample: KernelSample, seed: number, changes: Attributes = {}): KernelCase {
  if ('none' in kernel.backward) throw new Error(`${kernel.op} has no rule`);
  const attributes = { ...sample.attributes, ...changes };
  const roles = Object.keys(sample.parameters);
  const node: Node = {
    op: kernel.op,
    name: 'node',
    inputs: sample.inputs.map((_, index) => `x${index}`),
    parameters: Object.fromEntries(roles.map((role) => [role, role])),
    output: 'y',
    attributes,
  };
  const output = kernel.shape(node, sample.inputs, sample.parameters);
  const shapes: NodeShapes = { inputs: sample.inputs, output, parameters: sample.parameters };
  const batch = 2;
  const random = new Random(seed);
  for (let attempt = 0; attempt < 1000; attempt++) {
    const parameters = Object.fromEntries(
      roles.map((role) => [role, parameterValues(random, role, sample.parameters[role] ?? [])]),
    );
    const inputs = sample.inputs.map((shape, index) => {
      if (isLabel(kernel, index)) {
        return Float64Array.from({ length: batch }, () => random.integer(0, elements(sample.inputs[0] ?? []) - 1));
      }
      if (kernel.op === 'MaxPool') return distinct(random, batch * elements(shape));
      return normals(random, [batch, ...shape], 'high' in attributes ? 3 : 0, deviation(attributes));
    });
    const wants: Wants = {
      inputs: sample.inputs.map((_, index) => !isLabel(kernel, index) && !kernel.constants?.includes(index)),
      parameters: new Set(roles.filter((role) => kernel.trainable.includes(role))),
    };
    const drawn = { kernel, rule: kernel.backward, node, shapes, batch, inputs, parameters, wants };
    if (nearestKink(drawn) >= MARGIN) return drawn;
  }
  throw new Error(`${kernel.op} ${sample.title}: no draw of seed ${seed} keeps away from the kinks`);
}

function isLabel(kernel: Kernel, index: number): boolean {
  return kernel.op === 'SoftmaxCrossEntropy' && index === 1;
}

/** Numbers around zero in random order, each about twice the margin from every other: a maximum has no rival. */
function distinct(random: Random, count: number): Float64Array {
  const order = Array.from({ length: count }, (_, i) => ({ i, key: random.bits() })).sort((a, b) => a.key - b.key);
  const values = new Float64Array(count);
  for (const [rank, { i }] of order.entries()) values[i] = (rank - count / 2) * 2 ** -9;
  return values;
}

/** Wide enough for both sides of every kink. */
function deviation(attributes: Attributes): number {
  if ('high' in attributes) return 4;
  return 'function' in attributes ? 2 : 1;
}

function nearestKink(drawn: KernelCase): number {
  if (drawn.kernel.op === 'Activation') return nearestBend(drawn);
  if (drawn.kernel.op === 'Distance') return nearestTie(drawn);
  const { low, high } = drawn.node.attributes as ActivationAttributes;
  if (!('low' in drawn.node.attributes) || !hasActivation({ low, high, derivative: 'exact' })) return Infinity;
  const linear = { ...drawn, node: { ...drawn.node, attributes: { ...drawn.node.attributes, low: null, high: null } } };
  const kinks = [low, high].filter((kink) => kink !== null);
  const distances = [...runForward(linear, []).output].flatMap((a) => kinks.map((kink) => Math.abs(a - kink)));
  return Math.min(...distances);
}

/** The least difference between two inputs, whose absolute value bends at zero. */
function nearestTie({ inputs: [a = new Float64Array(), b] }: KernelCase): number {
  return Math.min(...a.map((value, i) => Math.abs(value - (b?.[i] ?? Number.NaN))));
}

/** Distance of the inputs from where an activation's derivative jumps. */
function nearestBend({ node, inputs: [x = new Float64Array()] }: KernelCase): number {
  const { function: name, alpha, beta } = node.attributes as SmoothActivationAttributes;
  const bends = { hardSwish: [-3, 3], hardSigmoid: [-beta / alpha, (1 - beta) / alpha], leakyRelu: [0], elu: [0] };
  const kinks: readonly number[] = Object.entries(bends).find(([key]) => key === name)?.[1] ?? [];
  return Math.min(...[...x].flatMap((value) => kinks.map((kink) => Math.abs(value - kink))));
}

export interface ForwardResult {
  readonly output: Float64Array;
  readonly saved: Arrays;
}

/** The kernel's forward pass, keeping what `saves` declares. */
export function runForward(
  { kernel, node, shapes, batch, ...drawn }: KernelCase,
  saves: readonly Save[],
  { inputs = drawn.inputs, parameters = drawn.parameters } = {},
): ForwardResult {
  const output = new Float64Array(batch * elements(shapes.output)).fill(Number.NaN);
  const own = saves.flatMap((save) => (save.kind === 'own' ? [save] : []));
  const saved = Object.fromEntries(
    own.map(({ name, elementsPerImage }) => [name, new Float64Array(batch * elementsPerImage)]),
  );
  // Training's own arithmetic, but running statistics stay where they are.
  const mode: ForwardMode = 'again';
  kernel.forward({ batch, attributes: node.attributes, shapes, inputs, parameters, mode, output, saved });
  return { output, saved };
}

export interface Gradients {
  readonly dInputs: readonly (Float64Array | null)[];
  readonly dParameters: Arrays;
}

/**
 * The rule's backward pass, given nothing but what it declared to save. Gradients of inputs start as NaN, because they
 * must be overwritten; those of parameters start at `start`, because they must be added to.
 */
export function runBackward(drawn: KernelCase, dOutput: Float64Array, wants: Wants, start = 0): Gradients {
  const { rule, node, shapes, batch, inputs, parameters } = drawn;
  const saves = rule.saves(node, shapes, wants);
  const { output, saved } = runForward(drawn, saves);
  const keeps = (index: number): boolean => saves.some((save) => save.kind === 'input' && save.index === index);
  const passes = (index: number): boolean => rule.passThrough?.includes(index) ?? false;
  const dInputs = inputs.map(({ length }, index) =>
    wants.inputs[index] && !passes(index) ? new Float64Array(length).fill(Number.NaN) : null,
  );
  const dParameters = Object.fromEntries(
    [...wants.parameters].map((role) => [role, new Float64Array(parameters[role]?.length ?? 0).fill(start)]),
  );
  rule.apply({
    batch,
    attributes: node.attributes,
    shapes,
    dOutput,
    inputs: inputs.map((input, index) => (keeps(index) ? input : undefined)),
    output: saves.some(({ kind }) => kind === 'output') ? output : undefined,
    saved,
    parameters,
    dInputs,
    dParameters,
  });
  return { dInputs: dInputs.map((dx, index) => (wants.inputs[index] && passes(index) ? dOutput : dx)), dParameters };
}

/** Random numbers in the shape of the output, as every test's cotangent: a plain sum would hide errors of norms. */
export function drawCotangent({ shapes, batch }: KernelCase, seed: number): Float64Array {
  return normals(new Random(seed, 1), [batch, ...shapes.output]);
}
