/** @file Runs a whole graph with the kernels' float64 loops, without plan or engine. */
import { type ActivationAttributes, clip } from '../../kernels/activation.ts';
import { kernelOf } from '../../kernels/index.ts';
import { elements, type Graph, parameterOf } from '../../runtime/graph/graph.ts';
import { nodeShapes } from '../../runtime/graph/node-shapes.ts';

export interface ReferenceForward {
  readonly output: Float64Array;
  /**
   * How near any activation's input comes to a kink, where float32 may round to the other side and change a gradient by
   * far more than its own precision. Inputs that are exactly on it, as in dead channels, do not count.
   */
  readonly kinkMargin: number;
}

/** The graph's output for `batch` images of normalized pixels, channels-last. */
export function referenceForward(graph: Graph, images: ArrayLike<number>, batch: number): ReferenceForward {
  const values = new Map([[graph.input, Float64Array.from(images)]]);
  let kinkMargin = Number.POSITIVE_INFINITY;
  for (const node of graph.nodes) {
    const kernel = kernelOf(node);
    if (!kernel) throw new Error(`no kernel for ${node.op} "${node.name}"`);
    const shapes = nodeShapes(graph, node);
    const output = new Float64Array(batch * elements(shapes.output));
    const parameters = Object.entries(node.parameters).map(([role, name]) => [
      role,
      Float64Array.from(parameterOf(graph, name).data()),
    ]);
    // Activations are applied here, so that what goes into them can be seen.
    kernel.forward({
      batch,
      mode: 'inference',
      attributes: { ...node.attributes, low: null, high: null },
      shapes,
      inputs: node.inputs.map((name) => values.get(name) ?? new Float64Array()),
      parameters: Object.fromEntries(parameters),
      output,
      saved: {},
    });
    const activation = node.attributes as ActivationAttributes;
    const kinks = [activation.low ?? null, activation.high ?? null].filter((kink) => kink !== null);
    for (const kink of kinks) {
      for (const a of output) if (a !== kink) kinkMargin = Math.min(kinkMargin, Math.abs(a - kink));
    }
    values.set(node.output, kinks.length > 0 ? output.map((a) => clip(activation, a)) : output);
  }
  return { output: values.get(graph.output) ?? new Float64Array(), kinkMargin };
}
