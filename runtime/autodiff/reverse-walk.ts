/**
 * @file Builds the steps: forward in the graph's order, then backward against it.
 *
 * A tensor that several nodes read gets the sum of their gradients (gradient-flows.ts). What a backward rule reads is
 * the tensor itself, a copy restored from its 8-bit codes, or the same computed again.
 */
import { elements, type Graph, shapeOf } from '../graph/graph.ts';
import { entriesOf, neededAgain } from './again.ts';
import { type Flow, GradientFlows } from './gradient-flows.ts';
import type { LocalPlan, NodePlan } from './node-plans.ts';
import { markSlices } from './slices.ts';
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
  /** Local losses, each back-propagated when the walk reaches its last node, so that little is alive. */
  readonly local: readonly LocalPlan[];
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

  /**
   * @param given tensors that are there before the first step: the cut, and the labels where the loss wants them
   * @param target the tensor whose gradient starts the backward pass
   */
  run(given: readonly string[], target: string): Pick<TrainingGraph, 'values' | 'steps' | 'local'> {
    const keepers = this.#keepers();
    if (this.#options.kept === '8bit') this.#chooseCoded(keepers);
    for (const tensor of given) this.#activation(tensor);
    for (const tensor of given) this.#compress(tensor, keepers);
    for (const plan of this.#plans) {
      const again = this.#runOf.has(plan.node.name);
      this.#forward(plan, 'forward', (tensor) => tensor, !again);
      this.#compress(plan.node.output, keepers);
    }
    for (const [tensor, node] of keepers) if (!this.#coded.has(tensor)) this.#keep(tensor, node);
    const flows = this.#flows(target);
    const local = this.#options.local.map(({ loss, plans }) => ({ loss, plans, flows: this.#flows(loss) }));
    const done = new Set<readonly NodePlan[]>();
    const walk = (plan: NodePlan, into: GradientFlows): void => {
      const run = this.#runOf.get(plan.node.name);
      if (run && !done.has(run)) {
        done.add(run);
        this.#recompute(run);
      }
      this.#backward(plan, into);
    };
    for (const plan of this.#plans.toReversed()) {
      if (!plan.onPath) continue;
      const own = local.find(({ loss }) => loss === plan.node.output);
      if (own) for (const each of own.plans.toReversed()) walk(each, own.flows);
      walk(plan, flows);
    }
    return {
      values: this.#values,
      steps: markSlices(this.#steps, this.#plans),
      local: local.map(({ loss }) => ({ loss, seed: gradientName(loss) })),
    };
  }

  /** A backward pass from one tensor. */
  #flows(start: string): GradientFlows {
    return new GradientFlows(start, {
      accumulate: (...args) => this.#accumulate(...args),
      fresh: (tensor) => this.#fresh(gradientName(tensor), 'gradient', tensor),
    });
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

  #backward(plan: NodePlan, gradients: GradientFlows): void {
    const { node, kernel, wants } = plan;
    if ('none' in kernel.backward) return;
    const dOutput = gradients.whole(node.output);
    if (dOutput === null) return;
    const { passThrough = [] } = kernel.backward;
    const flows: [tensor: string, flow: Flow][] = [];
    const dInputs = node.inputs.map((input, index) => {
      if (!wants.inputs[index]) return null;
      const through = passThrough.includes(index);
      const value = through ? dOutput : this.#fresh(gradientName(input), 'gradient', input);
      flows.push([input, { value, fresh: !through }]);
      return through ? null : value;
    });
    const dParameters = Object.fromEntries(
      Object.entries(node.parameters).filter(([role]) => wants.parameters.has(role)),
    );
    if (dInputs.some((value) => value !== null) || Object.keys(dParameters).length > 0) {
      this.#pushBackward(plan, dOutput, dInputs, dParameters);
    }
    for (const [tensor, flow] of flows) gradients.add(tensor, flow);
  }

  #pushBackward(
    plan: NodePlan,
    dOutput: string,
    dInputs: readonly (string | null)[],
    dParameters: Readonly<Record<string, string>>,
  ): void {
    const { node, kernel, shapes, wants, saves } = plan;
    const inPlace = !('none' in kernel.backward) && kernel.backward.inPlace;
    const savedInputs = new Set(saves.flatMap((save) => (save.kind === 'input' ? [save.index] : [])));
    const inputs = node.inputs.map((input, index) => (savedInputs.has(index) ? this.#read(input, node.name) : null));
    const output = saves.some(({ kind }) => kind === 'output') ? this.#read(node.output, node.name) : null;
    const own = saves.flatMap((save) => (save.kind === 'own' ? [save] : []));
    const [dx] = dInputs;
    const count = dInputs.filter((value) => value !== null).length + Object.keys(dParameters).length;
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
        Math.max(1, count) * kernel.flops(shapes, node.attributes),
    });
  }

  #accumulate(tensor: string, value: string, sum: string, first: boolean): void {
    this.#steps.push({
      ...this.#move('accumulate', first ? 'Copy' : 'Accumulate', tensor),
      inputs: [value],
      output: sum,
    });
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
