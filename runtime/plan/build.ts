/** @file From a graph and decisions to a Plan: no search here, one set of decisions gives one plan. */
import { kernelOf } from '../../kernels/index.ts';
import { differentiate, type TrainingGraph } from '../autodiff/autodiff.ts';
import type { ErrorFacts } from '../errors.ts';
import { elements, type Graph, parameterOf, shapeOf } from '../graph/graph.ts';
import { nodeShapes } from '../graph/node-shapes.ts';
import { applyScheme, type ParameterGroup, type Scheme, type SchemeOptions } from '../scheme/scheme.ts';
import { dataBytes, exportBytes, plainStoredBytes, prefixPeakBytes, prefixWeightBytes } from './accounting.ts';
import { ALIGNMENT, align, layOut } from './layout.ts';
import { lifetimes, type Storage, workspaceName } from './lifetimes.ts';
import {
  type BufferCategory,
  gradientBuffer,
  type OptimizerName,
  optimizerStates,
  PAGE_BYTES,
  type ParameterSpan,
  type Plan,
  type PlannedBuffer,
  type PlannedStep,
  stateBuffer,
} from './plan.ts';

/** Every decision a plan follows from. */
export interface Decisions {
  readonly model: Plan['model'];
  readonly device: string;
  readonly budgetBytes: number;
  readonly scheme: SchemeOptions;
  readonly optimizer: OptimizerName;
  readonly labelSmoothing: number;
  readonly batch: number;
  readonly microBatch: number;
  readonly prefixBatch: number;
  readonly threads: number;
  /** What the process holds before any model is loaded (accounting.ts). */
  readonly baseBytes: number;
}

/** The part of a plan's making that does not depend on the micro-batch; the search reuses it. */
export interface Differentiated {
  readonly scheme: Scheme;
  readonly training: TrainingGraph;
}

export function prepare(graph: Graph, options: SchemeOptions, labelSmoothing: number): Differentiated {
  const scheme = applyScheme(graph, options);
  const nodes = graph.nodes.map((node) =>
    'derivative' in node.attributes
      ? { ...node, attributes: { ...node.attributes, derivative: scheme.derivative } }
      : node,
  );
  const training = differentiate({ ...graph, nodes }, new Set(scheme.trains.keys()), { labelSmoothing });
  return { scheme, training };
}

/** Builds the plan; `fits` says whether the process is predicted to stay inside the budget. */
export function buildPlan(graph: Graph, prepared: Differentiated, decisions: Decisions): Plan {
  const { scheme, training } = prepared;
  const { microBatch, batch, optimizer, prefixBatch } = decisions;
  const pinned = pinBuffers(graph, scheme, training, optimizer);
  const image = shapeOf(graph, graph.input);
  const storages = lifetimes(training, { imageElements: elements(image), prefixBatch });
  const bytesOf = (storage: Storage): number => storage.bytesPerImage * microBatch + storage.fixedBytes;
  const layout = layOut(
    storages.map((storage) => ({ bytes: bytesOf(storage), from: storage.from, to: storage.to })),
    pinned.end,
  );
  const passing = storages.flatMap((storage, i) =>
    storage.values.map(
      (name): PlannedBuffer => ({
        name,
        offset: layout.offsets[i] ?? 0,
        bytes: bytesOf(storage),
        bytesPerImage: storage.bytesPerImage,
        category: storage.savedBy === null ? 'workspace' : 'saved',
        alive: [storage.from, storage.to],
        storage: storage.values[0] ?? name,
      }),
    ),
  );
  const saved = storages.filter(({ savedBy }) => savedBy !== null);
  const savedBytes = saved.reduce((sum, storage) => sum + bytesOf(storage), 0);
  const count = (category: BufferCategory): number =>
    pinned.buffers.filter((buffer) => buffer.category === category).reduce((sum, { bytes }) => sum + bytes, 0);
  const { peakBytes } = layout;
  const arenaBytes = Math.ceil(peakBytes / PAGE_BYTES) * PAGE_BYTES;
  const onArena = {
    frozenWeights: count('frozenWeights'),
    trainableWeights: count('trainableWeights'),
    gradients: count('gradients'),
    optimizer: count('optimizer'),
  };
  const bytes = {
    ...onArena,
    frozenWeights: onArena.frozenWeights + prefixWeightBytes(graph, training.prefix),
    saved: savedBytes,
    workspace: arenaBytes - Object.values(onArena).reduce((sum, part) => sum + part, 0) - savedBytes,
    prefixPeak: prefixPeakBytes(graph, training.prefix, training.cut, prefixBatch),
    base: decisions.baseBytes + dataBytes(batch, image[0] ?? 0),
  };
  const trainingBytes = Object.values(bytes).reduce((sum, part) => sum + part, 0);
  const exporting = exportBytes(decisions.baseBytes, decisions.model.fileBytes, bytes.trainableWeights);
  const totalBytes = Math.max(trainingBytes, exporting);
  const stepFlops = (pass: 'forward' | 'backward'): number =>
    training.steps
      .filter((step) => (step.pass === 'forward') === (pass === 'forward'))
      .reduce((s, { flops }) => s + flops, 0);
  return {
    version: 1,
    model: decisions.model,
    device: decisions.device,
    budgetBytes: decisions.budgetBytes,
    fits: totalBytes <= decisions.budgetBytes,
    totalBytes,
    peakBytes,
    arenaBytes,
    storedForBackwardBytes: savedBytes,
    scheme: { name: scheme.name, blocks: scheme.blocks, derivative: scheme.derivative },
    classes: elements(shapeOf(graph, graph.output)),
    labelSmoothing: decisions.labelSmoothing,
    optimizer,
    batch,
    microBatch,
    threads: decisions.threads,
    prefix: { cut: training.cut, nodes: training.prefix.length, batch: prefixBatch },
    trainableParameters: [...scheme.trains.keys()].reduce((s, name) => s + elements(parameterOf(graph, name).shape), 0),
    bytes: { ...bytes, export: totalBytes - trainingBytes },
    blocks: plannedBlocks(graph, scheme, saved, bytesOf, microBatch),
    flops: {
      forward: batch * (stepFlops('forward') + prefixFlops(graph, training)),
      backward: batch * stepFlops('backward'),
    },
    values: {
      cut: training.cut,
      logits: training.logits,
      labels: training.labels,
      loss: training.loss,
      seed: training.seed,
    },
    spans: pinned.spans,
    buffers: [...pinned.buffers, ...passing],
    steps: plannedSteps(training),
  };
}

/** Facts of a plan that an error about its size names. */
export function budgetFacts(plan: Plan): ErrorFacts {
  return {
    neededBytes: plan.totalBytes,
    budgetBytes: plan.budgetBytes,
    missingBytes: plan.totalBytes - plan.budgetBytes,
  };
}

interface Pinned {
  readonly buffers: readonly PlannedBuffer[];
  readonly spans: readonly ParameterSpan[];
  readonly end: number;
}

/** Frozen parameters of the suffix, then for each group: parameters, gradients, states, each in the same order. */
function pinBuffers(graph: Graph, scheme: Scheme, training: TrainingGraph, optimizer: OptimizerName): Pinned {
  const used = new Set(training.suffix.flatMap(({ parameters }) => Object.values(parameters)));
  const buffers: PlannedBuffer[] = [];
  // Byte 0 is never given away, so that a zero offset can stand for "absent" in a kernel's arguments.
  let end = ALIGNMENT;
  const place = (name: string, parameter: string, category: BufferCategory): void => {
    const bytes = 4 * elements(parameterOf(graph, parameter).shape);
    buffers.push({ name, offset: align(end), bytes, bytesPerImage: 0, category, alive: null, storage: name });
    end = align(end) + bytes;
  };
  for (const name of used) if (!scheme.trains.has(name)) place(name, name, 'frozenWeights');
  const spans: ParameterSpan[] = [];
  const groups: ParameterGroup[] = ['weights', 'norms', 'head'];
  for (const group of groups) {
    const names = [...scheme.trains].filter(([, of]) => of === group).map(([name]) => name);
    if (names.length === 0) continue;
    const run = (category: BufferCategory, rename: (name: string) => string): number => {
      const from = align(end);
      for (const name of names) place(rename(name), name, category);
      return from;
    };
    const parameters = run('trainableWeights', (name) => name);
    const bytes = end - parameters;
    const gradients = run('gradients', gradientBuffer);
    const states = Array.from({ length: optimizerStates[optimizer] }, (_, state) =>
      run('optimizer', (name) => stateBuffer(name, state)),
    );
    spans.push({ group, bytes, parameters, gradients, states });
  }
  return { buffers, spans, end };
}

function plannedBlocks(
  graph: Graph,
  scheme: Scheme,
  saved: readonly Storage[],
  bytesOf: (storage: Storage) => number,
  microBatch: number,
): Plan['blocks'] {
  const byName = new Map(graph.nodes.map((node) => [node.name, node]));
  return scheme.parts.map(({ block, trains }) => {
    const members = new Set(block.nodes);
    const stored = saved.filter(({ savedBy }) => savedBy !== null && members.has(savedBy));
    const nodes = block.nodes.flatMap((name) => byName.get(name) ?? []);
    return {
      name: block.name,
      role: block.role,
      trains,
      storedBytes: stored.reduce((sum, storage) => sum + bytesOf(storage), 0),
      plainStoredBytes: microBatch * plainStoredBytes(graph, nodes),
    };
  });
}

function plannedSteps(training: TrainingGraph): PlannedStep[] {
  const prefix: PlannedStep = {
    pass: 'prefix',
    op: 'Prefix',
    node: training.cut,
    attributes: {},
    shapes: { inputs: [], output: shapeOf(training.graph, training.cut), parameters: {} },
    inputs: [],
    output: training.cut,
    parameters: {},
    saved: {},
    dOutput: null,
    dInputs: [],
    dParameters: {},
    workspace: null,
  };
  const steps = training.steps.map(
    ({ inPlace: _, workspaceBytes, flops: __, ...step }, index): PlannedStep => ({
      ...step,
      workspace: workspaceBytes > 0 ? workspaceName(index + 1) : null,
    }),
  );
  return [prefix, ...steps];
}

/** Floating-point operations of the prefix for one image; an op without kernel counts nothing. */
function prefixFlops(graph: Graph, training: TrainingGraph): number {
  return training.prefix.reduce(
    (sum, node) => sum + (kernelOf(node)?.flops(nodeShapes(graph, node), node.attributes) ?? 0),
    0,
  );
}
