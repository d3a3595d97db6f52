/**
 * @file What a network of models/networks goes through: import, blocks, gradients of everything against PyTorch's, a training
 * step under every scheme, export, and the exported file in bare onnxruntime.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { materializeNetwork } from '../../models/networks/networks.ts';
import { exportModel } from '../../models/onnx/export.ts';
import { type Model, openModel } from '../../models/onnx/open-model.ts';
import { extractPrefix } from '../../models/onnx/prefix.ts';
import { productModels } from '../../models/onnx/products.ts';
import { type Delta, learntTensor } from '../../runtime/delta/delta.ts';
import { CpuEngine } from '../../runtime/engine/cpu/cpu-engine.ts';
import { toFileLayout } from '../../runtime/graph/axes.ts';
import { findBlocks } from '../../runtime/graph/blocks.ts';
import type { Graph } from '../../runtime/graph/graph.ts';
import type { Plan } from '../../runtime/plan/plan.ts';
import { gradientBuffer } from '../../runtime/plan/plan.ts';
import { type PlanRequest, planTraining } from '../../runtime/plan/search.ts';
import { type SchemeName, schemeNames } from '../../runtime/scheme/names.ts';
import { countBlocks } from '../../runtime/scheme/scheme.ts';
import { planParameters, trainedNames } from '../../runtime/train/prepare.ts';
import { BareModel } from './bare-model.ts';
import { compareWithGolden, type Difference, goldenImages, type NetworkGolden, readNetworkGolden } from './golden.ts';

export interface Survey {
  readonly name: string;
  readonly nodes: number;
  /** Nodes that no rule reads. */
  readonly opaque: number;
  readonly blocks: number;
  readonly parameters: number;
  /** Schemes under which a step ran, its loss was finite and the arena's high water was the planned peak to the byte. */
  readonly schemes: readonly SchemeName[];
  /** Everything trains, everything is kept exactly. */
  readonly difference: Difference;
  /** Largest difference of a logit between the engine after a step and the exported file, in root mean squares. */
  readonly exported: number;
}

/** pixel / 255, as the goldens. */
const preprocessing = { scale: [1 / 255, 1 / 255, 1 / 255], bias: [0, 0, 0] };

/** Blocks that train where a scheme takes some; all networks have as many. */
const TOP = 3;

/**
 * Puts a network through everything.
 * @param folder where its file with weights is written; default: the cache
 * @throws whatever an import, a plan or a step throws
 */
export async function survey(name: string, folder?: string): Promise<Survey> {
  const golden = await readNetworkGolden(name);
  const model = await openModel(await materializeNetwork(name, folder), { imageSize: golden.imageSize });
  const { graph } = model;
  const schemes: SchemeName[] = [];
  let exported = Number.POSITIVE_INFINITY;
  for (const scheme of schemeNames) {
    if (scheme === 'full') continue;
    const plan = planFor(model, golden, { scheme, blocks: Math.min(TOP, countBlocks(graph)) });
    await using engine = await openEngine(plan, model);
    if (await steps(engine, golden)) schemes.push(scheme);
    if (scheme === 'mobiletl') exported = await exportError(engine, plan, model, golden);
  }
  const plan = planFor(model, golden, { scheme: 'full', blocks: 0 });
  const difference = await gradientsAgainst(plan, model, golden);
  return {
    name,
    nodes: graph.nodes.length,
    opaque: graph.nodes.filter(({ op }) => op === 'Opaque').length,
    blocks: findBlocks(graph).filter(({ role }) => role === 'block').length,
    parameters: [...graph.parameters.values()].reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
    schemes: Number.isFinite(difference.gradient) ? [...schemes, 'full'] : schemes,
    difference,
    exported,
  };
}

/**
 * One step under any request.
 * @returns the plan's exact peak and the highest byte the step touched: equal, or the plan is wrong
 */
export async function highWater(
  name: string,
  folder: string,
  changes: Partial<PlanRequest>,
): Promise<{ readonly peakBytes: number; readonly highWaterBytes: number; readonly loss: number }> {
  const golden = await readNetworkGolden(name);
  const model = await openModel(await materializeNetwork(name, folder), { imageSize: golden.imageSize });
  const plan = planFor(model, golden, changes);
  await using engine = await openEngine(plan, model);
  const all = goldenImages({ images: plan.batch, imageSize: golden.imageSize });
  const labels = Int32Array.from({ length: plan.batch }, (_, i) => i % plan.classes);
  const { loss } = await engine.gradients({ count: plan.batch, images: all }, labels);
  const { highWaterBytes } = await engine.statistics();
  return { peakBytes: plan.peakBytes, highWaterBytes, loss };
}

function planFor({ file, graph }: Model, { images, imageSize }: NetworkGolden, changes: Partial<PlanRequest>): Plan {
  return planTraining(graph, {
    model: { name: file.name, sha256: file.sha256, imageSize, fileBytes: file.bytes },
    device: 'survey',
    budgetBytes: 2 ** 40,
    optimizer: 'sgd',
    labelSmoothing: 0,
    batch: images,
    threads: 2,
    scheme: 'mobiletl',
    blocks: TOP,
    microBatch: images,
    save: 'float',
    recompute: false,
    ...changes,
  });
}

function openEngine(plan: Plan, { file, graph }: Model): Promise<CpuEngine> {
  const prefix = extractPrefix(file, graph, plan.values.cut);
  return CpuEngine.create(plan, {
    parameters: planParameters(graph, plan),
    prefix,
    products: productModels(),
    preprocessing,
  });
}

/** One small step; true if all is well after it. */
async function steps(engine: CpuEngine, golden: NetworkGolden): Promise<boolean> {
  const learningRate = { head: 1e-4, weights: 1e-4, norms: 1e-4 };
  const { loss } = await engine.step(
    { count: golden.images, images: goldenImages(golden) },
    Int32Array.from(golden.labels),
    { learningRate, momentum: 0, weightDecay: 0, step: 1 },
  );
  const { highWaterBytes } = await engine.statistics();
  return Number.isFinite(loss) && highWaterBytes === engine.plan.peakBytes;
}

async function gradientsAgainst(plan: Plan, model: Model, golden: NetworkGolden): Promise<Difference> {
  await using engine = await openEngine(plan, model);
  const input = { count: golden.images, images: goldenImages(golden) };
  const logits = await engine.forward(input);
  const { loss } = await engine.gradients(input, Int32Array.from(golden.labels));
  const byTensor = new Map(
    [...model.graph.parameters.values()].map((parameter) => [parameter.origin.tensor, parameter]),
  );
  const planned = new Set(plan.buffers.map(({ name }) => name));
  return compareWithGolden(golden, {
    loss,
    logits,
    async gradient(tensor) {
      const parameter = byTensor.get(tensor);
      if (!parameter || !planned.has(gradientBuffer(parameter.name))) return null;
      return toFileLayout(await engine.read(gradientBuffer(parameter.name)), parameter.origin);
    },
  });
}

async function exportError(engine: CpuEngine, plan: Plan, model: Model, golden: NetworkGolden): Promise<number> {
  const images = goldenImages(golden);
  const logits = await engine.forward({ count: golden.images, images });
  const folder = await mkdtemp(join(tmpdir(), 'edgeshift-survey-'));
  try {
    const path = join(folder, 'exported.onnx');
    const delta = await deltaOf(engine, plan, model.graph, model.file.sha256, golden.imageSize);
    // Export changes the file in memory; the model at hand is used further.
    const { file } = await openModel(model.file.path, { imageSize: golden.imageSize });
    await exportModel(file, delta, path);
    const bare = await BareModel.open(path);
    const found = await bare.logits(images, golden.images, golden.imageSize);
    await bare.release();
    const expected = model.graph.tail === 'softmax' ? softmaxRows(logits, plan.classes) : logits;
    const rms = Math.sqrt(expected.reduce((sum, value) => sum + value * value, 0) / expected.length);
    const worst = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - (found[i] ?? Number.NaN))), 0);
    return Number.isNaN(worst) ? Number.POSITIVE_INFINITY : worst / rms;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function deltaOf(engine: CpuEngine, plan: Plan, graph: Graph, base: string, imageSize: number): Promise<Delta> {
  const learnt = trainedNames(graph, plan).flatMap((name) => graph.parameters.get(name) ?? []);
  const tensors = await Promise.all(
    learnt.map(async (parameter) => {
      const { name, shape, read } = learntTensor(parameter, (of) => engine.read(of));
      return [name, { name, shape, data: await read() }] as const;
    }),
  );
  return { base, imageSize, classes: [], preprocessing, drop: null, notes: {}, tensors: new Map(tensors) };
}

function softmaxRows(logits: Float32Array, classes: number): Float32Array {
  const result = new Float32Array(logits.length);
  for (let from = 0; from < logits.length; from += classes) {
    const row = logits.subarray(from, from + classes);
    const max = Math.max(...row);
    const exponentials = row.map((value) => Math.exp(value - max));
    const sum = exponentials.reduce((total, value) => total + value, 0);
    result.set(
      exponentials.map((value) => value / sum),
      from,
    );
  }
  return result;
}
