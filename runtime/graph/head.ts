/** @file A new head for a new number of classes. */
import { ModelError, UsageError } from '../errors.ts';
import { Random } from '../train/random.ts';
import { elements, type Graph, type Node, type Parameter, shapeOf } from './graph.ts';

/** Names of what a new head adds to the graph and to an exported file. */
export const HEAD = { node: 'edgeshift_head', weight: 'edgeshift_head.weight', bias: 'edgeshift_head.bias' } as const;

export interface HeadOptions {
  /** Classes to tell apart, 2 or more. */
  readonly classes: number;
  /** Names of the nodes to drop; the head then stands on the input of the first. Default: the last Gemm. */
  readonly drop?: readonly string[];
  readonly seed: number;
}

/**
 * Replaces everything from the first dropped node upwards by one fully connected layer.
 *
 * Weights are uniform in +-1/sqrt(features), the bias zero (PyTorch's default for the weights).
 * @throws UsageError if a dropped node does not exist, ModelError if there is no fully connected layer to replace.
 */
export function replaceHead(graph: Graph, { classes, drop = [], seed }: HeadOptions): Graph {
  const from = firstDropped(graph, drop);
  const kept = graph.nodes.slice(0, from);
  const below = graph.nodes[from]?.inputs[0] ?? graph.output;
  const features = elements(shapeOf(graph, below));
  const flat = shapeOf(graph, below).length === 1 ? below : `${HEAD.node}.features`;
  const bound = 1 / Math.sqrt(features);
  const random = new Random(seed, HEAD_STREAM);
  const weight = Float32Array.from({ length: classes * features }, () => random.uniform(-bound, bound));
  const nodes: Node[] = [...kept];
  if (flat !== below) nodes.push(node('Flatten', `${HEAD.node}.flatten`, below, flat, {}, {}));
  nodes.push(node('Gemm', HEAD.node, flat, `${HEAD.node}.product`, { weight: HEAD.weight }, {}));
  nodes.push(
    node('Affine', `${HEAD.node}.shift`, `${HEAD.node}.product`, `${HEAD.node}.logits`, { shift: HEAD.bias }, NO_NORM),
  );
  const shapes = new Map(graph.shapes);
  shapes.set(flat, [features]);
  shapes.set(`${HEAD.node}.product`, [classes]);
  shapes.set(`${HEAD.node}.logits`, [classes]);
  const parameters = new Map(graph.parameters);
  parameters.set(HEAD.weight, fresh(HEAD.weight, [classes, features], weight));
  parameters.set(HEAD.bias, fresh(HEAD.bias, [classes], new Float32Array(classes)));
  const synthetic = new Set([...graph.synthetic, flat, `${HEAD.node}.product`, `${HEAD.node}.logits`]);
  synthetic.delete(below);
  return prune({ ...graph, nodes, shapes, parameters, synthetic, output: `${HEAD.node}.logits` });
}

/** Distinguishes the head's random numbers from every other use of the same seed. */
const HEAD_STREAM = 0x68656164;

const NO_NORM = { epsilon: 0, low: null, high: null, derivative: 'exact' } as const;

/** Index of the node whose place the new head takes. */
export function firstDropped(graph: Graph, drop: readonly string[]): number {
  if (drop.length === 0) {
    const last = graph.nodes.findLastIndex(({ op }) => op === 'Gemm');
    if (last < 0) {
      const names = graph.nodes.slice(-5).map(({ name }) => `"${name}"`);
      throw new ModelError(
        `model "${graph.name}" has no fully connected layer whose place a new head could take.\n` +
          `Hint: name the layers to drop with --drop; the last ones are ${names.join(', ')}`,
        { model: graph.name },
      );
    }
    return last;
  }
  // Names of activations joined to the layer before them are not found; the lowest layer named is what counts.
  if (!graph.nodes.some(({ name }) => drop.includes(name))) {
    const names = graph.nodes.slice(-8).map(({ name }) => `"${name}"`);
    throw new UsageError(
      `--drop names no layer of "${graph.name}": ${drop.map((name) => `"${name}"`).join(', ')}; ` +
        `the last ones are ${names.join(', ')}`,
      { drop },
    );
  }
  return graph.nodes.findIndex(({ name }) => drop.includes(name));
}

function node(
  op: string,
  name: string,
  input: string,
  output: string,
  parameters: Node['parameters'],
  attributes: Node['attributes'],
): Node {
  return { op, name, inputs: [input], output, parameters, attributes };
}

function fresh(name: string, shape: readonly number[], data: Float32Array): Parameter {
  return { name, shape, data: () => data, origin: { tensor: null, shape, permutation: shape.map((_, axis) => axis) } };
}

/** Drops parameters and shapes that no node uses any more. */
function prune(graph: Graph): Graph {
  const used = new Set(graph.nodes.flatMap(({ parameters }) => Object.values(parameters)));
  const alive = new Set([graph.input, ...graph.nodes.map(({ output }) => output)]);
  return {
    ...graph,
    parameters: new Map([...graph.parameters].filter(([name]) => used.has(name))),
    shapes: new Map([...graph.shapes].filter(([name]) => alive.has(name))),
  };
}
