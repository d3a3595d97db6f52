/** @file Joins each activation to the norm or bias right before it, so that both share one pass over memory. */
import { hasActivation } from '../../kernels/activation.ts';
import type { AffineAttributes } from '../../kernels/affine.ts';
import { consumers, type Graph, type Node } from './graph.ts';

/** Affine followed only by Clip becomes one Affine with that activation. */
export function fuseActivations(graph: Graph): Graph {
  const readers = consumers(graph);
  const fused = new Set<string>();
  const nodes = graph.nodes.flatMap((node): Node[] => {
    if (fused.has(node.name)) return [];
    const next = readers.get(node.output) ?? [];
    const [clip] = next;
    const plain = node.op === 'Affine' && !hasActivation((node as Node<AffineAttributes>).attributes);
    if (!plain || next.length !== 1 || clip?.op !== 'Clip' || node.output === graph.output) return [node];
    fused.add(clip.name);
    return [{ ...node, output: clip.output, attributes: { ...node.attributes, ...clip.attributes } }];
  });
  const alive = new Set([graph.input, ...nodes.map(({ output }) => output)]);
  return { ...graph, nodes, shapes: new Map([...graph.shapes].filter(([tensor]) => alive.has(tensor))) };
}
