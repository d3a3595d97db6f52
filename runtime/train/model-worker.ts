/**
 * @file The model's side of a run, in a thread that ends before training starts: reading ONNX needs a parser, a graph and every
 * weight, and none of that should stay beside the arena.
 */

import { parentPort } from 'node:worker_threads';
import { describeError } from '../engine/worker-error.ts';
import { UsageError } from '../errors.ts';
import { releaseGarbage } from '../garbage.ts';
import { firstRung } from '../governor/rungs.ts';
import { withStopped } from '../governor/stopped-weights.ts';
import { elements, type Graph, parameterOf, shapeOf } from '../graph/graph.ts';
import { buildPlan, type Decisions } from '../plan/build.ts';
import type { Plan } from '../plan/plan.ts';
import { baseBytesOf, type PlanRequest, planTraining, requireCandidate, requireFit } from '../plan/search.ts';
import { META } from '../scheme/meta-networks.ts';
import { engineModel } from './engine-model.ts';
import type {
  CheckedModel,
  CheckTask,
  ModelTask,
  PreparedModel,
  PrepareTask,
  Refit,
  RefitTask,
} from './model-thread.ts';
import type { TrainConfig } from './options.ts';
import { type Opened, openForTraining, trainedNames } from './prepare.ts';

async function prepare({ config, classes, plan: saved }: PrepareTask): Promise<PreparedModel> {
  const opened = await openForTraining(config, classes.length);
  const { graph, request } = opened;
  const plan = saved ? replay(graph, saved, request) : planTraining(graph, request);
  requireFit(graph, request, plan);
  return preparedModel(opened, graph, plan, config, classes);
}

async function refit({ config, classes, whole, capBytes, checkpoint }: RefitTask): Promise<Refit> {
  const opened = await openForTraining(config, classes.length);
  const { graph, request } = opened;
  const { plan, passed } = firstRung(graph, request, whole, capBytes);
  if (!plan) return { prepared: null, passed, initial: new Map() };
  const learning = new Set(trainedNames(graph, plan));
  const stopped = trainedNames(graph, whole).filter((name) => !learning.has(name));
  if (checkpoint === null) {
    const initial = new Map(stopped.map((name) => [name, parameterOf(graph, name).data()]));
    return { prepared: preparedModel(opened, graph, plan, config, classes), passed, initial };
  }
  const frozen = await withStopped(opened.model, graph, checkpoint, stopped);
  return { prepared: preparedModel(opened, frozen, plan, config, classes), passed, initial: new Map() };
}

function preparedModel(
  { model, drop, metaParts }: Opened,
  graph: Graph,
  plan: Plan,
  config: TrainConfig,
  classes: readonly string[],
): PreparedModel {
  const preprocessing = config.preprocessing ?? model.preprocessing;
  const statistics = new Set(plan.buffers.flatMap(({ name, category }) => (category === 'statistics' ? [name] : [])));
  const learnt = trainedNames(graph, plan).flatMap((name) => {
    // Beside meta networks the network's own statistics are those of the last batch: nothing that was learnt.
    if (metaParts && statistics.has(name) && !name.startsWith(META)) return [];
    const parameter = graph.parameters.get(name);
    return parameter ? [{ name, origin: parameter.origin }] : [];
  });
  return {
    plan,
    learnt,
    engine: engineModel(model, graph, plan, preprocessing),
    delta: { base: model.file.sha256, imageSize: model.imageSize, classes, preprocessing, drop, metaParts },
  };
}

/** A saved plan is replayed only for what it was made for. */
function checkSaved(saved: Plan, graph: Graph, request: PlanRequest): void {
  const text = ({
    classes,
    model,
    batch,
    optimizer,
    products = 'onnxruntime',
  }: Pick<Plan, 'classes' | 'model' | 'batch' | 'optimizer'> & Pick<Decisions, 'products'>): string =>
    `${classes} classes at ${model.imageSize} px, --batch ${batch} --optimizer ${optimizer} --products ${products}, ` +
    `model ${model.sha256}`;
  const [was, is] = [text(saved), text({ ...request, classes: elements(shapeOf(graph, graph.output)) })];
  if (was !== is) throw new UsageError(`the saved plan is for ${was}; this run has ${is}`);
}

/**
 * The saved plan made again from its decisions, with the budget of today.
 * @throws UsageError if it is for something else, or its schedule is not the one that follows from its decisions
 */
function replay(graph: Graph, saved: Plan, request: PlanRequest): Plan {
  const damaged = (what: string): UsageError =>
    new UsageError(
      `the saved plan cannot be replayed: ${what}\nHint: \`plan --out\` writes it anew; a run can start over without its plan.json`,
    );
  const { scheme, savings } = saved;
  if (![scheme, savings, saved.model, saved.steps, saved.buffers].every((part) => typeof part === 'object' && part)) {
    throw damaged('expected scheme, savings, model, steps and buffers, found a plan of another version');
  }
  checkSaved(saved, graph, request);
  const { device, optimizer, labelSmoothing, batch, microBatch, threads, products } = saved;
  const plan = buildPlan(graph, {
    ...{ device, optimizer, labelSmoothing, batch, microBatch, threads, products, scheme, savings },
    model: request.model,
    budgetBytes: request.budgetBytes,
    baseBytes: baseBytesOf({ ...request, threads }),
    cachesFeatures: request.cachesFeatures ?? false,
    rates: request.rates ?? null,
  });
  const schedule = ({ steps, buffers, spans }: Plan): string => JSON.stringify([steps, buffers, spans]);
  if (schedule(plan) !== schedule(saved)) throw damaged('its schedule is not the one that follows from its decisions');
  return plan;
}

/** For the fewest classes: what the model refuses, it refuses before an image is decoded. */
async function check({ config }: CheckTask): Promise<CheckedModel> {
  const { model, graph, request } = await openForTraining(config, config.head === 'keep' ? null : 2);
  requireCandidate(graph, request);
  const { imageSize, classes } = model;
  return { imageSize, classes };
}

async function answer(task: ModelTask): Promise<void> {
  if (task.kind === 'check') {
    parentPort?.postMessage({ result: await check(task) });
    // While images are decoded only the code stays, not the model's bytes.
    releaseGarbage();
    return;
  }
  const result = task.kind === 'prepare' ? await prepare(task) : await refit(task);
  const engine = 'prepared' in result ? result.prepared?.engine : result.engine;
  const arrays = engine ? [...engine.parameters.values(), ...(engine.prefix ? [engine.prefix] : [])] : [];
  const moved = arrays.map(({ buffer }) => buffer as ArrayBuffer);
  parentPort?.postMessage({ result }, [...new Set(moved)]);
}

parentPort?.on('message', (task: ModelTask) => {
  answer(task).catch((error: unknown) => parentPort?.postMessage({ error: describeError(error) }));
});
