/** @file What things cost outside the arena. */
import { elements, type Graph, type Node, parameterOf } from '../graph/graph.ts';

const MIB = 2 ** 20;

/**
 * Node, its workers, onnxruntime and its sessions without any model, by Node's major version (x64); from 22 on each thread but one is
 * another JavaScript heap (engine/cpu/simd-threads.ts). Set to the largest that `npm run bench -- memory` found.
 */
export function processBaseBytes(nodeVersion: string, threads: number): number {
  const major = Number.parseInt(nodeVersion, 10);
  if (major < 22) return 104 * MIB;
  return ((major >= 24 ? 124 : 115) + 10 * (threads - 1)) * MIB;
}

/**
 * What the process holds while it writes the exported model, after the arena is gone: itself, the base file, and the delta. The
 * new file is written tensor by tensor.
 */
export function exportBytes(baseBytes: number, fileBytes: number, deltaBytes: number): number {
  return baseBytes + PARSER_BYTES + fileBytes + deltaBytes;
}

/** A thread that has loaded the ONNX parser, less what training's own sessions held. */
const PARSER_BYTES = 16 * MIB;

/**
 * Image buffers of the data pipeline: two batches of u8 pixels, one that the engine reads and one that is made ready meanwhile,
 * and a few images as they are read, augmented or decoded.
 */
export function dataBytes(batch: number, imageSize: number): number {
  return (2 * batch + 4) * 3 * imageSize * imageSize;
}

/** What a feature cache takes besides: room for the features of both batches. */
export function featureRoomBytes(batch: number, featureBytes: number): number {
  return 2 * batch * featureBytes;
}

/** Weights that onnxruntime holds for the prefix: every parameter once, in its own layout. */
export function prefixWeightBytes(graph: Graph, prefix: readonly Node[]): number {
  return sumBytes(graph, prefix, () => 1);
}

/**
 * What the weights of the prefix take at most while its session is opened. onnxruntime folds norms into convolutions and
 * reorders their weights, each time into new memory; those of matrix products are used as they are.
 */
export function prefixLoadingBytes(graph: Graph, prefix: readonly Node[]): number {
  return sumBytes(graph, prefix, (name) => (parameterOf(graph, name).origin.shape.length === 4 ? 2.25 : 1));
}

function sumBytes(graph: Graph, nodes: readonly Node[], factor: (parameter: string) => number): number {
  const names = new Set(nodes.flatMap(({ parameters }) => Object.values(parameters)));
  const sum = [...names].reduce((bytes, name) => bytes + factor(name) * elements(parameterOf(graph, name).shape), 0);
  return 4 * Math.ceil(sum);
}

/**
 * What running the prefix takes besides its weights, for one image: the session's own tables, and activations, of which its
 * allocator keeps more than are alive at once.
 */
export function prefixRunBytes(graph: Graph, prefix: readonly Node[], cut: string): number {
  if (prefix.length === 0) return 0;
  return NODE_BYTES * prefix.length + ALLOCATOR_FACTOR * prefixPeakBytes(graph, prefix, cut);
}

const NODE_BYTES = 64 * 1024;
const ALLOCATOR_FACTOR = 3;

/** Ops whose norm and activation onnxruntime computes in the same pass. */
const fusing: ReadonlySet<string> = new Set(['Conv', 'DepthwiseConv', 'GroupedConv', 'Gemm', 'Affine']);

/**
 * Activations alive at once inside the prefix session at its worst node, for one image: its inputs, its output and
 * whatever waits for a later node. Norms and clipping activations behind a convolution take nothing of their own.
 */
function prefixPeakBytes(graph: Graph, prefix: readonly Node[], cut: string): number {
  const size = (tensor: string): number => elements(graph.shapes.get(tensor) ?? []);
  const root = new Map<string, string>();
  const find = (tensor: string): string => root.get(tensor) ?? tensor;
  const producer = new Map(prefix.map((node) => [node.output, node.op]));
  for (const { op, inputs, output } of prefix) {
    const [input = ''] = inputs;
    const fused = op === 'Clip' || (op === 'Affine' && fusing.has(producer.get(input) ?? ''));
    if (fused) root.set(output, find(input));
  }
  const lastUse = new Map<string, number>([[find(cut), prefix.length]]);
  prefix.forEach(({ inputs, output }, index) => {
    for (const tensor of [...inputs, output])
      lastUse.set(find(tensor), Math.max(index, lastUse.get(find(tensor)) ?? 0));
  });
  const alive = new Set([graph.input]);
  let peak = 0;
  prefix.forEach(({ output }, index) => {
    alive.add(find(output));
    const bytes = [...alive].reduce((sum, tensor) => sum + size(tensor), 0);
    peak = Math.max(peak, bytes);
    for (const tensor of alive) if ((lastUse.get(tensor) ?? 0) <= index) alive.delete(tensor);
  });
  return 4 * peak;
}
