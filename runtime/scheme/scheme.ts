/**
 * @file What learns. A scheme picks parameters by the role their node gives them inside the trained blocks; it knows no
 * architecture and, unless the user names tensors, no tensor by name.
 */
import { hasActivation } from '../../kernels/activation.ts';
import type { AffineAttributes } from '../../kernels/affine.ts';
import { kernelOf } from '../../kernels/index.ts';
import { UsageError } from '../errors.ts';
import { findBlocks } from '../graph/blocks.ts';
import { type Block, consumers, type Graph, type Node } from '../graph/graph.ts';
import { HEAD } from '../graph/head.ts';
import { matcher } from './globs.ts';
import type { SchemeName } from './names.ts';
import { withStatistics } from './norm-statistics.ts';
import type { ParameterGroup, Scheme, SchemeOptions } from './options.ts';

/** How many blocks `--blocks` can choose from. */
export function countBlocks(graph: Graph): number {
  return findBlocks(graph).filter(({ role }) => role === 'block').length;
}

/**
 * Marks what learns.
 * @throws UsageError if there are fewer blocks than asked for, a glob matches nothing, or nothing is left to train
 */
export function applyScheme(graph: Graph, options: SchemeOptions): Scheme {
  const blocks = findBlocks(graph);
  const total = blocks.filter(({ role }) => role === 'block').length;
  const top = options.name === 'head' ? 0 : options.name === 'full' ? total : options.blocks;
  if (!Number.isInteger(top) || top < 0 || top > total) {
    throw new UsageError(`--blocks must be a whole number from 0 to ${total} (the blocks of "${graph.name}"): ${top}`);
  }
  const full = {
    derivative: 'exact',
    train: [],
    freeze: [],
    norms: 'stored',
    momentum: 0.1,
    reach: 'trained',
    head: true,
    ...options,
    blocks: top,
  } as const;
  const fixed = fixedElsewhere(graph);
  const chosen = chooser(graph, full);
  const byName = new Map(graph.nodes.map((node) => [node.name, node]));
  const trains = new Map<string, ParameterGroup>();
  let below = total - top;
  const parts: MutablePart[] = blocks.map((block) => {
    const active = block.role === 'head' || (top > 0 && (block.role === 'neck' || below-- <= 0));
    const names: string[] = [];
    for (const nodeName of block.nodes) {
      const node = byName.get(nodeName);
      for (const [role, parameter] of Object.entries(node?.parameters ?? {})) {
        if (!node || trains.has(parameter) || fixed.has(parameter) || !chosen(block, active, node, role, parameter))
          continue;
        trains.set(parameter, block.role === 'head' ? 'head' : isAffine(node) ? 'norms' : 'weights');
        names.push(parameter);
      }
    }
    return { block, trains: names };
  });
  keepPrefixFrozen(graph, trains, parts);
  addRunning(graph, trains, parts, full.freeze);
  if (trains.size === 0 && full.head) {
    throw new UsageError(`nothing of "${graph.name}" trains with these --train and --freeze patterns`, {
      nothingTrains: true,
    });
  }
  return { ...full, ...withStatistics(graph, parts, trains, full) };
}

/** Running statistics of norms that follow the batches in the graph as it is given. */
function addRunning(
  graph: Graph,
  trains: Map<string, ParameterGroup>,
  parts: readonly MutablePart[],
  freeze: readonly string[],
): void {
  const frozen = freeze.length > 0 ? matcher(graph, freeze, '--freeze') : () => false;
  for (const node of graph.nodes) {
    const running = (kernelOf(node)?.running ?? []).flatMap((role) => node.parameters[role] ?? []);
    const moving = running.filter((name) => !frozen(name));
    for (const name of moving) trains.set(name, 'statistics');
    const part = parts.find(({ block }) => block.nodes.includes(node.name));
    if (part) part.trains = [...part.trains, ...moving];
  }
}

interface MutablePart {
  readonly block: Block;
  trains: string[];
}

/**
 * Exporters let layers share equal tensors. One that a layer of the frozen prefix reads too does not train: the prefix would
 * go on with the old values, and the exported model would not be the one that was trained.
 */
function keepPrefixFrozen(graph: Graph, trains: Map<string, ParameterGroup>, parts: readonly MutablePart[]): void {
  const first = new Map<string, number>();
  graph.nodes.forEach(({ parameters }, index) => {
    for (const name of Object.values(parameters)) if (!first.has(name)) first.set(name, index);
  });
  const firstIn = (part: MutablePart): number => {
    const members = new Set(part.block.nodes);
    return graph.nodes.findIndex(({ name }) => members.has(name));
  };
  // The lowest block with something to train is above the cut as a whole or in part; readers below it are in the prefix.
  for (;;) {
    const lowest = parts.find((part) => part.trains.length > 0);
    const start = lowest ? firstIn(lowest) : graph.nodes.length;
    const shared = [...trains.keys()].filter((name) => (first.get(name) ?? 0) < start);
    if (shared.length === 0) return;
    for (const name of shared) trains.delete(name);
    for (const part of parts) part.trains = part.trains.filter((name) => trains.has(name));
  }
}

type Chooser = (block: Block, active: boolean, node: Node, role: string, parameter: string) => boolean;

/** Tensors that some layer reads in a role without a gradient, such as a shift that is another norm's stored mean. */
function fixedElsewhere(graph: Graph): ReadonlySet<string> {
  return new Set(
    graph.nodes.flatMap((node) => {
      const trainable = kernelOf(node)?.trainable;
      return Object.entries(node.parameters).flatMap(([role, name]) => (trainable?.includes(role) ? [] : [name]));
    }),
  );
}

/** The scheme's rule with the user's patterns on top. */
function chooser(graph: Graph, options: Required<SchemeOptions>): Chooser {
  const internal = new Set(graph.nodes.filter((node) => isActivated(graph, node)).map(({ name }) => name));
  const hasNorms = graph.nodes.some(isNorm);
  const wanted = options.train.length > 0 ? matcher(graph, options.train, '--train') : null;
  const frozen = options.freeze.length > 0 ? matcher(graph, options.freeze, '--freeze') : () => false;
  const isNewHead = (parameter: string): boolean => parameter === HEAD.weight || parameter === HEAD.bias;
  return (block, active, node, role, parameter) => {
    if (!(kernelOf(node)?.trainable ?? []).includes(role) || frozen(parameter)) return false;
    if (wanted) return wanted(parameter) || isNewHead(parameter);
    if (block.role === 'head') return options.head;
    return active && isTrained(options.name, node, role, internal.has(node.name), hasNorms);
  };
}

/** The scheme's whole rule, for a parameter that could train. */
function isTrained(scheme: SchemeName, node: Node, role: string, internal: boolean, hasNorms: boolean): boolean {
  switch (scheme) {
    case 'head':
      return false;
    case 'shifts':
      return role === 'shift' && isAffine(node) && (isNorm(node) || !hasNorms);
    case 'bias':
      return role === 'shift' && isAffine(node);
    case 'norms':
      return isAffine(node) && (isNorm(node) || !hasNorms) && role !== 'weight';
    case 'mobiletl':
      return !isAffine(node) || role === 'shift' || !internal;
    case 'blocks':
    case 'full':
      return true;
  }
}

const isAffine = ({ op }: Node): boolean => op === 'Affine' || op === 'BatchNorm' || op === 'LayerNorm';
const isNorm = ({ op, parameters }: Node): boolean =>
  op === 'BatchNorm' ||
  op === 'LayerNorm' ||
  (op === 'Affine' && parameters.mean !== undefined && parameters.variance !== undefined);

/** True if an activation follows at once, inside the same pass or as the only reader. */
function isActivated(graph: Graph, node: Node): boolean {
  if (node.op !== 'Affine') return false;
  if (hasActivation((node as Node<AffineAttributes>).attributes)) return true;
  const readers = consumersOf(graph).get(node.output) ?? [];
  return readers.length === 1 && (readers[0]?.op === 'Activation' || readers[0]?.op === 'Clip');
}

const readersByGraph = new WeakMap<Graph, ReturnType<typeof consumers>>();

function consumersOf(graph: Graph): ReturnType<typeof consumers> {
  const known = readersByGraph.get(graph) ?? consumers(graph);
  readersByGraph.set(graph, known);
  return known;
}
