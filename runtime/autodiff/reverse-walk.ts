/**
 * @file Builds the steps: forward in the graph's order, then backward against it.
 *
 * A tensor that several nodes read gets the sum of their gradients, here and nowhere else. What a backward rule reads is
 * the tensor itself, a copy restored from its 8-bit codes, or the same computed again.
 */
import { elements, type Graph, shapeOf } from '../graph/graph.ts';
import { entriesOf, neededAgain } from './again.ts';
import type { NodePlan } from './node-plans.ts';
import {
  codedBytes,
  emptyStep,
  gradientName,
  type Pass,
  type TrainingGraph,
  type TrainingStep,
  type Value,
} from './training-graph.ts';

export interface WalkOptions {
  readonly kept: 'float' | '8bit';
  readonly recompute: readonly (readonly string[])[];
}

/** Values below which codes are not worth their two steps. */
const SMALLEST_CODED = 1024;

/** How a tensor is read in the backward pass; `again` marks what a recomputed run makes. */
const againName = (tensor: string): string => `${tensor} again`;

export class ReverseWalk {
  readonly #graph: Graph;
  readonly #plans: readonly NodePlan[];
  readonly #options: WalkOptions;
  readonly #values = new Map<string, Value>();
  readonly #steps: TrainingStep[] = [];
  /** Gradients that flow into each tensor; `fresh` ones are owned by nobody else and may be added to. */
  readonly #incoming = new Map<string, { value: string; fresh: boolean }[]>();
  /** Run of nodes that each node is computed again with. */
  readonly #runOf = new Map<string, readonly NodePlan[]>();
  /** Run that makes each tensor again. */
  readonly #madeAgain = new Map<string, readonly NodePlan[]>();
  /** Tensors kept as codes. */
  readonly #coded = new Set<string>();

  constructor(graph: Graph, plans: readonly NodePlan[], options: WalkOptions) {
    this.#graph = graph;
    this.#plans = plans;
    this.#options = options;
    for (const names of options.recompute) {
      const members = new Set(names);
      const run = plans.filter(({ node }) => members.has(node.name));
      for (const { node } of run) {
        this.#runOf.set(node.name, run);
        this.#madeAgain.set(node.output, run);
      }
    }
  }

  run(cut: string, labels: string, loss: string): Pick<TrainingGraph, 'values' | 'steps'> {
    const keepers = this.#keepers();
    if (this.#options.kept === '8bit') this.#chooseCoded(keepers);
    this.#activation(cut);
    this.#activation(labels);
    this.#compress(cut, keepers);
    for (const plan of this.#plans) {
      const again = this.#runOf.has(plan.node.name);
      this.#forward(plan, 'forward', (tensor) => tensor, !again);
      this.#compress(plan.node.output, keepers);
    }
    for (const [tensor, node] of keepers) if (!this.#coded.has(tensor)) this.#keep(tensor, node);
    this.#value({ name: gradientName(loss), bytesPerImage: 4, kind: 'gradient' });
    this.#incoming.set(loss, [{ value: gradientName(loss), fresh: false }]);
    const done = new Set<readonly NodePlan[]>();
    for (const plan of this.#plans.toReversed()) {
      if (!plan.onPath) continue;
      const run = this.#runOf.get(plan.node.name);
      if (run && !done.has(run)) {
        done.add(run);
        this.#recompute(run);
      }
      this.#backward(plan);
    }
    return { values: this.#values, steps: this.#steps };
  }

  /** Tensors that outlive the forward pass, each with the first node whose backward needs it. */
  #keepers(): Map<string, string> {
    const keepers = new Map<string, string>();
    const keep = (tensor: string, node: string): void => {
      if (!keepers.has(tensor)) keepers.set(tensor, node);
    };
    for (const { node, saves } of this.#plans) {
      for (const save of saves) {
        if (save.kind === 'own') continue;
        const tensor = save.kind === 'output' ? node.output : (node.inputs[save.index] ?? '');
        if (this.#againFor(tensor, node.name)) continue;
        keep(tensor, node.name);
      }
    }
    for (const run of new Set(this.#runOf.values())) {
      for (const { tensor, node } of entriesOf(run)) keep(tensor, node);
    }
    return keepers;
  }

  /** True if the node's backward reads the tensor as its own run has made it again. */
  #againFor(tensor: string, node: string): boolean {
    const run = this.#runOf.get(node);
    return run !== undefined && this.#madeAgain.get(tensor) === run;
  }

  /** What a run of nodes starts from again stays a float tensor: its codes would be read as if they were exact. */
  #chooseCoded(keepers: ReadonlyMap<string, string>): void {
    const entries = new Set([...this.#runOf.values()].flatMap((run) => entriesOf(run).map(({ tensor }) => tensor)));
    for (const tensor of keepers.keys()) {
      if (elements(shapeOf(this.#graph, tensor)) >= SMALLEST_CODED && !entries.has(tensor)) this.#coded.add(tensor);
    }
  }

  #compress(tensor: string, keepers: ReadonlyMap<string, string>): void {
    if (!this.#coded.has(tensor)) return;
    const shape = shapeOf(this.#graph, tensor);
    const savedBy = keepers.get(tensor) ?? tensor;
    const code = `${tensor} code`;
    this.#value({ name: code, bytesPerImage: codedBytes(shape), kind: 'saved', savedBy });
    this.#steps.push({ ...this.#move('compress', 'Code', tensor), inputs: [tensor], output: code });
  }

  /** Name under which a node's backward reads a tensor; restores it first if it is kept as codes. */
  #read(tensor: string, node: string): string {
    if (this.#againFor(tensor, node)) return againName(tensor);
    if (!this.#coded.has(tensor)) return tensor;
    const name = this.#fresh(`${tensor} restored`, 'activation', tensor);
    this.#steps.push({ ...this.#move('restore', 'Code', tensor), inputs: [`${tensor} code`], output: name });
    return name;
  }

  #recompute(run: readonly NodePlan[]): void {
    const made = new Set(run.map(({ node }) => node.output));
    for (const plan of neededAgain(run)) {
      this.#activation(plan.node.output, againName(plan.node.output));
      this.#forward(plan, 'recompute', (tensor) => (made.has(tensor) ? againName(tensor) : tensor), true);
    }
  }

  #forward(plan: NodePlan, pass: Pass, rename: (tensor: string) => string, saving: boolean): void {
    const { node, kernel, shapes, wants, saves } = plan;
    const output = rename(node.output);
    if (pass === 'forward') this.#activation(node.output);
    const own = saving ? saves.flatMap((save) => (save.kind === 'own' ? [save] : [])) : [];
    for (const { name, bytesPerImage } of own) {
      const value = { name: savedName(plan, name), bytesPerImage, kind: 'saved' } as const;
      this.#value(pass === 'forward' ? { ...value, savedBy: node.name } : value);
    }
    const [first] = node.inputs;
    this.#steps.push({
      ...common(plan),
      pass,
      inputs: node.inputs.map(rename),
      output,
      saved: Object.fromEntries(own.map(({ name }) => [name, savedName(plan, name)])),
      savedElements: Object.fromEntries(own.map(({ name, elementsPerImage }) => [name, elementsPerImage])),
      dOutput: null,
      dInputs: [],
      dParameters: {},
      inPlace: kernel.inPlace && first !== undefined ? { from: rename(first), to: output } : null,
      workspace: kernel.workspace?.(shapes, node.attributes, 'forward', wants) ?? 0,
      flops: kernel.flops(shapes, node.attributes),
    });
  }

  #backward(plan: NodePlan): void {
    const { node, kernel, shapes, wants, saves } = plan;
    if ('none' in kernel.backward) return;
    const dOutput = this.#sumIncoming(node.output);
    if (dOutput === null) return;
    const { passThrough = [], inPlace } = kernel.backward;
    const dInputs = node.inputs.map((input, index) => {
      if (!wants.inputs[index]) return null;
      const through = passThrough.includes(index);
      const value = through ? dOutput : this.#fresh(gradientName(input), 'gradient', input);
      this.#incoming.set(input, [...(this.#incoming.get(input) ?? []), { value, fresh: !through }]);
      return through ? null : value;
    });
    const dParameters = Object.fromEntries(
      Object.entries(node.parameters).filter(([role]) => wants.parameters.has(role)),
    );
    if (dInputs.every((value) => value === null) && Object.keys(dParameters).length === 0) return;
    const savedInputs = new Set(saves.flatMap((save) => (save.kind === 'input' ? [save.index] : [])));
    const inputs = node.inputs.map((input, index) => (savedInputs.has(index) ? this.#read(input, node.name) : null));
    const output = saves.some(({ kind }) => kind === 'output') ? this.#read(node.output, node.name) : null;
    const own = saves.flatMap((save) => (save.kind === 'own' ? [save] : []));
    const [dx] = dInputs;
    const gradients = dInputs.filter((value) => value !== null).length + Object.keys(dParameters).length;
    this.#steps.push({
      ...common(plan),
      pass: 'backward',
      inputs,
      output,
      saved: Object.fromEntries(own.map(({ name }) => [name, savedName(plan, name)])),
      savedElements: Object.fromEntries(own.map(({ name, elementsPerImage }) => [name, elementsPerImage])),
      dOutput,
      dInputs,
      dParameters,
      inPlace: inPlace && typeof dx === 'string' ? { from: dOutput, to: dx } : null,
      workspace: kernel.workspace?.(shapes, node.attributes, 'backward', wants) ?? 0,
      flops:
        kernel.backwardFlops?.(shapes, node.attributes, wants) ??
        Math.max(1, gradients) * kernel.flops(shapes, node.attributes),
    });
  }

  /** One value that holds the whole gradient of a tensor; null if nothing flows into it. */
  #sumIncoming(tensor: string): string | null {
    const incoming = this.#incoming.get(tensor) ?? [];
    if (incoming.length <= 1) return incoming[0]?.value ?? null;
    const target = incoming.find(({ fresh }) => fresh);
    const sum = target?.value ?? this.#fresh(gradientName(tensor), 'gradient', tensor);
    let copied = target !== undefined;
    for (const { value } of incoming) {
      if (value === sum) continue;
      // Where all summands are shared, the first is copied.
      this.#steps.push({
        ...this.#move('accumulate', copied ? 'Accumulate' : 'Copy', tensor),
        inputs: [value],
        output: sum,
      });
      copied = true;
    }
    return sum;
  }

  /** A step that moves one tensor. */
  #move(pass: Pass, op: string, tensor: string): TrainingStep {
    const shape = shapeOf(this.#graph, tensor);
    return { ...emptyStep(pass, op, tensor, shape), flops: elements(shape) };
  }

  /** A new value of a tensor's size; numbered if the name is taken. */
  #fresh(wanted: string, kind: Value['kind'], tensor: string): string {
    let name = wanted;
    for (let copy = 2; this.#values.has(name); copy++) name = `${wanted} (${copy})`;
    this.#value({ name, bytesPerImage: 4 * elements(shapeOf(this.#graph, tensor)), kind });
    return name;
  }

  #activation(tensor: string, name = tensor): void {
    this.#value({ name, bytesPerImage: 4 * elements(shapeOf(this.#graph, tensor)), kind: 'activation' });
  }

  #value(value: Value): void {
    this.#values.set(value.name, value);
  }

  #keep(tensor: string, savedBy: string): void {
    const value = this.#values.get(tensor);
    if (value) this.#values.set(tensor, { ...value, savedBy });
  }
}

const savedName = ({ node }: NodePlan, name: string): string => `${node.name} ${name}`;

function common({ node, shapes }: NodePlan) {
  return {
    op: node.op,
    node: node.name,
    attributes: node.attributes,
    shapes,
    parameters: node.parameters,
  } as const;
}
