/** @file What things cost outside the arena, and what plain fine-tuning would keep. */
import type { AffineAttributes } from '../../kernels/affine.ts';
import { kernelOf } from '../../kernels/index.ts';
import { elements, type Graph, type Node, parameterOf, shapeOf } from '../graph/graph.ts';
import { nodeShapes } from '../graph/node-shapes.ts';

const MIB = 2 ** 20;

/**
 * Node, its workers, onnxruntime and its sessions without any model, by Node's major version (x64). This and the factors below
 * are fitted to the peaks of 20 training runs of 14 networks, which they meet within -5 and +10 % (`npm run bench -- memory` repeats some).
 */
export function processBaseBytes(nodeVersion: string): number {
  const major = Number.parseInt(nodeVersion, 10);
  if (major >= 24) return 133 * MIB;
  return (major >= 22 ? 123 : 113) * MIB;
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

/** Image buffers of the data pipeline: two batches of u8 pixels ahead, and one image as the decoder holds it. */
export function dataBytes(batch: number, imageSize: number): number {
  return (2 * batch + 4) * 3 * imageSize * imageSize;
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

const NODE_BYTES = 40 * 1024;
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

/**
 * Bytes of one image that plain fine-tuning of a block keeps: whatever the kernels keep if everything trains exactly
 * (inputs of convolutions, norms and smooth activations), and one bit for each kink of a clipping activation (two for
 * ReLU6). This is the convention that reproduces the MobileTL paper's figures: 4.03 MB for a MobileNetV2 block, 8.74 to
 * 35.92 MB for MobileNetV3-Small. Batch vectors (mean, deviation) are left out, as they are far below a percent.
 */
export function plainStoredBytes(graph: Graph, nodes: readonly Node[]): number {
  const stored = new Set<string>();
  let bytes = 0;
  for (const node of nodes) {
    const kernel = kernelOf(node);
    if (!kernel || 'none' in kernel.backward) continue;
    const exact = kernel.alternatives?.(node.attributes)[0];
    const plain = exact === undefined ? node : { ...node, attributes: { ...node.attributes, save: exact } };
    const wants = { inputs: node.inputs.map(() => true), parameters: new Set(kernel.trainable) };
    for (const save of kernel.backward.saves(plain, nodeShapes(graph, plain), wants)) {
      if (save.kind === 'own') bytes += (save.name === 'mask' ? kinks(node) : 1) * save.bytesPerImage;
      // A bias and a scale of its own keep nothing in plain fine-tuning either, if they stand for no norm.
      else if (node.op !== 'Affine' || node.parameters.scale !== undefined) {
        stored.add(save.kind === 'output' ? node.output : (node.inputs[save.index] ?? ''));
      }
    }
  }
  return [...stored].reduce((sum, tensor) => sum + 4 * elements(shapeOf(graph, tensor)), bytes);
}

function kinks({ attributes }: Node): number {
  const { low, high } = attributes as Partial<AffineAttributes>;
  return Number((low ?? null) !== null) + Number((high ?? null) !== null);
}
