/**
 * @file The reverse walk: a graph and what trains in it become a training graph of steps over named values.
 *
 * It knows no op by name. Each node's rule (kernels/) says what it keeps and which gradients it passes through; nothing
 * outside the path from a trained parameter to the loss is built. A tensor that several nodes read gets the sum of their
 * gradients, here and nowhere else.
 */

import { kernelOf } from '../../kernels/index.ts';
import type { Kernel, NodeShapes, Save, Wants } from '../../kernels/kernel.ts';
import { UnsupportedOpError } from '../errors.ts';
import { elements, type Graph, type Node, shapeOf } from '../graph/graph.ts';
import { nodeShapes } from '../graph/node-shapes.ts';
import { findCut } from './cut.ts';

/** A tensor of one image that some step writes and others read. */
export interface Value {
  readonly name: string;
  readonly bytesPerImage: number;
  readonly kind: 'activation' | 'gradient' | 'saved';
  /** Node whose backward needs it, if it must outlive the forward pass. */
  readonly savedBy?: string;
}

/** One thing to execute. Operands are value names; parameters are parameter names. */
export interface TrainingStep {
  readonly pass: 'forward' | 'backward' | 'accumulate';
  readonly op: string;
  readonly node: string;
  readonly attributes: Node['attributes'];
  readonly shapes: NodeShapes;
  /** Forward: what it reads. Backward: the saved inputs, null where not needed. */
  readonly inputs: readonly (string | null)[];
  /** What it writes (forward, accumulate); null in a backward pass. */
  readonly output: string | null;
  readonly parameters: Readonly<Record<string, string>>;
  readonly saved: Readonly<Record<string, string>>;
  readonly dOutput: string | null;
  readonly dInputs: readonly (string | null)[];
  /** Role -> parameter whose gradient is added to. */
  readonly dParameters: Readonly<Record<string, string>>;
  /** Operand pairs that may share memory if the first dies here. */
  readonly inPlace: { readonly from: string; readonly to: string } | null;
  readonly workspaceBytes: number;
  readonly flops: number;
}

export interface TrainingGraph {
  readonly graph: Graph;
  /** The one tensor that crosses the border from the frozen prefix; the image if there is no prefix. */
  readonly cut: string;
  /** Nodes below and above the cut. */
  readonly prefix: readonly Node[];
  readonly suffix: readonly Node[];
  readonly values: ReadonlyMap<string, Value>;
  /** Forward steps, then backward steps. */
  readonly steps: readonly TrainingStep[];
  readonly logits: string;
  readonly labels: string;
  readonly loss: string;
  /** The cotangent the engine fills in: dLoss of each image, 1 / batch for a mean. */
  readonly seed: string;
}

export interface LossOptions {
  /** Probability mass spread over all classes, 0 to below 1; default 0. */
  readonly labelSmoothing?: number;
}

const LOSS = 'loss';
const LABELS = 'labels';

/**
 * Differentiates.
 * @param trains names of the parameters that learn
 * @throws UnsupportedOpError naming every op above the cut that has no kernel or no backward rule
 */
export function differentiate(graph: Graph, trains: ReadonlySet<string>, options: LossOptions = {}): TrainingGraph {
  const cut = findCut(graph, trains);
  const prefix = graph.nodes.slice(0, cut.after + 1);
  const lossNode: Node = {
    op: 'SoftmaxCrossEntropy',
    name: LOSS,
    inputs: [graph.output, LABELS],
    parameters: {},
    output: LOSS,
    attributes: { labelSmoothing: options.labelSmoothing ?? 0 },
  };
  const withLoss: Graph = {
    ...graph,
    nodes: [...graph.nodes, lossNode],
    shapes: new Map([...graph.shapes, [LABELS, [1]], [LOSS, [1]]]),
  };
  const suffix = withLoss.nodes.slice(cut.after + 1);
  const walk = new ReverseWalk(withLoss, suffix, trains);
  return {
    graph,
    cut: cut.tensor,
    prefix,
    suffix,
    ...walk.run(cut.tensor, LABELS, LOSS),
    logits: graph.output,
    labels: LABELS,
    loss: LOSS,
    seed: gradientName(LOSS),
  };
}

export const gradientName = (tensor: string): string => `d ${tensor}`;

interface Plan {
  readonly node: Node;
  readonly kernel: Kernel;
  readonly shapes: NodeShapes;
  readonly wants: Wants;
  /** True if some gradient is wanted of it. */
  readonly onPath: boolean;
  readonly saves: readonly Save[];
}

class ReverseWalk {
  readonly #graph: Graph;
  readonly #plans: readonly Plan[];
  readonly #values = new Map<string, Value>();
  readonly #steps: TrainingStep[] = [];
  /** Gradients that flow into each tensor; `fresh` ones are owned by nobody else and may be added to. */
  readonly #incoming = new Map<string, { value: string; fresh: boolean }[]>();

  constructor(graph: Graph, suffix: readonly Node[], trains: ReadonlySet<string>) {
    this.#graph = graph;
    this.#plans = planNodes(graph, suffix, trains);
  }

  run(cut: string, labels: string, loss: string): Pick<TrainingGraph, 'values' | 'steps'> {
    this.#activation(cut);
    this.#activation(labels);
    for (const plan of this.#plans) this.#forward(plan);
    this.#value({ name: gradientName(loss), bytesPerImage: 4, kind: 'gradient' });
    this.#incoming.set(loss, [{ value: gradientName(loss), fresh: false }]);
    for (const plan of this.#plans.toReversed()) if (plan.onPath) this.#backward(plan);
    return { values: this.#values, steps: this.#steps };
  }

  #forward({ node, kernel, shapes, wants, onPath, saves }: Plan): void {
    this.#activation(node.output);
    const saved: Record<string, string> = {};
    for (const save of saves) {
      if (save.kind === 'own') {
        const name = `${node.name} ${save.name}`;
        saved[save.name] = name;
        this.#value({ name, bytesPerImage: save.bytesPerImage, kind: 'saved', savedBy: node.name });
      } else {
        this.#keep(save.kind === 'output' ? node.output : (node.inputs[save.index] ?? ''), node.name);
      }
    }
    const [first] = node.inputs;
    this.#steps.push({
      ...this.#common(node, shapes),
      pass: 'forward',
      inputs: node.inputs,
      output: node.output,
      saved: onPath ? saved : {},
      dOutput: null,
      dInputs: [],
      dParameters: {},
      inPlace: kernel.inPlace && first !== undefined ? { from: first, to: node.output } : null,
      workspaceBytes: kernel.workspace?.(shapes, node.attributes, 'forward', wants) ?? 0,
      flops: kernel.flops(shapes, node.attributes),
    });
  }

  #backward({ node, kernel, shapes, wants, saves }: Plan): void {
    if ('none' in kernel.backward) return;
    const dOutput = this.#sumIncoming(node.output);
    if (dOutput === null) return;
    const { passThrough = [], inPlace } = kernel.backward;
    const dInputs = node.inputs.map((input, index) => {
      if (!wants.inputs[index]) return null;
      const through = passThrough.includes(index);
      const value = through ? dOutput : this.#freshGradient(input);
      this.#incoming.set(input, [...(this.#incoming.get(input) ?? []), { value, fresh: !through }]);
      return through ? null : value;
    });
    const dParameters = Object.fromEntries(
      Object.entries(node.parameters).filter(([role]) => wants.parameters.has(role)),
    );
    if (dInputs.every((value) => value === null) && Object.keys(dParameters).length === 0) return;
    const savedInputs = new Set(saves.flatMap((save) => (save.kind === 'input' ? [save.index] : [])));
    const [dx] = dInputs;
    // A convolution costs as much again for each of its two gradients; for the rest the forward count is a fair guess.
    const products = dInputs.filter((value) => value !== null).length + Number('weight' in dParameters);
    this.#steps.push({
      ...this.#common(node, shapes),
      pass: 'backward',
      inputs: node.inputs.map((input, index) => (savedInputs.has(index) ? input : null)),
      output: saves.some(({ kind }) => kind === 'output') ? node.output : null,
      saved: Object.fromEntries(
        saves.flatMap((save) => (save.kind === 'own' ? [[save.name, `${node.name} ${save.name}`]] : [])),
      ),
      dOutput,
      dInputs,
      dParameters,
      inPlace: inPlace && typeof dx === 'string' ? { from: dOutput, to: dx } : null,
      workspaceBytes: kernel.workspace?.(shapes, node.attributes, 'backward', wants) ?? 0,
      flops: Math.max(1, products) * kernel.flops(shapes, node.attributes),
    });
  }

  /** One value that holds the whole gradient of a tensor; null if nothing flows into it. */
  #sumIncoming(tensor: string): string | null {
    const incoming = this.#incoming.get(tensor) ?? [];
    if (incoming.length <= 1) return incoming[0]?.value ?? null;
    const target = incoming.find(({ fresh }) => fresh);
    const sum = target?.value ?? this.#freshGradient(tensor);
    for (const { value } of incoming) if (value !== sum) this.#accumulate(tensor, value, sum, target === undefined);
    return sum;
  }

  /** Adds `value` to `sum`. Where all summands are shared, the first step copies: `sum` is cleared before. */
  #accumulate(tensor: string, value: string, sum: string, clear: boolean): void {
    const shape = shapeOf(this.#graph, tensor);
    const first = clear && !this.#steps.some(({ pass, output }) => pass === 'accumulate' && output === sum);
    this.#steps.push({
      pass: 'accumulate',
      op: first ? 'Copy' : 'Accumulate',
      node: tensor,
      attributes: {},
      shapes: { inputs: [shape], output: shape, parameters: {} },
      inputs: [value],
      output: sum,
      parameters: {},
      saved: {},
      dOutput: null,
      dInputs: [],
      dParameters: {},
      inPlace: null,
      workspaceBytes: 0,
      flops: elements(shape),
    });
  }

  #common(node: Node, shapes: NodeShapes) {
    return {
      op: node.op,
      node: node.name,
      attributes: node.attributes,
      shapes,
      parameters: node.parameters,
    } as const;
  }

  #freshGradient(tensor: string): string {
    let name = gradientName(tensor);
    for (let copy = 2; this.#values.has(name); copy++) name = `${gradientName(tensor)} (${copy})`;
    this.#value({ name, bytesPerImage: 4 * elements(shapeOf(this.#graph, tensor)), kind: 'gradient' });
    return name;
  }

  #activation(tensor: string): void {
    this.#value({ name: tensor, bytesPerImage: 4 * elements(shapeOf(this.#graph, tensor)), kind: 'activation' });
  }

  #value(value: Value): void {
    this.#values.set(value.name, value);
  }

  #keep(tensor: string, savedBy: string): void {
    const value = this.#values.get(tensor);
    if (value && value.savedBy === undefined) this.#values.set(tensor, { ...value, savedBy });
  }
}

/** Marks the path first: which gradients are wanted of each node, and what it keeps for them. */
function planNodes(graph: Graph, suffix: readonly Node[], trains: ReadonlySet<string>): Plan[] {
  const needsGradient = new Set<string>();
  const unsupported = new Map<string, { nodes: string[]; reason: string }>();
  const plans = suffix.map((node): Plan | null => {
    const kernel = kernelOf(node);
    const parameters = new Set(
      Object.entries(node.parameters).flatMap(([role, name]) => (trains.has(name) ? [role] : [])),
    );
    const wants: Wants = { inputs: node.inputs.map((input) => needsGradient.has(input)), parameters };
    const onPath = wants.inputs.some(Boolean) || parameters.size > 0;
    const reason = refusal(node, kernel, onPath, parameters);
    if (!kernel || reason) {
      const op = String(node.attributes.onnxOp ?? node.op);
      const entry = unsupported.get(op) ?? { nodes: [], reason: reason ?? 'no kernel' };
      unsupported.set(op, { ...entry, nodes: [...entry.nodes, node.name] });
      return null;
    }
    if (onPath) needsGradient.add(node.output);
    const shapes = nodeShapes(graph, node);
    const saves = onPath && !('none' in kernel.backward) ? kernel.backward.saves(node, shapes, wants) : [];
    return { node, kernel, shapes, wants, onPath, saves };
  });
  if (unsupported.size > 0) {
    throw new UnsupportedOpError(
      `model "${graph.name}" cannot be trained that far down: these ops lie above the cut`,
      [...unsupported].map(([op, { nodes, reason }]) => ({ op, nodes, reason })),
      'train fewer blocks (--blocks), so that they fall into the frozen part, which onnxruntime runs',
    );
  }
  return plans.filter((plan) => plan !== null);
}

function refusal(node: Node, kernel: Kernel | undefined, onPath: boolean, trained: ReadonlySet<string>): string | null {
  if (!kernel) return String(node.attributes.reason ?? 'no kernel');
  if (onPath && 'none' in kernel.backward) return kernel.backward.none;
  const fixed = [...trained].filter((role) => !kernel.trainable.includes(role));
  return fixed.length > 0 ? `its ${fixed.join(', ')} cannot be trained` : null;
}
