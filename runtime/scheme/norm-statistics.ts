/** @file Norms that follow the batches: within reach of the scheme each becomes a BatchNorm and, apart, its activation. */
import { type ActivationAttributes, hasActivation, noActivation } from '../../kernels/activation.ts';
import type { AffineAttributes } from '../../kernels/affine.ts';
import type { Block, Graph, Node } from '../graph/graph.ts';
import { matcher } from './globs.ts';
import type { ParameterGroup, Scheme, SchemeOptions } from './options.ts';

type Parts = Scheme['parts'];

/** Rewrites the norms within reach, and adds their running statistics to what changes. */
export function withStatistics(
  graph: Graph,
  parts: Parts,
  trains: ReadonlyMap<string, ParameterGroup>,
  options: Required<SchemeOptions>,
): Pick<Scheme, 'graph' | 'parts' | 'trains'> {
  const { norms: statistics } = options;
  if (statistics === 'stored') return { graph, parts, trains };
  const frozen = options.freeze.length > 0 ? matcher(graph, options.freeze, '--freeze') : () => false;
  const reached = parts.filter((part) => options.reach === 'all' || part.trains.length > 0);
  const touched = new Set(reached.flatMap(({ block }) => block.nodes));
  const readers = new Map<string, number>();
  for (const { parameters } of graph.nodes) {
    for (const name of Object.values(parameters)) readers.set(name, (readers.get(name) ?? 0) + 1);
  }
  const below = nodesBelow(graph, trains);
  const all = new Map(trains);
  const added = new Map<string, { readonly nodes: readonly string[]; readonly running: readonly string[] }>();
  const synthetic = new Set(graph.synthetic);
  const shapes = new Map(graph.shapes);
  const nodes = graph.nodes.flatMap((node): Node[] => {
    const { mean, variance } = node.parameters;
    if (node.op !== 'Affine' || !touched.has(node.name) || mean === undefined || variance === undefined) return [node];
    // Statistics that another norm reads too may not move: it may lie in the frozen part, or move them a second time.
    const held = [mean, variance].some((name) => frozen(name) || (readers.get(name) ?? 0) > 1);
    // A moving average that may not move is the stored one; with nothing of its own to learn, so is a norm below the cut.
    if (held && (statistics !== 'batch' || below.has(node.name))) return [node];
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

/** Nodes before the first that trains: the prefix may take them. */
function nodesBelow(graph: Graph, trains: ReadonlyMap<string, ParameterGroup>): ReadonlySet<string> {
  const first = graph.nodes.findIndex(({ parameters }) => Object.values(parameters).some((name) => trains.has(name)));
  return new Set(graph.nodes.slice(0, Math.max(0, first)).map(({ name }) => name));
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
