/**
 * @file The model's side of a run, in a thread that ends when it has answered: reading ONNX needs a parser, a graph and every
 * weight, and none of that should stay beside the arena.
 */
import { dirname, resolve } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { exportModel } from '../../models/onnx/export.ts';
import { readModelFile } from '../../models/onnx/model-file.ts';
import { extractPrefix } from '../../models/onnx/prefix.ts';
import { productModels } from '../../models/onnx/products.ts';
import { readDelta } from '../delta/delta.ts';
import { describeError } from '../engine/worker-error.ts';
import { UsageError } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import { processBaseBytes } from '../plan/accounting.ts';
import { buildPlan } from '../plan/build.ts';
import type { Plan } from '../plan/plan.ts';
import { type PlanRequest, requireFit } from '../plan/search.ts';
import type { CheckTask, ExportTask, ModelTask, PreparedModel, PrepareTask } from './model-thread.ts';
import { planParameters, prepareTraining, trainedNames } from './prepare.ts';

async function prepare({ config, classes, plan: saved }: PrepareTask): Promise<PreparedModel> {
  const { model, graph, request, drop, plan: found } = await prepareTraining(config, classes.length);
  const plan = saved ? replay(graph, saved, found, request) : found;
  requireFit(graph, request, plan);
  const preprocessing = config.preprocessing ?? model.preprocessing;
  const learnt = trainedNames(graph, plan).flatMap((name) => {
    const parameter = graph.parameters.get(name);
    return parameter ? [{ name, origin: parameter.origin }] : [];
  });
  return {
    plan,
    learnt,
    engine: {
      parameters: planParameters(graph, plan),
      prefix: extractPrefix(model.file, graph, plan.values.cut, 'beside'),
      prefixFolder: dirname(resolve(model.file.path)),
      products: productModels(),
      preprocessing,
    },
    delta: { base: model.file.sha256, imageSize: model.imageSize, classes, preprocessing, drop },
  };
}

/** A saved plan is replayed only for what it was made for. */
function checkSaved(saved: Plan, found: Plan): void {
  const same = (key: (plan: Plan) => unknown): boolean => key(saved) === key(found);
  const text = (plan: Plan): string =>
    `${plan.classes} classes at ${plan.model.imageSize} px, --batch ${plan.batch} --optimizer ${plan.optimizer}, model ${plan.model.sha256}`;
  if (same(text)) return;
  throw new UsageError(`the saved plan is for ${text(saved)}; this run has ${text(found)}`);
}

/**
 * The saved plan made again from its decisions, with the budget of today.
 * @throws UsageError if it is for something else, or its schedule is not the one that follows from its decisions
 */
function replay(graph: Graph, saved: Plan, found: Plan, request: PlanRequest): Plan {
  const damaged = (what: string): UsageError =>
    new UsageError(
      `the saved plan cannot be replayed: ${what}\nHint: \`plan --out\` writes it anew; a run can start over without its plan.json`,
    );
  const { scheme, savings } = saved;
  if (![scheme, savings, saved.model, saved.steps, saved.buffers].every((part) => typeof part === 'object' && part)) {
    throw damaged('expected scheme, savings, model, steps and buffers, found a plan of another version');
  }
  checkSaved(saved, found);
  const { device, optimizer, labelSmoothing, batch, microBatch, threads } = saved;
  const plan = buildPlan(graph, {
    ...{ device, optimizer, labelSmoothing, batch, microBatch, threads, scheme, savings },
    model: request.model,
    budgetBytes: request.budgetBytes,
    baseBytes: request.baseBytes ?? processBaseBytes(process.versions.node),
    rates: request.rates ?? null,
  });
  const schedule = ({ steps, buffers, spans }: Plan): string => JSON.stringify([steps, buffers, spans]);
  if (schedule(plan) !== schedule(saved)) throw damaged('its schedule is not the one that follows from its decisions');
  return plan;
}

/** A plan for the fewest classes: what the model refuses, it refuses before an image is decoded. */
async function check({ config }: CheckTask): Promise<number> {
  const { model } = await prepareTraining(config, config.head === 'keep' ? null : 2);
  return model.imageSize;
}

async function writeExport({ model, delta, path }: ExportTask): Promise<null> {
  await exportModel(await readModelFile(model), await readDelta(delta), path);
  return null;
}

async function perform(task: ModelTask): Promise<unknown> {
  switch (task.kind) {
    case 'check':
      return check(task);
    case 'prepare':
      return prepare(task);
    case 'export':
      return writeExport(task);
  }
}

try {
  const result = await perform(workerData as ModelTask);
  const { parameters, prefix } = (result as Partial<PreparedModel> | null)?.engine ?? {
    parameters: new Map(),
    prefix: null,
  };
  const moved = [...parameters.values(), ...(prefix ? [prefix] : [])].map(({ buffer }) => buffer as ArrayBuffer);
  parentPort?.postMessage({ result }, [...new Set(moved)]);
} catch (error) {
  parentPort?.postMessage({ error: describeError(error) });
}
