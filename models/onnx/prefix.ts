/** @file The frozen part of a model, cut out as an ONNX model of its own. */
import { type Graph, shapeOf } from '../../runtime/graph/graph.ts';
import { inlined, inlinedNode, outside, requireOneFile } from './external-data.ts';
import { imageInput } from './image-input.ts';
import { channelsLastTensors } from './layout.ts';
import type { ModelFile } from './model-file.ts';
import { outerReads } from './onnx-node.ts';
import {
  encodeModel,
  type GraphProto,
  makeGraph,
  makeModel,
  makeNode,
  makeValueInfo,
  type NodeProto,
  type TensorProto,
} from './proto.ts';

const OUTPUT = 'edgeshift_cut';

/**
 * The sub-model from the image to tensor `cut`, whose output is channels-last. Null if the cut is the image itself.
 * Anything onnxruntime can run may stand in it: nodes are taken over as they are.
 * @param weights `inside`: the sub-model holds its weights; `beside`: it refers to the model file, beside which it must be
 *   opened, and the weights are in memory once less
 */
export function extractPrefix(
  file: ModelFile,
  graph: Graph,
  cut: string,
  weights: 'inside' | 'beside' = 'inside',
): Uint8Array | null {
  if (cut === graph.input) return null;
  const { node, initializer, encode } = cutOut(file, graph, cut);
  if (weights === 'inside') requireOneFile(file.path, { node, initializer });
  return encode(initializer.map(weights === 'inside' ? inlined : outside));
}

/** What lies between the image and a tensor. */
interface CutOut {
  readonly node: NodeProto[];
  readonly initializer: TensorProto[];
  /** ONNX bytes with these initializers in the place of its own; holds nothing of the file but nodes. */
  encode(initializer: TensorProto[]): Uint8Array;
}

export function cutOut(file: ModelFile, graph: Graph, cut: string): CutOut {
  const { irVersion, opsetImport, functions } = file.proto;
  const source = file.proto.graph as GraphProto;
  const nodes = ancestors(source, cut);
  const shape = shapeOf(graph, cut);
  const { name, shape: image } = imageInput(file, shapeOf(graph, graph.input)[0]);
  // A map leaves the session as the arena wants it; what lies so already, or is a vector, needs nothing but the name.
  const last =
    shape.length === 3 && !channelsLastTensors(source).has(cut)
      ? makeNode('Transpose', OUTPUT, [cut], [OUTPUT], { perm: [0, 2, 3, 1] })
      : makeNode('Identity', OUTPUT, [cut], [OUTPUT]);
  const node = [...nodes.map(inlinedNode), last];
  const input = [makeValueInfo(name, ['N', 3, image[0] ?? 0, image[1] ?? 0])];
  const output = [makeValueInfo(OUTPUT, ['N', ...shape])];
  return {
    node: nodes,
    initializer: usedInitializers(source, nodes),
    encode: (initializer) =>
      encodeModel(
        makeModel({
          ...{ irVersion, opsetImport, functions },
          graph: makeGraph({ name: 'prefix', node, initializer, input, output }),
        }),
      ),
  };
}

/** Initializers that the nodes read, in the bodies of If and Loop too. */
export function usedInitializers(graph: GraphProto, nodes: readonly NodeProto[]): TensorProto[] {
  const used = new Set(nodes.flatMap((node) => [...node.input, ...outerReads(node)]));
  return graph.initializer.filter(({ name }) => used.has(name));
}

/** Nodes the tensor depends on, in the file's order. */
export function ancestors(graph: GraphProto, tensor: string): NodeProto[] {
  const needed = new Set([tensor]);
  const kept = graph.node.toReversed().filter((node) => {
    if (!node.output.some((output) => needed.has(output))) return false;
    for (const input of [...node.input, ...outerReads(node)]) needed.add(input);
    return true;
  });
  return kept.reverse();
}
