/**
 * @file Borders: the places in a graph where a single tensor is alive, so that it can be cut there.
 */
import { consumers, type Graph } from './graph.ts';

/** After node number `after` (-1: before the first) only `tensor` is alive. */
export interface Border {
  readonly after: number;
  readonly tensor: string;
}

/** Every border in topological order, the image and the output among them. */
export function borders(graph: Graph): readonly Border[] {
  const lastUse = new Map<string, number>();
  graph.nodes.forEach((node, index) => {
    for (const input of node.inputs) lastUse.set(input, index);
  });
  lastUse.set(graph.output, graph.nodes.length);
  const alive = new Set([graph.input]);
  const found: Border[] = [{ after: -1, tensor: graph.input }];
  graph.nodes.forEach((node, index) => {
    for (const input of node.inputs) if (lastUse.get(input) === index) alive.delete(input);
    if ((lastUse.get(node.output) ?? -1) > index) alive.add(node.output);
    const [tensor] = alive;
    if (alive.size === 1 && tensor !== undefined) found.push({ after: index, tensor });
  });
  // A tensor that merely stays alone for several nodes (dead branches) is cut where it is produced.
  return found.filter(({ tensor }, i) => i === 0 || found[i - 1]?.tensor !== tensor);
}

/** Tensors that more than one node reads, where residual branches begin. */
export function forks(graph: Graph): ReadonlySet<string> {
  return new Set([...consumers(graph)].filter(([, readers]) => readers.length > 1).map(([tensor]) => tensor));
}
