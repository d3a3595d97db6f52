/**
 * @file The reverse walk: a graph and what trains in it become a training graph of steps over named values.
 *
 * It knows no op by name. Each node's rule (kernels/) says what it keeps and which gradients it passes through; nothing
 * outside the path from a trained parameter to the loss is built.
 */
import type { Border } from '../graph/borders.ts';
import type { Graph, Node } from '../graph/graph.ts';
import { findCut } from './cut.ts';
import { planLocalLoss, planNodes } from './node-plans.ts';
import { ReverseWalk } from './reverse-walk.ts';
import { gradientName, type TrainingGraph } from './training-graph.ts';

export interface DifferentiateOptions {
  /** Probability mass spread over all classes, 0 to below 1; default 0. */
  readonly labelSmoothing?: number;
  /** How float tensors that the backward pass reads are kept; default `float`. */
  readonly kept?: 'float' | '8bit';
  /** Runs of nodes whose insides are computed again instead of kept, each as names in the graph's order. */
  readonly recompute?: readonly (readonly string[])[];
  /** Where the frozen prefix ends, if the caller knows (cut.ts). */
  readonly cut?: Border;
  /**
   * `labels`: cross-entropy with labels (default); `logits`: whoever runs the steps says what the gradient of the logits is, and
   * the graph's local losses count.
   */
  readonly objective?: Objective;
}

export type Objective = 'labels' | 'logits';

const LOSS = 'loss';
const LABELS = 'labels';

/**
 * Differentiates.
 * @param trains names of the parameters that learn
 * @throws UnsupportedOpError naming every op above the cut that has no kernel or no backward rule
 */
export function differentiate(
  graph: Graph,
  trains: ReadonlySet<string>,
  options: DifferentiateOptions = {},
): TrainingGraph {
  const cut = options.cut ?? findCut(graph, trains);
  const prefix = graph.nodes.slice(0, cut.after + 1);
  const lossNode: Node = {
    op: 'SoftmaxCrossEntropy',
    name: LOSS,
    inputs: [graph.output, LABELS],
    parameters: {},
    output: LOSS,
    attributes: { labelSmoothing: options.labelSmoothing ?? 0 },
  };
  const labelled = options.objective !== 'logits';
  const walked: Graph = labelled
    ? {
        ...graph,
        nodes: [...graph.nodes, lossNode],
        shapes: new Map([...graph.shapes, [LABELS, [1]], [LOSS, [1]]]),
      }
    : graph;
  const target = labelled ? LOSS : graph.output;
  const suffix = walked.nodes.slice(cut.after + 1);
  const plans = planNodes(walked, suffix, trains);
  const walk = new ReverseWalk(walked, plans, {
    kept: options.kept ?? 'float',
    recompute: options.recompute ?? [],
    local: labelled ? [] : (graph.localLosses ?? []).flatMap((loss) => planLocalLoss(plans, loss) ?? []),
  });
  return {
    graph,
    cut: cut.tensor,
    prefix,
    suffix,
    ...walk.run(labelled ? [cut.tensor, LABELS] : [cut.tensor], target),
    logits: graph.output,
    labels: labelled ? LABELS : null,
    loss: labelled ? LOSS : null,
    seed: gradientName(target),
  };
}
