/** @file What things cost outside the arena, and what plain fine-tuning would keep. */
import type { AffineAttributes } from '../../kernels/affine.ts';
import { kernelOf } from '../../kernels/index.ts';
import { elements, type Graph, type Node, parameterOf, shapeOf } from '../graph/graph.ts';
import { nodeShapes } from '../graph/node-shapes.ts';

const MIB = 2 ** 20;

/**
 * Node, its workers, onnxruntime and its sessions without any model, by Node's major version: what the peak of training runs
 * leaves when everything planned is taken off, with a margin (`npm run bench -- memory`; x64).
 */
export function processBaseBytes(nodeVersion: string): number {
  const major = Number.parseInt(nodeVersion, 10);
  if (major >= 24) return 144 * MIB;
  return (major >= 22 ? 134 : 124) * MIB;
}

/**
 * What the process holds while it writes the exported model, after the arena is gone: itself, the base file, the delta, and
 * the new file.
 */
export function exportBytes(baseBytes: number, fileBytes: number, deltaBytes: number): number {
  return baseBytes + PARSER_BYTES + 2 * fileBytes + deltaBytes;
}

/** A thread that has loaded the ONNX parser, less what training's own sessions held. */
const PARSER_BYTES = 8 * MIB;

/** Image buffers of the data pipeline: two batches of u8 pixels ahead, and one image as the decoder holds it. */
export function dataBytes(batch: number, imageSize: number): number {
  return (2 * batch + 4) * 3 * imageSize * imageSize;
}

/** Weights that onnxruntime holds for the prefix: every parameter once, in its own layout. */
export function prefixWeightBytes(graph: Graph, prefix: readonly Node[]): number {
  const names = new Set(prefix.flatMap(({ parameters }) => Object.values(parameters)));
  return 4 * [...names].reduce((sum, name) => sum + elements(parameterOf(graph, name).shape), 0);
}

/**
 * Activations alive at once inside the prefix session at its worst node, for `batch` images: its inputs, its output and
 * whatever waits for a later node. Norms and activations work in place, as onnxruntime fuses them.
 */
export function prefixPeakBytes(graph: Graph, prefix: readonly Node[], cut: string, batch: number): number {
  const size = (tensor: string): number => elements(graph.shapes.get(tensor) ?? []);
  const root = new Map<string, string>();
  const find = (tensor: string): string => root.get(tensor) ?? tensor;
  for (const { op, inputs, output } of prefix) {
    const [input] = inputs;
    if ((op === 'Affine' || op === 'Clip') && input !== undefined) root.set(output, find(input));
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
  return 4 * batch * peak;
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
