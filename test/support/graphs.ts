/** @file Builds graphs by hand, node by node, with seeded parameters. */
import { type ActivationAttributes, noActivation } from '../../kernels/activation.ts';
import { kernelOf } from '../../kernels/index.ts';
import {
  type Attributes,
  elements,
  type Graph,
  type Node,
  type Parameter,
  type Shape,
} from '../../runtime/graph/graph.ts';
import { Random } from '../../runtime/train/random.ts';
import { parameterValues } from './draws.ts';

export const relu: ActivationAttributes = { ...noActivation, low: 0 };
export const relu6: ActivationAttributes = { ...noActivation, low: 0, high: 6 };

export interface WindowOptions {
  readonly kernel?: number;
  readonly stride?: number;
}

/** A graph in the making. Every method adds a node and returns its output tensor, which has the node's name. */
export class GraphBuilder {
  readonly #nodes: Node[] = [];
  readonly #shapes = new Map<string, Shape>();
  readonly #parameters = new Map<string, Parameter>();
  readonly #random: Random;

  constructor(input: Shape, seed = 1) {
    this.#shapes.set('image', input);
    this.#random = new Random(seed);
  }

  shape(tensor: string): Shape {
    const shape = this.#shapes.get(tensor);
    if (!shape) throw new Error(`no tensor "${tensor}"`);
    return shape;
  }

  /** Adds any node; its parameters are named `<node>/<role>`. Ops without kernel keep their first input's shape. */
  node(
    op: string,
    name: string,
    inputs: readonly string[],
    parameters: Readonly<Record<string, Shape>> = {},
    attributes: Attributes = {},
  ): string {
    const names = Object.entries(parameters).map(([role, shape]) => [
      role,
      this.#parameter(`${name}/${role}`, role, shape),
    ]);
    const node: Node = { op, name, inputs, parameters: Object.fromEntries(names), output: name, attributes };
    const inputShapes = inputs.map((input) => this.shape(input));
    this.#shapes.set(name, kernelOf(node)?.shape(node, inputShapes, parameters) ?? inputShapes[0] ?? []);
    this.#nodes.push(node);
    return name;
  }

  conv(name: string, x: string, channels: number, { kernel = 1, stride = 1 }: WindowOptions = {}): string {
    const weight = [channels, kernel, kernel, this.shape(x).at(-1) ?? 1];
    return this.node('Conv', name, [x], { weight }, windowAttributes(kernel, stride));
  }

  depthwise(name: string, x: string, { kernel = 3, stride = 1 }: WindowOptions = {}): string {
    const weight = [kernel, kernel, this.shape(x).at(-1) ?? 1];
    return this.node('DepthwiseConv', name, [x], { weight }, windowAttributes(kernel, stride));
  }

  norm(name: string, x: string, activation: ActivationAttributes = noActivation): string {
    const channels = [this.shape(x).at(-1) ?? 1];
    const parameters = { scale: channels, shift: channels, mean: channels, variance: channels };
    return this.node('Affine', name, [x], parameters, { ...activation, epsilon: 1e-3 });
  }

  shift(name: string, x: string): string {
    return this.node('Affine', name, [x], { shift: [this.shape(x).at(-1) ?? 1] }, { ...noActivation, epsilon: 0 });
  }

  clip(name: string, x: string, activation: ActivationAttributes = relu): string {
    return this.node('Clip', name, [x], {}, activation);
  }

  add(name: string, a: string, b: string): string {
    return this.node('Add', name, [a, b]);
  }

  /** Pools what is a map, then a fully connected layer with bias: tensors `pool`, `fc` and `logits`. */
  head(x: string, classes: number): string {
    const map = this.shape(x).length === 3;
    const vector = map ? this.node('GlobalAveragePool', 'pool', [x], {}, { keepAxes: false }) : x;
    this.node('Gemm', 'fc', [vector], { weight: [classes, elements(this.shape(vector))] });
    return this.shift('logits', 'fc');
  }

  build(output = 'logits'): Graph {
    return {
      name: 'built',
      input: 'image',
      output,
      tail: 'none',
      shapes: this.#shapes,
      parameters: this.#parameters,
      nodes: this.#nodes,
      synthetic: new Set(),
    };
  }

  #parameter(name: string, role: string, shape: Shape): string {
    const data = Float32Array.from(parameterValues(this.#random, role, shape));
    const origin = { tensor: name, shape, permutation: shape.map((_, axis) => axis) };
    this.#parameters.set(name, { name, shape, data: () => data, origin });
    return name;
  }
}

function windowAttributes(kernel: number, stride: number): Attributes {
  const pad = Math.floor(kernel / 2);
  return { kernel: [kernel, kernel], strides: [stride, stride], pads: [pad, pad, pad, pad], dilations: [1, 1] };
}
