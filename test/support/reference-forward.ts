/** @file Runs a whole graph with the kernels' float64 loops, without plan or engine. */
import { kernelOf } from '../../kernels/index.ts';
import { elements, type Graph, parameterOf } from '../../runtime/graph/graph.ts';
import { nodeShapes } from '../../runtime/graph/node-shapes.ts';

/** The graph's output for `batch` images of normalized pixels, channels-last. */
export function referenceForward(graph: Graph, images: ArrayLike<number>, batch: number): Float64Array {
  const values = new Map([[graph.input, Float64Array.from(images)]]);
  for (const node of graph.nodes) {
    const kernel = kernelOf(node);
    if (!kernel) throw new Error(`no kernel for ${node.op} "${node.name}"`);
    const shapes = nodeShapes(graph, node);
    const output = new Float64Array(batch * elements(shapes.output));
    const parameters = Object.entries(node.parameters).map(([role, name]) => [
      role,
      Float64Array.from(parameterOf(graph, name).data),
    ]);
    kernel.forward({
      batch,
      attributes: node.attributes,
      shapes,
      inputs: node.inputs.map((name) => values.get(name) ?? new Float64Array()),
      parameters: Object.fromEntries(parameters),
      output,
      saved: {},
    });
    values.set(node.output, output);
  }
  return values.get(graph.output) ?? new Float64Array();
}
