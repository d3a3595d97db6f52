/**
 * @file What learns. A scheme picks parameters by the role their node gives them inside the trained blocks; it knows no
 * architecture and no tensor by name.
 */
import { hasActivation } from '../../kernels/activation.ts';
import type { AffineAttributes } from '../../kernels/affine.ts';
import { UsageError } from '../errors.ts';
import { findBlocks } from '../graph/blocks.ts';
import type { Block, Graph, Node } from '../graph/graph.ts';
import type { SchemeName } from './names.ts';

export interface SchemeOptions {
  readonly name: SchemeName;
  /** Top blocks that train, 0 to all; the neck goes with them. Ignored by `head`. */
  readonly blocks: number;
  /** The bit kept for a clipping activation's derivative; default `exact`. */
  readonly derivative?: 'exact' | 'sign';
}

/** Learning-rate groups. */
export type ParameterGroup = 'head' | 'weights' | 'norms';

/** A scheme applied to a graph. */
export interface Scheme extends Required<SchemeOptions> {
  /** Group of every parameter that trains, in the graph's order. */
  readonly trains: ReadonlyMap<string, ParameterGroup>;
  /** Blocks from input to output with what trains in each. */
  readonly parts: readonly { readonly block: Block; readonly trains: readonly string[] }[];
}

/** How many blocks `--blocks` can choose from. */
export function countBlocks(graph: Graph): number {
  return findBlocks(graph).filter(({ role }) => role === 'block').length;
}

/**
 * Marks what learns.
 * @throws UsageError if there are fewer blocks than asked for.
 */
export function applyScheme(graph: Graph, options: SchemeOptions): Scheme {
  const blocks = findBlocks(graph);
  const total = blocks.filter(({ role }) => role === 'block').length;
  const top = options.name === 'head' ? 0 : options.blocks;
  if (!Number.isInteger(top) || top < 0 || top > total) {
    throw new UsageError(`--blocks must be a whole number from 0 to ${total} (the blocks of "${graph.name}"): ${top}`);
  }
  const byName = new Map(graph.nodes.map((node) => [node.name, node]));
  const trains = new Map<string, ParameterGroup>();
  let below = total - top;
  const parts = blocks.map((block) => {
    const active = block.role === 'head' || (top > 0 && (block.role === 'neck' || below-- <= 0));
    const names: string[] = [];
    for (const nodeName of active ? block.nodes : []) {
      const node = byName.get(nodeName);
      for (const role of node ? rolesThatTrain(options.name, block, node) : []) {
        const parameter = node?.parameters[role];
        if (parameter === undefined || trains.has(parameter)) continue;
        trains.set(parameter, block.role === 'head' ? 'head' : node?.op === 'Affine' ? 'norms' : 'weights');
        names.push(parameter);
      }
    }
    return { block, trains: names };
  });
  return { name: options.name, blocks: top, derivative: options.derivative ?? 'exact', trains, parts };
}

/** The scheme's whole rule. */
function rolesThatTrain(scheme: SchemeName, { role }: Block, node: Node): readonly string[] {
  if (role === 'head') return ['weight', 'scale', 'shift'];
  const isNorm = node.op === 'Affine';
  switch (scheme) {
    case 'head':
      return [];
    case 'shifts':
      return isNorm ? ['shift'] : [];
    case 'mobiletl':
      if (!isNorm) return ['weight'];
      return hasActivation((node as Node<AffineAttributes>).attributes) ? ['shift'] : ['scale', 'shift'];
  }
}
