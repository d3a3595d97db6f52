/** @file What things cost outside the arena, and what plain fine-tuning would keep. */
import { hasActivation, maskBytes } from '../../kernels/activation.ts';
import type { AffineAttributes } from '../../kernels/affine.ts';
import { elements, type Graph, type Node, parameterOf, type Shape, shapeOf } from '../graph/graph.ts';

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
 * Bytes of one image that plain fine-tuning of a block keeps: every convolution's input, every norm's input, and one bit
 * for each kink of an activation (two for ReLU6). This is the convention that reproduces the 4.03 MB of the MobileTL
 * paper's figure for a MobileNetV2 block; batch vectors (mean, deviation) are left out, as they are far below a percent.
 */
export function plainStoredBytes(graph: Graph, nodes: readonly Node[]): number {
  const stored = new Set<string>();
  let bytes = 0;
  for (const { op, inputs, attributes, output, parameters } of nodes) {
    const [x = ''] = inputs;
    if (op === 'Conv' || op === 'DepthwiseConv' || op === 'Gemm') stored.add(x);
    if (op === 'Affine' && parameters.variance !== undefined) stored.add(x);
    if (op === 'Affine' || op === 'Clip') {
      const { low, high } = attributes as AffineAttributes;
      const kinks = Number(low !== null) + Number(high !== null);
      if (hasActivation(attributes as AffineAttributes)) bytes += kinks * maskBytes(shapeOf(graph, output) as Shape);
    }
  }
  return [...stored].reduce((sum, tensor) => sum + 4 * elements(shapeOf(graph, tensor)), bytes);
}
