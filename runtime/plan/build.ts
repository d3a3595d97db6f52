/** @file From a graph and decisions to a Plan: no search here, one set of decisions gives one plan. */
import type { Objective } from '../autodiff/autodiff.ts';
import { emptyStep, type TrainingGraph } from '../autodiff/training-graph.ts';
import type { ErrorFacts } from '../errors.ts';
import { elements, type Graph, shapeOf } from '../graph/graph.ts';
import type { Scheme, SchemeOptions } from '../scheme/options.ts';
import { type Storage, workspaceName } from './lifetimes.ts';
import { plainStoredBytes } from './plain-stored.ts';
import type { OptimizerName, Plan, PlannedBuffer, PlannedStep, ProductsName, Rates } from './plan.ts';
import { PREFIX_BATCH, type Prepared, type PrepareOptions, prepare } from './prepare.ts';
import type { Savings } from './savings.ts';
import { measure, type Size, type SizeOptions, storageBytes } from './size.ts';
import { predictTime } from './time.ts';

/** Every decision a plan follows from. */
export interface Decisions {
  readonly model: Plan['model'];
  readonly device: string;
  readonly budgetBytes: number;
  readonly scheme: SchemeOptions;
  readonly savings: Savings;
  readonly optimizer: OptimizerName;
  readonly labelSmoothing: number;
  readonly batch: number;
  readonly microBatch: number;
  readonly threads: number;
  /** Default `onnxruntime`. */
  readonly products?: ProductsName;
  /** What the process holds before any model is loaded (accounting.ts). */
  readonly baseBytes: number;
  /** The device's rates, for the predicted time; null: not known. */
  readonly rates: Rates | null;
  /** Default `labels`. */
  readonly objective?: Objective;
  /** Runs of nodes whose insides are computed again, besides what the savings say. */
  readonly computedAgain?: PrepareOptions['recompute'];
  /** Bytes an adaptation method keeps outside of the arena; default 0. */
  readonly adaptationBytes?: number;
  /** Whether a run would keep features of the frozen part between epochs; default false. */
  readonly cachesFeatures?: boolean;
}

export function prepareOptions(decisions: Decisions): PrepareOptions {
  const { scheme, savings, labelSmoothing, optimizer, products, objective, computedAgain } = decisions;
  return {
    scheme,
    savings,
    labelSmoothing,
    optimizer,
    ...(products && { products }),
    ...(objective && { objective }),
    ...(computedAgain && { recompute: computedAgain }),
  };
}

export function sizeOptions({ batch, microBatch, baseBytes, model, adaptationBytes }: Decisions): SizeOptions {
  return { batch, microBatch, baseBytes, fileBytes: model.fileBytes, ...(adaptationBytes && { adaptationBytes }) };
}

/** Features are kept where they are wanted, something is frozen, and the budget holds them beside everything else. */
function sizeWithFeatures(
  graph: Graph,
  prepared: Prepared,
  decisions: Decisions,
): { readonly cachesFeatures: boolean; readonly size: Size } {
  const options = sizeOptions(decisions);
  if (decisions.cachesFeatures && prepared.training.prefix.length > 0) {
    const size = measure(graph, prepared, { ...options, cachesFeatures: true });
    if (size.totalBytes <= decisions.budgetBytes) return { cachesFeatures: true, size };
  }
  return { cachesFeatures: false, size: measure(graph, prepared, options) };
}

/** Builds the plan; `fits` says whether the process is predicted to stay inside the budget. */
export function buildPlan(graph: Graph, decisions: Decisions): Plan {
  const prepared = prepare(graph, prepareOptions(decisions));
  const { scheme, savings, training, storages, pinned } = prepared;
  const { microBatch, batch } = decisions;
  const { cachesFeatures, size } = sizeWithFeatures(graph, prepared, decisions);
  const passing = storages.flatMap((storage, i) =>
    storage.values.map(
      (name): PlannedBuffer => ({
        name,
        offset: size.layout.offsets[i] ?? 0,
        bytes: storageBytes(storage, microBatch),
        bytesPerImage: storage.bytesPerImage,
        category: storage.savedBy === null ? 'workspace' : 'saved',
        alive: [storage.from, storage.to],
        storage: storage.values[0] ?? name,
        ...(storage.sliced && { sliced: true }),
      }),
    ),
  );
  const { graph: _, trains: __, parts: ___, ...schemeOptions } = scheme;
  return {
    version: 1,
    model: decisions.model,
    device: decisions.device,
    budgetBytes: decisions.budgetBytes,
    fits: size.totalBytes <= decisions.budgetBytes,
    totalBytes: size.totalBytes,
    peakBytes: size.layout.peakBytes,
    arenaBytes: size.arenaBytes,
    storedForBackwardBytes: size.savedBytes,
    scheme: schemeOptions,
    savings,
    classes: elements(shapeOf(graph, graph.output)),
    labelSmoothing: decisions.labelSmoothing,
    optimizer: decisions.optimizer,
    batch,
    microBatch,
    threads: decisions.threads,
    products: prepared.products,
    cachesFeatures,
    prefix: { cut: training.cut, nodes: training.prefix.length, batch: PREFIX_BATCH },
    trainableParameters: prepared.trainableParameters,
    bytes: size.bytes,
    blocks: plannedBlocks(prepared, microBatch),
    flops: plannedFlops(prepared, batch),
    time: predictTime(scheme.graph, prepared, batch, microBatch, decisions.rates),
    values: {
      cut: training.cut,
      logits: training.logits,
      labels: training.labels,
      loss: training.loss,
      seed: training.seed,
      local: training.local,
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

function plannedFlops({ training, prefixFlops }: Prepared, batch: number): Plan['flops'] {
  let [forward, backward] = [prefixFlops, 0];
  for (const { pass, flops } of training.steps) {
    if (pass === 'forward' || pass === 'compress') forward += flops;
    else backward += flops;
  }
  return { forward: batch * forward, backward: batch * backward };
}

function plannedBlocks({ scheme, storages }: Prepared, microBatch: number): Plan['blocks'] {
  const { graph } = scheme as Scheme;
  const byName = new Map(graph.nodes.map((node) => [node.name, node]));
  const stored = new Map<string, number>();
  const add = (storage: Storage): void => {
    const node = storage.savedBy ?? '';
    stored.set(node, (stored.get(node) ?? 0) + storageBytes(storage, microBatch));
  };
  for (const storage of storages) if (storage.savedBy !== null) add(storage);
  return scheme.parts.map(({ block, trains }) => {
    const nodes = block.nodes.flatMap((name) => byName.get(name) ?? []);
    return {
      name: block.name,
      role: block.role,
      trains,
      storedBytes: block.nodes.reduce((sum, name) => sum + (stored.get(name) ?? 0), 0),
      plainStoredBytes: microBatch * plainStoredBytes(graph, nodes),
    };
  });
}

function plannedSteps(training: TrainingGraph): PlannedStep[] {
  const shape = shapeOf(training.graph, training.cut);
  const { inPlace: _, workspace: __, flops: ___, ...entering } = emptyStep('forward', 'Prefix', training.cut, shape);
  const prefix: PlannedStep = { ...entering, pass: 'prefix', output: training.cut, workspace: null };
  const steps = training.steps.map(
    ({ inPlace: _, workspace, flops: __, ...step }, index): PlannedStep => ({
      ...step,
      workspace: workspace === 0 ? null : workspaceName(index + 1),
    }),
  );
  return [prefix, ...steps];
}
