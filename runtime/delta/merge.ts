/**
 * @file Deltas of several boards as one: base + sum over deltas of coefficient x difference (task arithmetic, Ilharco et al. 2023),
 * with a coefficient for each delta and, where they are learnt, each block (aTLAS, Zhang et al. 2024; AdaMerging, Yang et al. 2024).
 *
 * What no base has, a new head or meta networks, differs from the mean of the deltas instead.
 */
import { DeltaError } from '../errors.ts';
import { toFileLayout } from '../graph/axes.ts';
import { findBlocks } from '../graph/blocks.ts';
import type { Graph } from '../graph/graph.ts';
import { withDelta } from './apply-to-graph.ts';
import { type Delta, hasNewHead } from './delta.ts';
import { type DifferenceKind, difference, differenceKinds, withDifference } from './difference.ts';
import type { NamedTensor } from './safetensors.ts';

/** Coefficient of each delta in a block. */
export type Coefficients = (block: string) => readonly number[];

/** A tensor that at least one delta has learnt. */
export interface MergedTensor {
  /** Of the parameter in the graph. */
  readonly parameter: string;
  /** First block in which it stands. */
  readonly block: string;
  readonly kind: DifferenceKind;
  /** What the differences are put on, in the layout of the file. */
  readonly base: NamedTensor;
  /** One for each delta; null: it has not learnt this tensor. */
  readonly differences: readonly (Float64Array | null)[];
}

/** How one of the deltas is called in messages. */
export interface NamedDelta {
  readonly name: string;
  readonly delta: Delta;
}

/**
 * Takes deltas of one base apart, once for any number of merges.
 * @param graph the base model
 * @throws DeltaError naming the first that does not go with the others, and why
 */
export function openMerge(graph: Graph, deltas: readonly NamedDelta[]): readonly MergedTensor[] {
  requireAlike(deltas);
  const [first] = deltas;
  if (!first) return [];
  const whole = deltas.map(({ delta }) => withDelta(graph, delta));
  const extended = whole[0] as Graph;
  const kinds = differenceKinds(extended);
  const blocks = blocksOf(extended);
  return [...extended.parameters.values()].flatMap((parameter): MergedTensor[] => {
    const { name, origin } = parameter;
    const tensor = origin.tensor ?? name;
    const values = deltas.map(({ delta }) => delta.tensors.get(tensor)?.data ?? null);
    const learnt = values.filter((data) => data !== null);
    if (learnt.length === 0) return [];
    const own = graph.parameters.get(name);
    const data = own ? toFileLayout(own.data(), origin) : meanOf(learnt);
    const kind = kinds.get(name) ?? 'sum';
    return [
      {
        parameter: name,
        block: blocks.get(name) ?? name,
        kind,
        base: { name: tensor, shape: origin.shape, data },
        differences: values.map((value) => value && difference(kind, value, data)),
      },
    ];
  });
}

/** Names of the blocks in which anything was learnt, in the order of the network. */
export const learntBlocks = (tensors: readonly MergedTensor[]): readonly string[] => [
  ...new Set(tensors.map(({ block }) => block)),
];

/** One tensor of the merged delta. */
export function mergeTensor({ block, kind, base, differences }: MergedTensor, coefficients: Coefficients): NamedTensor {
  const factors = coefficients(block);
  const sum = new Float64Array(base.data.length);
  differences.forEach((learnt, i) => {
    const factor = factors[i] ?? 0;
    if (learnt) for (let k = 0; k < sum.length; k++) sum[k] = (sum[k] ?? 0) + factor * (learnt[k] ?? 0);
  });
  return { ...base, data: withDifference(kind, base.data, sum) };
}

/** The merged delta; its facts are those of the first. */
export function mergedDelta(
  deltas: readonly NamedDelta[],
  tensors: readonly MergedTensor[],
  coefficients: Coefficients,
  how: string,
): Delta {
  const [first] = deltas;
  if (!first) throw new DeltaError('there is nothing to merge');
  const merged = tensors.map((tensor) => mergeTensor(tensor, coefficients));
  return {
    ...first.delta,
    notes: { merged: deltas.map(({ name }) => name).join(', '), how },
    tensors: new Map(merged.map((tensor) => [tensor.name, tensor])),
  };
}

/** @throws DeltaError */
function requireAlike(deltas: readonly NamedDelta[]): void {
  const [first, ...others] = deltas;
  for (const other of others) {
    for (const [what, read] of alike) {
      const [a, b] = [read(first?.delta as Delta), read(other.delta)].map((value) => JSON.stringify(value));
      if (a === b) continue;
      throw new DeltaError(
        `"${first?.name}" and "${other.name}" cannot be merged: expected the same ${what}, found ${a} and ${b}`,
        { what, deltas: [first?.name, other.name] },
      );
    }
  }
}

const alike: readonly (readonly [what: string, read: (delta: Delta) => unknown])[] = [
  ['base model (sha256)', ({ base }) => base],
  ['classes of the head', ({ classes }) => classes],
  ['kind of head (new or its own)', (delta) => hasNewHead(delta)],
  ['layers dropped for a new head', ({ drop }) => drop],
  ['image size', ({ imageSize }) => imageSize],
  ['preprocessing', ({ preprocessing }) => preprocessing],
  ['parts with meta networks', ({ metaParts }) => metaParts ?? null],
];

/** The first block that reads each parameter. */
function blocksOf(graph: Graph): ReadonlyMap<string, string> {
  const blockOfNode = new Map(
    findBlocks(graph).flatMap(({ name, nodes }) => nodes.map((node) => [node, name] as const)),
  );
  const blocks = new Map<string, string>();
  for (const node of graph.nodes) {
    for (const name of Object.values(node.parameters)) {
      if (!blocks.has(name)) blocks.set(name, blockOfNode.get(node.name) ?? node.name);
    }
  }
  return blocks;
}

function meanOf(values: readonly Float32Array[]): Float32Array {
  const [first = new Float32Array()] = values;
  return first.map((_, i) => values.reduce((sum, value) => sum + (value[i] ?? Number.NaN), 0) / values.length);
}
