/** @file Norms that follow the batches: in trained blocks each becomes a BatchNorm and, apart, its activation. */
import { type ActivationAttributes, hasActivation, noActivation } from '../../kernels/activation.ts';
import type { AffineAttributes } from '../../kernels/affine.ts';
import type { Block, Graph, Node } from '../graph/graph.ts';
import { matcher } from './globs.ts';
import type { ParameterGroup, Scheme, SchemeOptions } from './options.ts';

type Parts = Scheme['parts'];

/** Rewrites the norms of the blocks where something trains, and adds their running statistics to what changes. */
export function withStatistics(
  graph: Graph,
  parts: Parts,
  trains: ReadonlyMap<string, ParameterGroup>,
  options: Required<SchemeOptions>,
): Pick<Scheme, 'graph' | 'parts' | 'trains'> {
  const { norms: statistics } = options;
  if (statistics === 'stored') return { graph, parts, trains };
  const frozen = options.freeze.length > 0 ? matcher(graph, options.freeze, '--freeze') : () => false;
  const touched = new Set(parts.filter((part) => part.trains.length > 0).flatMap(({ block }) => block.nodes));
  const all = new Map(trains);
  const added = new Map<string, { readonly nodes: readonly string[]; readonly running: readonly string[] }>();
  const synthetic = new Set(graph.synthetic);
  const shapes = new Map(graph.shapes);
  const nodes = graph.nodes.flatMap((node): Node[] => {
    const { mean, variance } = node.parameters;
    if (node.op !== 'Affine' || !touched.has(node.name) || mean === undefined || variance === undefined) return [node];
    const held = frozen(mean) || frozen(variance);
    // A moving average that may not move is the stored one.
    if (held && statistics === 'moving') return [node];
    const running = held ? [] : [mean, variance];
    for (const name of running) all.set(name, 'statistics');
    const { epsilon, ...activation } = (node as Node<AffineAttributes>).attributes;
    const momentum = held ? 0 : options.momentum;
    const norm: Node = { ...node, op: 'BatchNorm', attributes: { epsilon, statistics, momentum } };
    if (!hasActivation(activation as ActivationAttributes)) {
      added.set(node.name, { nodes: [], running });
      return [norm];
    }
    const before = `${node.output} before activation`;
    const name = `${node.name} activation`;
    synthetic.add(before);
    shapes.set(before, shapes.get(node.output) ?? []);
    added.set(node.name, { nodes: [name], running });
    const clip: Node = {
      op: 'Clip',
      name,
      inputs: [before],
      parameters: {},
      output: node.output,
      attributes: { ...noActivation, ...activation },
    };
    return [{ ...norm, output: before }, clip];
  });
  return {
    graph: { ...graph, nodes, shapes, synthetic },
    parts: parts.map((part) => extend(part, added)),
    trains: all,
  };
}

function extend(
  { block, trains }: Parts[number],
  added: ReadonlyMap<string, { readonly nodes: readonly string[]; readonly running: readonly string[] }>,
): Parts[number] {
  const nodes = block.nodes.flatMap((name) => [name, ...(added.get(name)?.nodes ?? [])]);
  const running = block.nodes.flatMap((name) => added.get(name)?.running ?? []);
  const extended: Block = { ...block, nodes };
  return { block: extended, trains: [...trains, ...running] };
}
