/** @file The graph as text: one line a node, stable from run to run, for people and for snapshots. */
import { findBlocks } from './blocks.ts';
import { elements, type Graph, type Node, parameterOf, shapeOf } from './graph.ts';

/** Lines such as `block_13_expand: Conv(add_12 [14,14,96], weight [576,1,1,96]) -> [14,14,576]`, grouped by block. */
export function printGraph(graph: Graph): string {
  const byName = new Map(graph.nodes.map((node) => [node.name, node]));
  const lines = findBlocks(graph).flatMap(({ name, role, nodes }) => [
    `${role} ${name}`,
    ...nodes.map((node) => `  ${printNode(graph, byName.get(node))}`),
  ]);
  const weights = [...graph.parameters.values()].reduce((sum, { shape }) => sum + elements(shape), 0);
  return [
    `graph ${graph.name}: ${graph.input} [${shapeOf(graph, graph.input)}] -> ${graph.output} ` +
      `[${shapeOf(graph, graph.output)}]${graph.tail === 'softmax' ? ', softmax' : ''}; ${weights} parameters`,
    ...lines,
    '',
  ].join('\n');
}

function printNode(graph: Graph, node: Node | undefined): string {
  if (!node) return '?';
  const inputs = node.inputs.map((name) => `${name} [${graph.shapes.get(name) ?? '?'}]`);
  const parameters = Object.entries(node.parameters).map(
    ([role, name]) => `${role} [${parameterOf(graph, name).shape}]`,
  );
  const attributes = Object.entries(node.attributes)
    .filter(([, value]) => value !== null)
    .map(([key, value]) => ` ${key}=${Array.isArray(value) ? value.join('x') : value}`)
    .join('');
  return `${node.name}: ${node.op}(${[...inputs, ...parameters].join(', ')})${attributes} -> [${graph.shapes.get(node.output) ?? '?'}]`;
}
