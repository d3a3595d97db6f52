/**
 * @file TinyTL's memory rule (Cai et al. 2020; `profile_memory_cost` of its code), which papers compare with.
 *
 * Trained parameters take 4 bytes, frozen ones 1, activations 4. A layer's input is kept if its weight trains; a ReLU keeps
 * a bit an element, a smooth activation its float input; a gradient must cross them or not. The peak of an image is the
 * largest of what is kept so far, what the layer at hand takes (input and output of a product, input of anything else),
 * and the input of a residual block that waits to be added, unless it is kept anyway. Gradients, optimizer states, pooling and additions count
 * nothing. It is a figure of comparison, not what the process holds.
 */

import { hasActivation } from '../../kernels/activation.ts';
import type { AffineAttributes } from '../../kernels/affine.ts';
import type { GroupedConvAttributes } from '../../kernels/grouped-conv.ts';
import { borders } from '../graph/borders.ts';
import { elements, type Graph, type Node, shapeOf } from '../graph/graph.ts';

export interface TinyTlBytes {
  readonly parameterBytes: number;
  /** At the worst layer, of one image. */
  readonly activationBytesPerImage: number;
  readonly totalBytes: number;
}

/** One module of the rule: what it takes for a moment and what it keeps from then on. */
interface Layer {
  readonly momentary: number;
  readonly kept: number;
  /** Whether that is its input, and not a bit an element. */
  readonly keepsInput: boolean;
}

/**
 * Applies the rule.
 * @param trains names of the parameters that train
 */
export function tinyTlBytes(graph: Graph, trains: ReadonlySet<string>, batch: number): TinyTlBytes {
  // Running statistics are buffers and no parameters.
  const statistics = new Set(graph.nodes.flatMap(({ parameters: { mean, variance } }) => [mean, variance]));
  let parameterBytes = 0;
  for (const { name, shape } of graph.parameters.values()) {
    if (!statistics.has(name)) parameterBytes += (trains.has(name) ? 4 : 1) * elements(shape);
  }
  const waiting = residualInputs(graph);
  const keptTensors = new Set<string>();
  let [kept, peak] = [0, 0];
  graph.nodes.forEach((node, index) => {
    for (const layer of layersOf(graph, node, trains)) {
      const input = waiting[index];
      const residual = input === undefined || keptTensors.has(input) ? 0 : 4 * elements(shapeOf(graph, input));
      peak = Math.max(peak, kept + layer.momentary + residual);
      kept += layer.kept;
      if (layer.keepsInput) keptTensors.add(node.inputs[0] ?? '');
    }
  });
  peak = Math.max(peak, kept);
  return { parameterBytes, activationBytesPerImage: peak, totalBytes: parameterBytes + batch * peak };
}

function layersOf(graph: Graph, node: Node, trains: ReadonlySet<string>): Layer[] {
  const { op, inputs, output, parameters } = node;
  const x = 4 * elements(shapeOf(graph, inputs[0] ?? graph.input));
  const y = 4 * elements(shapeOf(graph, output));
  const product = (groups: number): Layer => ({
    momentary: x + y / groups,
    ...keeps(trains.has(parameters.weight ?? ''), x),
  });
  const norm = (): Layer => ({ momentary: x, ...keeps(trains.has(parameters.scale ?? ''), x) });
  const clipping = (): Layer => ({ momentary: x, kept: x / 32, keepsInput: false });
  switch (op) {
    case 'Conv':
    case 'Gemm':
      return [product(1)];
    case 'GroupedConv':
      return [product((node.attributes as GroupedConvAttributes).group)];
    case 'DepthwiseConv':
      return [product(shapeOf(graph, output).at(-1) ?? 1)];
    case 'Affine': {
      const norms = parameters.variance === undefined ? [] : [norm()];
      return hasActivation((node as Node<AffineAttributes>).attributes) ? [...norms, clipping()] : norms;
    }
    case 'BatchNorm':
    case 'LayerNorm':
      return [norm()];
    case 'Clip':
      return [clipping()];
    case 'Activation':
      return node.attributes.function === 'leakyRelu' ? [clipping()] : [{ momentary: x, ...keeps(true, x) }];
    default:
      return [];
  }
}

function keeps(keepsInput: boolean, bytes: number): Pick<Layer, 'kept' | 'keepsInput'> {
  return { kept: keepsInput ? bytes : 0, keepsInput };
}

/** For each node, the block input that waits meanwhile for the addition at the block's end. */
function residualInputs(graph: Graph): (string | undefined)[] {
  const waiting = new Array<string | undefined>(graph.nodes.length).fill(undefined);
  const all = borders(graph);
  all.forEach(({ after, tensor }, i) => {
    const end = all[i + 1]?.after ?? after;
    if (graph.nodes[end]?.op !== 'Add') return;
    for (let at = after + 1; at <= end; at++) waiting[at] = tensor;
  });
  return waiting;
}
