/** @file What each node above the cut is asked for: which gradients are wanted of it and what it keeps for them. */
import { kernelOf } from '../../kernels/index.ts';
import type { Kernel, NodeShapes, Save, Wants } from '../../kernels/kernel.ts';
import { type UnsupportedOp, UnsupportedOpError } from '../errors.ts';
import type { Graph, LocalLoss, Node } from '../graph/graph.ts';
import { nodeShapes } from '../graph/node-shapes.ts';

export interface NodePlan {
  readonly node: Node;
  readonly kernel: Kernel;
  readonly shapes: NodeShapes;
  readonly wants: Wants;
  /** True if some gradient is wanted of it. */
  readonly onPath: boolean;
  readonly saves: readonly Save[];
}

/**
 * Marks the path from the trained parameters to the loss.
 * @throws UnsupportedOpError naming every op that has no kernel or no backward rule
 */
export function planNodes(graph: Graph, suffix: readonly Node[], trains: ReadonlySet<string>): NodePlan[] {
  const needsGradient = new Set<string>();
  const refused: Refused[] = [];
  const plans = suffix.map((node): NodePlan | null => {
    const kernel = kernelOf(node);
    const parameters = new Set(
      Object.entries(node.parameters).flatMap(([role, name]) => (trains.has(name) ? [role] : [])),
    );
    const trained = [...parameters].filter((role) => !kernel?.running?.includes(role));
    const wants: Wants = {
      inputs: node.inputs.map((input, index) => needsGradient.has(input) && !kernel?.constants?.includes(index)),
      parameters: new Set(trained),
    };
    const onPath = wants.inputs.some(Boolean) || trained.length > 0;
    const reason = refusal(node, kernel, onPath, wants.parameters);
    if (!kernel || reason) {
      refused.push({ node, reason: reason ?? NO_KERNEL });
      return null;
    }
    if (onPath) needsGradient.add(node.output);
    const shapes = nodeShapes(graph, node);
    const saves = onPath && !('none' in kernel.backward) ? kernel.backward.saves(node, shapes, wants) : [];
    return { node, kernel, shapes, wants, onPath, saves };
  });
  if (refused.length > 0) {
    throw new UnsupportedOpError(
      `model "${graph.name}" cannot be trained that far down: these ops lie above the cut`,
      byOp(refused),
      'train fewer blocks (--blocks), so that they fall into the frozen part, which onnxruntime runs',
    );
  }
  return plans.filter((plan) => plan !== null);
}

interface Refused {
  readonly node: Node;
  readonly reason: string;
}

const NO_KERNEL = 'no kernel';

/** Refused nodes by their op in the file, each with the first node's reason. */
function byOp(refused: readonly Refused[]): UnsupportedOp[] {
  const ops = new Map<string, { nodes: string[]; reason: string }>();
  for (const { node, reason } of refused) {
    const op = String(node.attributes.onnxOp ?? node.op);
    const entry = ops.get(op) ?? { nodes: [], reason };
    ops.set(op, { ...entry, nodes: [...entry.nodes, node.name] });
  }
  return [...ops].map(([op, { nodes, reason }]) => ({ op, nodes, reason }));
}

/**
 * Without onnxruntime nothing runs what has no kernel, trained or not.
 * @throws UnsupportedOpError naming every such op
 */
export function requireKernels(graph: Graph): void {
  const refused = graph.nodes.flatMap((node): Refused[] =>
    kernelOf(node) ? [] : [{ node, reason: String(node.attributes.reason ?? NO_KERNEL) }],
  );
  if (refused.length === 0) return;
  throw new UnsupportedOpError(
    `model "${graph.name}" cannot run without onnxruntime: these ops have no SIMD kernel`,
    byOp(refused),
    'run it where onnxruntime loads (--products onnxruntime)',
  );
}

/** A local loss and the nodes that its gradient reaches, in the graph's order. */
export interface LocalPlan {
  readonly loss: string;
  readonly plans: readonly NodePlan[];
}

/**
 * What a local loss asks of its nodes: as `planNodes` says, but for gradients that would leave them. Null if nothing of them trains.
 */
export function planLocalLoss(all: readonly NodePlan[], { tensor, nodes }: LocalLoss): LocalPlan | null {
  const members = new Set(nodes);
  const inside = new Set<string>();
  const plans = all.flatMap((plan): NodePlan[] => {
    const { node, kernel, shapes, onPath } = plan;
    if (!members.has(node.name) || !onPath) return [];
    const inputs = node.inputs.map((input, index) => inside.has(input) && plan.wants.inputs[index] === true);
    const wants: Wants = { ...plan.wants, inputs };
    if (!inputs.some(Boolean) && wants.parameters.size === 0) return [];
    inside.add(node.output);
    const saves = 'none' in kernel.backward ? [] : kernel.backward.saves(node, shapes, wants);
    return [{ ...plan, wants, saves }];
  });
  return inside.has(tensor) ? { loss: tensor, plans } : null;
}

function refusal(node: Node, kernel: Kernel | undefined, onPath: boolean, trained: ReadonlySet<string>): string | null {
  if (!kernel) return String(node.attributes.reason ?? NO_KERNEL);
  if (onPath && 'none' in kernel.backward) return kernel.backward.none;
  const fixed = [...trained].filter((role) => !kernel.trainable.includes(role));
  return fixed.length > 0 ? `its ${fixed.join(', ')} cannot be trained` : null;
}
