/** @file The part of a plan's making that does not depend on the micro-batch, remembered for each graph. */
import { kernelOf } from '../../kernels/index.ts';
import { differentiate } from '../autodiff/autodiff.ts';
import type { TrainingGraph } from '../autodiff/training-graph.ts';
import { elements, type Graph, parameterOf, shapeOf } from '../graph/graph.ts';
import { nodeShapes } from '../graph/node-shapes.ts';
import type { Scheme, SchemeOptions } from '../scheme/options.ts';
import { applyScheme } from '../scheme/scheme.ts';
import { prefixLoadingBytes, prefixRunBytes, prefixWeightBytes } from './accounting.ts';
import { lifetimes, type Storage } from './lifetimes.ts';
import { type PinnedBuffers, pinBuffers } from './pinned.ts';
import type { OptimizerName } from './plan.ts';
import { type Savings, withSavings } from './savings.ts';

export interface Prepared {
  readonly scheme: Scheme;
  readonly savings: Savings;
  readonly training: TrainingGraph;
  readonly storages: readonly Storage[];
  readonly pinned: PinnedBuffers;
  /** Weights of the prefix, once it runs and while it is opened. */
  readonly prefixWeightBytes: number;
  readonly prefixLoadingBytes: number;
  /** What running the prefix takes besides, for one image. */
  readonly prefixRunBytes: number;
  /** Of the largest parameter that trains. */
  readonly largestTrainedBytes: number;
  /** Floating-point operations of the prefix for one image. */
  readonly prefixFlops: number;
  readonly trainableParameters: number;
}

export interface PrepareOptions {
  readonly scheme: SchemeOptions;
  readonly savings: Savings;
  readonly labelSmoothing: number;
  readonly optimizer: OptimizerName;
}

/** The prefix takes one image at a time: measured, its rate is that of a batch and its peak a fraction. */
export const PREFIX_BATCH = 1;

const prepared = new WeakMap<Graph, Map<string, Prepared>>();
/** The last candidates of a graph are remembered, no more: each holds a training graph, and a search makes hundreds. */
const REMEMBERED = 4;

/** Applies the scheme, differentiates, and finds lifetimes. The same options on the same graph are worked out once. */
export function prepare(graph: Graph, options: PrepareOptions): Prepared {
  const known = prepared.get(graph) ?? new Map<string, Prepared>();
  prepared.set(graph, known);
  const key = JSON.stringify(options);
  const found = known.get(key) ?? compute(graph, options);
  known.delete(key);
  known.set(key, found);
  const [oldest] = known.keys();
  if (known.size > REMEMBERED && oldest !== undefined) known.delete(oldest);
  return found;
}

function compute(graph: Graph, { scheme: options, savings, labelSmoothing, optimizer }: PrepareOptions): Prepared {
  const scheme = applyScheme(graph, options);
  const nodes = scheme.graph.nodes.map((node) => withSavings(node, savings, scheme.derivative));
  const trained = scheme.parts.filter(({ block, trains }) => block.role !== 'head' && trains.length > 0);
  const training = differentiate({ ...scheme.graph, nodes }, new Set(scheme.trains.keys()), {
    labelSmoothing,
    kept: savings.tensors,
    recompute: savings.recompute ? trained.map(({ block }) => block.nodes) : [],
    blocks: scheme.parts.map(({ block }) => block),
  });
  const { prefix, cut } = training;
  const imageElements = elements(shapeOf(graph, graph.input));
  return {
    scheme,
    savings,
    training,
    storages: lifetimes(training, { imageElements, prefixBatch: PREFIX_BATCH }),
    pinned: pinBuffers(graph, scheme, training, optimizer),
    prefixWeightBytes: prefixWeightBytes(scheme.graph, prefix),
    prefixLoadingBytes: prefixLoadingBytes(scheme.graph, prefix),
    prefixRunBytes: prefixRunBytes(scheme.graph, prefix, cut),
    largestTrainedBytes: Math.max(
      0,
      ...[...scheme.trains.keys()].map((name) => 4 * elements(parameterOf(graph, name).shape)),
    ),
    prefixFlops: prefix.reduce(
      (sum, node) => sum + (kernelOf(node)?.flops(nodeShapes(scheme.graph, node), node.attributes) ?? 0),
      0,
    ),
    trainableParameters: [...scheme.trains]
      .filter(([, group]) => group !== 'statistics')
      .reduce((sum, [name]) => sum + elements(parameterOf(graph, name).shape), 0),
  };
}
