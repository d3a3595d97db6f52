/** @file Runs a whole graph with the kernels' float64 loops, without plan or engine. */
import { type ActivationAttributes, clip } from '../../kernels/activation.ts';
import { kernelOf } from '../../kernels/index.ts';
import type { NodeShapes } from '../../kernels/kernel.ts';
import { forEachTap, geometry, type PoolAttributes } from '../../kernels/window.ts';
import { elements, type Graph, type Node, parameterOf } from '../../runtime/graph/graph.ts';
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
    const [x = new Float64Array()] = node.inputs.map((name) => values.get(name) ?? new Float64Array());
    if (node.attributes.function === 'hardSwish') {
      for (const a of x) kinkMargin = Math.min(kinkMargin, Math.abs(Math.abs(a) - 3));
    }
    if (node.op === 'MaxPool')
      kinkMargin = Math.min(kinkMargin, poolMargin(node as Node<PoolAttributes>, shapes, x, batch));
    values.set(node.output, kinks.length > 0 ? output.map((a) => clip(activation, a)) : output);
  }
  return { output: values.get(graph.output) ?? new Float64Array(), kinkMargin };
}

/** The least distance between the two largest values of a window, ties apart: which is larger decides where a gradient goes. */
function poolMargin({ attributes }: Node<PoolAttributes>, shapes: NodeShapes, x: Float64Array, batch: number): number {
  const g = geometry(attributes, shapes.inputs[0] ?? [], shapes.output);
  const size = g.height * g.width * g.channels;
  let margin = Number.POSITIVE_INFINITY;
  for (let n = 0; n < batch; n++) {
    const windows = new Map<number, number[]>();
    forEachTap(g, (output, input) => windows.set(output, [...(windows.get(output) ?? []), input]));
    for (const pixels of windows.values()) {
      for (let c = 0; c < g.channels; c++) {
        const sorted = pixels.map((pixel) => x[n * size + pixel * g.channels + c] ?? 0).sort((a, b) => b - a);
        const [first = 0, second = first] = new Set(sorted);
        if (first !== second) margin = Math.min(margin, first - second);
      }
    }
  }
  return margin;
}
