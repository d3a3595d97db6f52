/** @file What plain fine-tuning keeps for its backward pass, which a plan's savings are compared with. */
import type { AffineAttributes } from '../../kernels/affine.ts';
import { kernelOf } from '../../kernels/index.ts';
import { elements, type Graph, type Node, shapeOf } from '../graph/graph.ts';
import { nodeShapes } from '../graph/node-shapes.ts';

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
