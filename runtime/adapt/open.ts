/** @file From a model and a method to an adapter: opened, planned inside the budget, started. */

import { loadProfile } from '../../device-profiles/profiles.ts';
import { rooflineRates } from '../../device-profiles/rates.ts';
import { openDeployed } from '../../models/onnx/open-deployed.ts';
import { type Model, openModel } from '../../models/onnx/open-model.ts';
import { wholeNetwork } from '../../models/onnx/whole.ts';
import { requireKernels } from '../autodiff/node-plans.ts';
import { type Delta, readDelta } from '../delta/delta.ts';
import { CpuEngine } from '../engine/cpu/cpu-engine.ts';
import type { Preprocessing } from '../engine/engine.ts';
import { BudgetError, UsageError } from '../errors.ts';
import { elements, type Graph, parameterOf, shapeOf } from '../graph/graph.ts';
import { prefixLoadingBytes, prefixRunBytes, prefixWeightBytes, processBaseBytes } from '../plan/accounting.ts';
import { budgetFacts, buildPlan } from '../plan/build.ts';
import type { Plan, ProductsName } from '../plan/plan.ts';
import { prepareScheme } from '../plan/prepare.ts';
import { misfitText } from '../plan/search.ts';
import { engineModel } from '../train/engine-model.ts';
import { defaultThreads } from '../train/options.ts';
import { plannedModel, trainedNames } from '../train/prepare.ts';
import { EngineAdapter } from './engine-adapter.ts';
import { type GuardName, guardNames } from './guards/names.ts';
import { Learner } from './learner.ts';
import type { MethodPlan, MethodSettings } from './method.ts';
import { type MethodName, methodOf } from './methods/index.ts';

export interface AdaptOptions {
  /** ONNX file. */
  readonly model: string;
  /** Delta of a training or a warm-up to start from. */
  readonly delta?: string;
  /** Default `edgeshift`. */
  readonly method?: MethodName;
  /** Frames of one call at most; default 16. */
  readonly batch?: number;
  readonly seed?: number;
  /** The method's numbers that differ from its defaults. */
  readonly numbers?: Readonly<Record<string, number>>;
  /** Default: all. */
  readonly guards?: readonly GuardName[];
  readonly threads?: number;
  /** Version of Node that it is planned for; default: this process's. */
  readonly nodeVersion?: string;
  /** What multiplies matrices; `simd` never loads onnxruntime. Default `onnxruntime`. */
  readonly products?: ProductsName;
  /** Device profile: a name, a path, or `this-machine` (default). */
  readonly device?: string;
  /** Bytes the process may hold; default: the profile's limit. */
  readonly budgetBytes?: number;
  readonly imageSize?: number;
  /** Default: what the model file says, else pixels / 255. */
  readonly preprocessing?: Preprocessing;
  /**
   * `predictor`: the method's model without the method, in small passes; it predicts, and takes what an adapter of the same options
   * learnt. Default `adapter`.
   */
  readonly role?: 'adapter' | 'predictor';
  /** An adapter in a worker gives way to what a `RightOfWay` with this memory is used for; default: to nobody. */
  readonly givesWayTo?: SharedArrayBuffer;
  /** False: it is not asked for predictions, as behind a predictor; default true. */
  readonly predicts?: boolean;
  /** What the process holds besides, such as a predictor, in bytes, and frames that wait: counted against the budget. Default 0. */
  readonly besideBytes?: number;
  readonly besideFrames?: number;
}

/** A model and a method, planned. */
export interface PlannedAdaptation {
  readonly model: Model;
  /** What it was deployed with; null: as its file is. */
  readonly delta: Delta | null;
  /** With what the method adds. */
  readonly graph: Graph;
  readonly plan: Plan;
  /** Whether there is room for a copy of the model that predicts while nothing changes. */
  readonly fuses: boolean;
  readonly method: MethodName;
  readonly settings: MethodSettings;
  readonly role: 'adapter' | 'predictor';
  readonly preprocessing: Preprocessing;
}

/**
 * Plans without running anything.
 * @throws ModelError, ShapeError, ProfileError, UsageError, UnsupportedOpError, BudgetError
 */
export async function planAdaptation(options: AdaptOptions): Promise<PlannedAdaptation> {
  const { method = 'edgeshift', batch = 16, seed = 1, role = 'adapter', products = 'onnxruntime' } = options;
  const { nodeVersion = process.versions.node } = options;
  const { defaults } = methodOf(method);
  const numbers = { ...defaults, ...checkNumbers(method, options.numbers ?? {}) };
  const settings = { batch, seed, numbers, guards: new Set(options.guards ?? guardNames) };
  if (!Number.isInteger(batch) || batch < 1) throw new UsageError(`batch must be a whole number from 1: ${batch}`);
  const { model, delta } = await open(options);
  const own = methodOf(method).plan(model.graph, settings);
  const asked = role === 'predictor' ? predictorOf(own, batch) : own;
  const graph = asked.graph ?? model.graph;
  const profile = await loadProfile(options.device ?? 'this-machine');
  const threads = options.threads ?? defaultThreads;
  const keptBytes = adaptationBytes(graph, asked, role === 'predictor' ? 'none' : method, settings);
  const planWith = (wholeBytes: number): Plan =>
    buildPlan(graph, {
      model: plannedModel(model),
      device: profile.name,
      budgetBytes: options.budgetBytes ?? profile.limits.memoryBytes.value,
      scheme: asked.scheme,
      savings: { activations: 'float', tensors: asked.tensors ?? 'float', recompute: false },
      ...(asked.computedAgain && { computedAgain: asked.computedAgain }),
      optimizer: asked.optimizer,
      labelSmoothing: 0,
      // A pass may take more frames than a call: those of a memory.
      batch: Math.max(batch, asked.microBatch),
      microBatch: asked.microBatch,
      threads,
      products,
      baseBytes: processBaseBytes(nodeVersion, threads, products) + besideBytes(options, model.imageSize),
      rates: rooflineRates(profile),
      objective: 'logits',
      adaptationBytes: keptBytes + wholeBytes,
    });
  // The copy is a session of onnxruntime.
  const wanted = asked.fuses && options.predicts !== false && products === 'onnxruntime';
  const fusing = wanted ? planWith(wholeNetworkBytes(graph)) : null;
  const fuses = fusing?.fits ?? false;
  const plan = fusing?.fits ? fusing : planWith(0);
  if (!plan.fits) throw new BudgetError(misfitText(plan, undefined), budgetFacts(plan));
  const preprocessing = options.preprocessing ?? model.preprocessing;
  return { model, delta, graph, plan, fuses, method, settings, role, preprocessing };
}

/** The model as it goes into service, and the delta that made it so. */
async function open({ model: path, delta: deltaPath, imageSize, products }: AdaptOptions) {
  const options = { probes: products !== 'simd', ...(imageSize !== undefined && { imageSize }) };
  const delta = deltaPath === undefined ? null : await readDelta(deltaPath);
  const model = delta ? await openDeployed(path, delta, options) : await openModel(path, options);
  if (!options.probes) requireKernels(model.graph);
  return { model, delta };
}

/** Frames of a predictor's pass: few, since it stands beside the adapter in the same budget. */
const PREDICTOR_PASS = 4;

/** The same model with running statistics, and nothing that trains. */
function predictorOf({ graph, scheme }: MethodPlan, batch: number): MethodPlan {
  if (scheme.norms === 'batch') {
    throw new UsageError(
      'this method predicts with the statistics of each batch, which a predictor beside it does not have\n' +
        'Hint: leave --background away, or take a method with moving statistics such as edgeshift',
    );
  }
  return {
    ...(graph && { graph }),
    scheme: { name: 'head', blocks: 0, head: false, norms: 'moving', reach: 'all' },
    optimizer: 'sgd',
    microBatch: Math.min(PREDICTOR_PASS, batch),
  };
}

const besideBytes = ({ besideBytes = 0, besideFrames = 0 }: AdaptOptions, imageSize: number): number =>
  besideBytes + besideFrames * 3 * imageSize ** 2;

function checkNumbers(method: MethodName, numbers: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  const known = Object.keys(methodOf(method).defaults);
  const unknown = Object.keys(numbers).filter((name) => !known.includes(name));
  if (unknown.length === 0) return numbers;
  throw new UsageError(
    `method ${method} has no number called ${unknown.join(', ')}: expected ${known.join(', ') || 'none'}`,
    { unknown },
  );
}

/** One copy of what changes, for the way back, and what the method keeps besides. */
function adaptationBytes(graph: Graph, asked: MethodPlan, method: MethodName, settings: MethodSettings): number {
  const { scheme } = prepareScheme(graph, asked);
  const bytesOf = (names: readonly string[]): number =>
    names.reduce((sum, name) => sum + 4 * elements(parameterOf(graph, name).shape), 0);
  const changing = bytesOf([...scheme.trains.keys()]);
  const trained = bytesOf([...scheme.trains].flatMap(([name, group]) => (group === 'statistics' ? [] : [name])));
  const frame = elements(shapeOf(graph, graph.input));
  const classes = elements(shapeOf(graph, graph.output));
  return changing + methodOf(method).stateBytes({ trained, changing, frame, classes }, settings);
}

/** What a session of the whole network takes, while it is opened or while it runs. */
function wholeNetworkBytes(graph: Graph): number {
  const { nodes, output } = graph;
  const running = prefixWeightBytes(graph, nodes) + prefixRunBytes(graph, nodes, output);
  return Math.max(running, prefixLoadingBytes(graph, nodes));
}

/** @throws as `planAdaptation`, ExecutionError */
export async function openAdapter(options: AdaptOptions): Promise<EngineAdapter> {
  return startAdapter(await planAdaptation(options));
}

/**
 * @param giveWay as in `CpuEngine.create`
 * @throws ExecutionError
 */
export async function startAdapter(planned: PlannedAdaptation, giveWay?: () => void): Promise<EngineAdapter> {
  const { plan, graph, model, preprocessing, fuses } = planned;
  const whole = fuses ? wholeNetwork(model.file, graph, trainedNames(graph, plan)) : null;
  const parts = { ...engineModel(model, graph, plan, preprocessing), ...(whole && { whole }) };
  const engine = await CpuEngine.create(plan, parts, { consume: true, ...(giveWay && { giveWay }) });
  try {
    const learner = await Learner.open(engine);
    const { start } = methodOf(planned.role === 'predictor' ? 'none' : planned.method);
    return new EngineAdapter(planned, learner, await start(learner, planned.settings));
  } catch (error) {
    // A method may refuse the model, as EcoTTA does one without a warm-up.
    await engine[Symbol.asyncDispose]();
    throw error;
  }
}
