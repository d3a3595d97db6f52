/** @file The shapes a node sees, as its kernel wants them. */
import type { NodeShapes } from '../../kernels/kernel.ts';
import { type Graph, type Node, parameterOf, shapeOf } from './graph.ts';

export function nodeShapes(graph: Graph, node: Node): NodeShapes {
  const parameters = Object.entries(node.parameters).map(([role, name]) => [role, parameterOf(graph, name).shape]);
  return {
    inputs: node.inputs.map((input) => shapeOf(graph, input)),
    output: shapeOf(graph, node.output),
    parameters: Object.fromEntries(parameters),
  };
}
