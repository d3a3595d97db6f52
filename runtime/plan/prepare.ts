/**
 * @file The part of a plan's making that does not depend on the micro-batch, in two stages, each remembered for each graph:
 * what a scheme alone decides, then the training graph.
 */
import { kernelOf } from '../../kernels/index.ts';
import { differentiate, type Objective } from '../autodiff/autodiff.ts';
import { findCut, imageBorder } from '../autodiff/cut.ts';
import { requireKernels } from '../autodiff/node-plans.ts';
import type { TrainingGraph } from '../autodiff/training-graph.ts';
import type { Border } from '../graph/borders.ts';
import { elements, type Graph, parameterOf, shapeOf } from '../graph/graph.ts';
import { nodeShapes } from '../graph/node-shapes.ts';
import type { Scheme, SchemeOptions } from '../scheme/options.ts';
import { applyScheme } from '../scheme/scheme.ts';
import { prefixLoadingBytes, prefixRunBytes, prefixWeightBytes } from './accounting.ts';
import { lifetimes, type Storage } from './lifetimes.ts';
import { type PinnedBuffers, pinBuffers } from './pinned.ts';
import type { OptimizerName, ProductsName } from './plan.ts';
import { withSavings } from './saving-choices.ts';
import type { Savings } from './savings.ts';

/** What a scheme alone decides, before anything is differentiated: the same however tensors are kept. */
export interface PreparedScheme {
  readonly scheme: Scheme;
  readonly products: ProductsName;
  readonly cut: Border;
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

export interface Prepared extends PreparedScheme {
  readonly savings: Savings;
  readonly training: TrainingGraph;
  readonly storages: readonly Storage[];
}

export interface PrepareOptions {
  readonly scheme: SchemeOptions;
  readonly savings: Savings;
  readonly labelSmoothing: number;
  readonly optimizer: OptimizerName;
  /** Default `onnxruntime`. */
  readonly products?: ProductsName;
  readonly objective?: Objective;
  /** Runs of nodes whose insides are computed again, each in the graph's order; default none. */
  readonly recompute?: readonly (readonly string[])[];
}

/** The prefix takes one image at a time: measured, its rate is that of a batch and its peak a fraction. */
export const PREFIX_BATCH = 1;

type Memory<T> = WeakMap<Graph, Map<string, T>>;

const schemes: Memory<PreparedScheme> = new WeakMap();
const prepared: Memory<Prepared> = new WeakMap();
/** The last candidates of a graph are remembered, no more: each holds a training graph, and a search makes hundreds. */
const REMEMBERED = 4;

/** The same options on the same graph are worked out once. */
function remember<T>(memory: Memory<T>, graph: Graph, options: unknown, compute: () => T): T {
  const known = memory.get(graph) ?? new Map<string, T>();
  memory.set(graph, known);
  const key = JSON.stringify(options);
  const found = known.get(key) ?? compute();
  known.delete(key);
  known.set(key, found);
  const [oldest] = known.keys();
  if (known.size > REMEMBERED && oldest !== undefined) known.delete(oldest);
  return found;
}

/**
 * Applies the scheme, cuts the graph, and places what is pinned.
 * @throws UsageError of the scheme's options, UnsupportedOpError without onnxruntime
 */
export function prepareScheme(
  graph: Graph,
  { scheme, optimizer, products = 'onnxruntime' }: Pick<PrepareOptions, 'scheme' | 'optimizer' | 'products'>,
): PreparedScheme {
  const key = [scheme, optimizer, products];
  return remember(schemes, graph, key, () => computeScheme(graph, scheme, optimizer, products));
}

/** Differentiates and finds lifetimes as well. @throws UsageError, UnsupportedOpError */
export function prepare(graph: Graph, options: PrepareOptions): Prepared {
  return remember(prepared, graph, options, () => compute(graph, options));
}

function computeScheme(
  graph: Graph,
  options: SchemeOptions,
  optimizer: OptimizerName,
  products: ProductsName,
): PreparedScheme {
  if (products === 'simd') requireKernels(graph);
  const scheme = applyScheme(graph, options);
  const { nodes } = scheme.graph;
  const blocks = scheme.parts.map(({ block }) => block);
  const cut = products === 'simd' ? imageBorder(graph) : findCut(scheme.graph, new Set(scheme.trains.keys()), blocks);
  const prefix = nodes.slice(0, cut.after + 1);
  return {
    scheme,
    products,
    cut,
    pinned: pinBuffers(graph, scheme, nodes.slice(cut.after + 1), optimizer),
    prefixWeightBytes: prefixWeightBytes(scheme.graph, prefix),
    prefixLoadingBytes: prefixLoadingBytes(scheme.graph, prefix),
    prefixRunBytes: prefixRunBytes(scheme.graph, prefix, cut.tensor),
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

function compute(graph: Graph, options: PrepareOptions): Prepared {
  const { savings, labelSmoothing } = options;
  const decided = prepareScheme(graph, options);
  const { scheme, cut } = decided;
  const nodes = scheme.graph.nodes.map((node) => withSavings(node, savings, scheme.derivative));
  const trained = scheme.parts.filter(({ block, trains }) => block.role !== 'head' && trains.length > 0);
  const training = differentiate({ ...scheme.graph, nodes }, new Set(scheme.trains.keys()), {
    labelSmoothing,
    kept: savings.tensors,
    recompute: savings.recompute ? trained.map(({ block }) => block.nodes) : (options.recompute ?? []),
    cut,
    ...(options.objective && { objective: options.objective }),
  });
  const imageElements = elements(shapeOf(graph, graph.input));
  return {
    ...decided,
    savings,
    training,
    storages: lifetimes(training, { imageElements, prefixBatch: PREFIX_BATCH }),
  };
}
