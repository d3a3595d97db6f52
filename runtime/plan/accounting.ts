/** @file What things cost outside the arena. */
import { elements, type Graph, type Node, parameterOf } from '../graph/graph.ts';
import type { ProductsName } from './plan.ts';

const MIB = 2 ** 20;

/**
 * Node, its workers, onnxruntime and its sessions without any model, by Node's major version (x64); from 22 on each thread but one is
 * another JavaScript heap (engine/cpu/simd-threads.ts). Set to the largest that `npm run bench -- memory` found.
 */
export function processBaseBytes(nodeVersion: string, threads: number, products: ProductsName = 'onnxruntime'): number {
  const major = Number.parseInt(nodeVersion, 10);
  const helpers = HELPER_BYTES * (threads - 1);
  // Without onnxruntime any version shares its arena (engine/cpu/simd-threads.ts).
  if (products === 'simd') return (major >= 24 ? 99 : major >= 22 ? 92 : 79) * MIB + helpers;
  if (major < 22) return 104 * MIB;
  return (major >= 24 ? 124 : 115) * MIB + helpers;
}

/** The JavaScript heap of a thread that helps with SIMD kernels. */
const HELPER_BYTES = 10 * MIB;

/**
 * What the process holds while it writes the exported model, after the arena is gone: itself, the base file, and the delta. The
 * new file is written tensor by tensor.
 */
export function exportBytes(baseBytes: number, fileBytes: number, deltaBytes: number): number {
  return baseBytes + PARSER_BYTES + fileBytes + deltaBytes;
}

/** A thread that has loaded the ONNX parser, less what training's own sessions held: 2 to 5 MiB, 2026-11-21. */
const PARSER_BYTES = 6 * MIB;

/**
 * What the process holds while a thread reads the model: the file, and the values that will lie on the arena. Garbage of reading takes
 * what the engine, which is not loaded yet, takes later (ResNet-50, 3 blocks of shifts: 86 to 107 MiB besides, 2026-11-21).
 */
export function readingBytes(baseBytes: number, fileBytes: number, arenaWeightBytes: number): number {
  return baseBytes + fileBytes + arenaWeightBytes;
}

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
  return weightsOf(graph, prefix).bytes;
}

/**
 * What the prefix takes at most while its session is opened. onnxruntime folds norms into convolutions and reorders their weights
 * into new memory, and lets go of the old ones at the end: large ones are there twice, and while the largest is at
 * work three more times. Those of matrix products are used as they are.
 */
export function prefixLoadingBytes(graph: Graph, prefix: readonly Node[]): number {
  const { bytes, largeConvBytes, largestConvBytes } = weightsOf(graph, prefix);
  return bytes + sessionBytes(graph, prefix) + largeConvBytes + COPIES_OF_LARGEST * largestConvBytes;
}

/**
 * What running the prefix takes besides its weights, for one image: the session itself, and activations, of which its
 * allocator keeps more than are alive at once.
 */
export function prefixRunBytes(graph: Graph, prefix: readonly Node[], cut: string): number {
  if (prefix.length === 0) return 0;
  return sessionBytes(graph, prefix) + Math.ceil(ALLOCATOR_FACTOR * prefixPeakBytes(graph, prefix, cut));
}

/** A session's tables, and the holes that its opening leaves where small weights of convolutions were before they were reordered. */
function sessionBytes(graph: Graph, prefix: readonly Node[]): number {
  return NODE_BYTES * prefix.length + Math.ceil(HOLES_FACTOR * weightsOf(graph, prefix).smallConvBytes);
}

/** malloc returns blocks of this size to the system once they are free (the settings in the command's first line), smaller ones not. */
const RETURNED_BYTES = MIB;

// Set to `npm run bench -- prefixes`, 2026-11-21; tools/bench/README.md has the figures.
const NODE_BYTES = 16 * 1024;
const HOLES_FACTOR = 1.25;
const COPIES_OF_LARGEST = 3;
/** The allocator's regions of the first run grow by doubling; from the second on a block laid out after the first lies beside them. */
const ALLOCATOR_FACTOR = 2.5;

interface PrefixWeights {
  readonly bytes: number;
  /** Of those of convolutions, what malloc keeps once they are free, and what it returns. */
  readonly smallConvBytes: number;
  readonly largeConvBytes: number;
  /** 0 where none is large. */
  readonly largestConvBytes: number;
}

function weightsOf(graph: Graph, nodes: readonly Node[]): PrefixWeights {
  const names = new Set(nodes.flatMap(({ parameters }) => Object.values(parameters)));
  let [bytes, smallConvBytes, largeConvBytes, largestConvBytes] = [0, 0, 0, 0];
  for (const name of names) {
    const { shape, origin } = parameterOf(graph, name);
    const size = 4 * elements(shape);
    bytes += size;
    if (origin.shape.length !== 4) continue;
    if (size < RETURNED_BYTES) smallConvBytes += size;
    else {
      largeConvBytes += size;
      largestConvBytes = Math.max(largestConvBytes, size);
    }
  }
  return { bytes, smallConvBytes, largeConvBytes, largestConvBytes };
}

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
