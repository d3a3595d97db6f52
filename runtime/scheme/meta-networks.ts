/**
 * @file EcoTTA's meta networks: small trained branches beside the parts of a frozen network (Song et al., EcoTTA, CVPR 2023,
 * section 3.1 and the published sample).
 *
 * A part is a run of blocks. With its input x and its output y, everything that read y reads
 *   norm(y) + relu(norm(conv3x3(x)))
 * instead. The convolution has the part's stride and no bias, both norms use the statistics of the batch, and all of it starts
 * from PyTorch's default values; so a network with fresh meta networks must be warmed up on the source before it is of use.
 */
import { UsageError } from '../errors.ts';
import { findBlocks } from '../graph/blocks.ts';
import {
  type Block,
  elements,
  type Graph,
  type LocalLoss,
  type Node,
  type Parameter,
  type Shape,
  shapeOf,
} from '../graph/graph.ts';
import { Random } from '../train/random.ts';

/** What the names of everything that belongs to meta networks begin with. */
export const META = 'edgeshift_meta';

/** Globs of the tensors that train. */
export const metaTensors: readonly string[] = [`${META}.*`];

/** Each meta network's convolution with its norm, which together can be computed again, by name. */
export function metaConvolutions(graph: Graph): readonly (readonly string[])[] {
  const convolutions = graph.nodes.filter(({ op, name }) => op === 'Conv' && name.startsWith(`${META}.`));
  return convolutions.map(({ name }) => [name, `${name}_norm`]);
}

/**
 * How many parts, or how many blocks each has; `auto`: one for every three blocks, 4 at most, which is at or below what is published
 * for each network. A part takes the memory of its ends, and a part of few blocks spares little.
 */
export type Parts = number | readonly number[] | 'auto';

export interface MetaNetworkOptions {
  readonly parts: Parts;
  readonly seed: number;
  /** Of the norms in the meta networks; default `batch`. */
  readonly statistics?: 'batch' | 'moving';
  /** Weight of a batch in the running statistics; default 0.1, PyTorch's. */
  readonly momentum?: number;
  /** Whether each part has the loss |new output - old output| (kernels/distance.ts); default true. */
  readonly regularised?: boolean;
}

/** A part of a network and its ends, as they are without meta networks. */
export interface Part {
  /** Number of the part, from 1. */
  readonly number: number;
  readonly blocks: readonly string[];
  readonly input: string;
  readonly output: string;
}

/**
 * Adds meta networks.
 * @throws UsageError if the network has fewer blocks than parts, or a part's extent is no whole multiple of its output's
 */
export function withMetaNetworks(graph: Graph, options: MetaNetworkOptions): Graph {
  const parts = findParts(graph, options.parts);
  return parts.reduce((built, part, index) => {
    const below = parts[index - 1];
    return addNetwork(built, below ? { ...part, input: newOutput(below) } : part, options);
  }, graph);
}

/**
 * The parts of a network between its input convolution and its head.
 * @throws UsageError
 */
export function findParts(graph: Graph, parts: Parts): readonly Part[] {
  const blocks = partedBlocks(graph);
  const automatic = Math.min(4, Math.max(1, Math.floor(blocks.length / 3)));
  const count = parts === 'auto' ? automatic : parts;
  const sizes = typeof count === 'number' ? partition(blocks.length, count) : count;
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (sizes.length === 0 || total !== blocks.length || sizes.some((size) => !Number.isInteger(size) || size < 1)) {
    throw new UsageError(
      `the ${blocks.length} blocks of "${graph.name}" cannot be cut into parts of ${sizes.join(', ')} blocks` +
        `\nHint: expected whole numbers from 1 that add up to ${blocks.length}`,
      { blocks: blocks.length, parts: sizes },
    );
  }
  let from = 0;
  return sizes.map((size, index): Part => {
    const own = blocks.slice(from, from + size);
    from += size;
    const last = own.at(-1) as Block;
    return {
      number: index + 1,
      blocks: own.map(({ name }) => name),
      input: own[0]?.input ?? graph.input,
      output: from === blocks.length ? withoutLastNorm(graph, last) : last.output,
    };
  });
}

/** Blocks that parts are made of: without the input convolution and without neck and head. */
function partedBlocks(graph: Graph): readonly Block[] {
  const blocks = findBlocks(graph).filter(({ role }) => role === 'block');
  const byName = new Map(graph.nodes.map((node) => [node.name, node]));
  const convolutions = blocks[0]?.nodes.filter((name) => byName.get(name)?.op.endsWith('Conv')).length ?? 0;
  return convolutions === 1 ? blocks.slice(1) : blocks;
}

/** Where a norm stands above the last block's join (pre-activation), the part ends at the join. */
function withoutLastNorm(graph: Graph, block: Block): string {
  const members = new Set(block.nodes);
  const nodes = graph.nodes.filter(({ name }) => members.has(name));
  const join = nodes.findLastIndex(({ op }) => op === 'Add');
  const normed = nodes[join + 1]?.parameters.variance !== undefined;
  return join >= 0 && normed ? (nodes[join]?.output ?? block.output) : block.output;
}

/**
 * Blocks of each part as published: of WRN-40-2's three stages of 6 blocks for 4 and 5 parts (the sample's table), and of the
 * others by number of blocks and parts. Networks that are not listed are cut in WRN-40-2's proportions, or evenly.
 */
const published: Readonly<Record<string, readonly number[]>> = {
  // WRN-40-2
  '18/4': [3, 3, 6, 6],
  '18/5': [3, 3, 3, 3, 6],
  // WRN-28-10
  '12/4': [2, 2, 4, 4],
  '12/5': [2, 2, 2, 2, 4],
  // ResNet-50
  '16/4': [3, 3, 5, 5],
  '16/5': [2, 2, 4, 4, 4],
  // ResNeXt-29
  '9/3': [3, 3, 3],
  '9/5': [1, 2, 1, 2, 3],
};

/** How many blocks each of `parts` parts has. @throws UsageError if there are fewer blocks than parts */
export function partition(blocks: number, parts: number): readonly number[] {
  if (!Number.isInteger(parts) || parts < 1 || parts > blocks) {
    throw new UsageError(
      `the number of parts must be a whole number from 1 to ${blocks}, the blocks there are: ${parts}`,
      {
        parts,
        blocks,
      },
    );
  }
  const known = published[`${blocks}/${parts}`];
  if (known) return known;
  const shares = published[`18/${parts}`] ?? new Array<number>(parts).fill(18 / parts);
  const ends = shares.map((_, index) => shares.slice(0, index + 1).reduce((sum, share) => sum + share, 0));
  // Each part has a block at the least, and leaves one for each part above it.
  let from = 0;
  return ends.map((end, index) => {
    const ideal = Math.round((end * blocks) / 18);
    const to = Math.min(Math.max(ideal, from + 1), blocks - (parts - 1 - index));
    const size = to - from;
    from = to;
    return size;
  });
}

/** What takes the place of a part's output. */
export const newOutput = ({ number }: Part): string => outputOf(`${META}.${number}.add`);

const outputOf = (node: string): string => `${node} output`;

const STREAM = 0x6d657461;

function addNetwork(graph: Graph, part: Part, options: MetaNetworkOptions): Graph {
  const name = (what: string): string => `${META}.${part.number}.${what}`;
  const [input, output] = [shapeOf(graph, part.input), shapeOf(graph, part.output)];
  const channels = output.at(-1) ?? 0;
  const { statistics = 'batch', momentum = 0.1, regularised = true } = options;
  const norm = { epsilon: 1e-5, statistics, momentum };
  const conv = node('Conv', name('conv'), [part.input], { weight: name('conv.weight') }, windowOf(part, input, output));
  const features = node('BatchNorm', name('conv_norm'), [conv.output], normRoles(name('conv_norm')), norm);
  const relu = node('Clip', name('relu'), [features.output], {}, { low: 0, high: null, derivative: 'exact' });
  const original = node('BatchNorm', name('norm'), [part.output], normRoles(name('norm')), norm);
  const sum = node('Add', name('add'), [original.output, relu.output], {}, {});
  const distance = node('Distance', name('distance'), [sum.output, part.output], {}, {});
  const branch = [conv, features, relu, original, sum];
  const added = regularised ? [...branch, distance] : branch;

  const at = graph.nodes.findIndex((each) => each.output === part.output);
  const above = graph.nodes.slice(at + 1).map((each) => ({
    ...each,
    inputs: each.inputs.map((tensor) => (tensor === part.output ? sum.output : tensor)),
  }));
  const shapes = new Map([...graph.shapes, ...branch.map((each) => [each.output, output] as const)]);
  const parameters = new Map(graph.parameters);
  const weight = convWeight(
    name('conv.weight'),
    channels,
    input.at(-1) ?? 0,
    new Random(options.seed, STREAM, part.number),
  );
  for (const parameter of [weight, ...normParameters(features, channels), ...normParameters(original, channels)]) {
    parameters.set(parameter.name, parameter);
  }
  const loss: LocalLoss = { tensor: distance.output, nodes: added.map((each) => each.name) };
  return {
    ...graph,
    nodes: [...graph.nodes.slice(0, at + 1), ...added, ...above],
    shapes: regularised ? shapes.set(distance.output, [1]) : shapes,
    parameters,
    synthetic: new Set([...graph.synthetic, ...added.map((each) => each.output)]),
    ...(regularised && { localLosses: [...(graph.localLosses ?? []), loss] }),
  };
}

/** The part's own stride, with the padding that keeps a map's size at stride 1. */
function windowOf(part: Part, input: Shape, output: Shape): Node['attributes'] {
  const strides = [0, 1].map((axis) => Math.round((input[axis] ?? 0) / (output[axis] ?? 1)));
  const reached = strides.map((stride, axis) => Math.floor(((input[axis] ?? 0) - 1) / stride) + 1);
  if (input.length !== 3 || output.length !== 3 || reached.some((extent, axis) => extent !== output[axis])) {
    throw new UsageError(
      `part ${part.number} (${part.blocks.join(', ')}) makes [${output}] of [${input}], which a convolution with ` +
        `stride ${strides.join('x')} does not: expected maps whose extents are multiples\nHint: choose other parts`,
      { part: part.number },
    );
  }
  return { kernel: [3, 3], strides, pads: [1, 1, 1, 1], dilations: [1, 1] };
}

function node(
  op: string,
  name: string,
  inputs: readonly string[],
  parameters: Node['parameters'],
  attributes: Node['attributes'],
): Node {
  return { op, name, inputs, parameters, output: outputOf(name), attributes };
}

const roles = { scale: 1, shift: 0, mean: 0, variance: 1 } as const;

const normRoles = (name: string): Node['parameters'] =>
  Object.fromEntries(Object.keys(roles).map((role) => [role, `${name}.${role}`]));

function normParameters({ name }: Node, channels: number): Parameter[] {
  return Object.entries(roles).map(([role, value]) =>
    fresh(`${name}.${role}`, [channels], [channels], [0], new Float32Array(channels).fill(value)),
  );
}

/** Kaiming-uniform with a = sqrt(5): +-1 / sqrt(fan-in), the default of PyTorch's convolutions. */
function convWeight(name: string, out: number, channels: number, random: Random): Parameter {
  const shape = [out, 3, 3, channels];
  const bound = 1 / Math.sqrt(9 * channels);
  const data = Float32Array.from({ length: elements(shape) }, () => random.uniform(-bound, bound));
  return fresh(name, shape, [out, channels, 3, 3], [0, 2, 3, 1], data);
}

function fresh(name: string, shape: Shape, file: Shape, permutation: readonly number[], data: Float32Array): Parameter {
  return { name, shape, data: () => data, origin: { tensor: null, shape: file, permutation } };
}
