/** @file From a config to a plan: the model opened, its head in place, the device's budget applied, a plan searched. */
import { loadProfile } from '../../device-profiles/profiles.ts';
import { rooflineRates } from '../../device-profiles/rates.ts';
import { type Model, openModel } from '../../models/onnx/open-model.ts';
import { requireKernels } from '../autodiff/node-plans.ts';
import { elements, type Graph, shapeOf } from '../graph/graph.ts';
import { replaceHead } from '../graph/head.ts';
import type { BufferCategory, Plan } from '../plan/plan.ts';
import { type PlanRequest, planTraining } from '../plan/search.ts';
import { findParts, metaTensors, withMetaNetworks } from '../scheme/meta-networks.ts';
import { parseAugment, variants } from './data/augment.ts';
import type { TrainConfig } from './options.ts';

/** What planning depends on; a training config holds all of it. */
export type PlanConfig = Pick<
  TrainConfig,
  | 'model'
  | 'scheme'
  | 'blocks'
  | 'derivative'
  | 'train'
  | 'freeze'
  | 'norms'
  | 'normMomentum'
  | 'save'
  | 'recompute'
  | 'device'
  | 'budgetBytes'
  | 'batch'
  | 'microBatch'
  | 'threads'
  | 'products'
  | 'optimizer'
  | 'labelSmoothing'
  | 'seed'
  | 'imageSize'
  | 'drop'
  | 'head'
  | 'metaParts'
  | 'cacheFeatures'
  | 'augment'
>;

/** A model that could be planned. */
export interface Opened {
  readonly model: Model;
  /** With the head that will be trained. */
  readonly graph: Graph;
  /** Layers dropped for a new head; null if the model keeps its own. */
  readonly drop: readonly string[] | null;
  /** Blocks of each part that has a meta network; null if the model gets none. */
  readonly metaParts: readonly number[] | null;
  readonly request: PlanRequest;
}

export interface Prepared extends Opened {
  readonly plan: Plan;
}

/**
 * Opens the model and plans.
 * @param classes number of classes; null: the model's own
 * @throws ModelError, ShapeError, ProfileError, UsageError, UnsupportedOpError
 */
export async function prepareTraining(config: PlanConfig, classes: number | null): Promise<Prepared> {
  const opened = await openForTraining(config, classes);
  return { ...opened, plan: planTraining(opened.graph, opened.request) };
}

/**
 * Opens the model without planning.
 * @param classes number of classes; null: the model's own
 * @throws ModelError, ShapeError, ProfileError, UsageError, UnsupportedOpError without onnxruntime
 */
export async function openForTraining(config: PlanConfig, classes: number | null): Promise<Opened> {
  const probes = config.products !== 'simd';
  const model = await openModel(config.model, {
    probes,
    ...(config.imageSize !== null && { imageSize: config.imageSize }),
  });
  if (!probes) requireKernels(model.graph);
  const own = elements(shapeOf(model.graph, model.graph.output));
  const wanted = classes ?? own;
  const layers = config.drop ?? model.dropLayers;
  const replace = config.head === 'new' || (config.head === 'auto' && (wanted !== own || config.drop !== null));
  const headed = replace ? replaceHead(model.graph, { classes: wanted, drop: layers, seed: config.seed }) : model.graph;
  const metaParts =
    config.metaParts === null ? null : findParts(headed, config.metaParts).map(({ blocks }) => blocks.length);
  const graph = metaParts
    ? withMetaNetworks(headed, { parts: metaParts, seed: config.seed, regularised: false })
    : headed;
  const profile = await loadProfile(config.device);
  const request: PlanRequest = {
    model: plannedModel(model),
    device: profile.name,
    budgetBytes: config.budgetBytes ?? profile.limits.memoryBytes.value,
    scheme: config.scheme,
    blocks: config.blocks,
    derivative: config.derivative,
    train: metaParts ? metaTensors : config.train,
    freeze: config.freeze,
    norms: config.norms,
    momentum: config.normMomentum,
    // Meta networks learn beside a frozen network whose norms are as they will be when it adapts.
    ...(metaParts && { reach: 'all' as const }),
    save: config.save,
    recompute: config.recompute,
    batch: config.batch,
    microBatch: config.microBatch,
    threads: config.threads,
    products: config.products,
    rates: rooflineRates(profile),
    optimizer: config.optimizer,
    labelSmoothing: config.labelSmoothing,
    cachesFeatures: config.cacheFeatures !== false && variants(parseAugment(config.augment)) !== null,
  };
  return { model, graph, drop: replace ? layers : null, metaParts, request };
}

/** What a plan says of its model. */
export function plannedModel({ file, imageSize }: Model): Plan['model'] {
  return { name: file.name, sha256: file.sha256, imageSize, fileBytes: file.bytes };
}

/** Values of every parameter that a plan's steps read. */
export function planParameters(graph: Graph, plan: Plan): Map<string, Float32Array> {
  const holding: readonly BufferCategory[] = ['frozenWeights', 'trainableWeights', 'statistics'];
  const pinned = new Set(plan.buffers.filter(({ category }) => holding.includes(category)).map(({ name }) => name));
  return new Map([...graph.parameters].filter(([name]) => pinned.has(name)).map(([name, { data }]) => [name, data()]));
}

/** Names of what a plan changes, running statistics among it, in the graph's order. */
export function trainedNames(graph: Graph, plan: Plan): readonly string[] {
  const changing: readonly BufferCategory[] = ['trainableWeights', 'statistics'];
  const names = new Set(plan.buffers.filter(({ category }) => changing.includes(category)).map(({ name }) => name));
  return [...graph.parameters.keys()].filter((name) => names.has(name));
}
