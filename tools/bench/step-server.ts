/**
 * @file edgeshift's training steps on demand: the engine as a training run sets it up, on a fixed random batch, prefix
 * included unless its features are cached. Arguments: one JSON object (StepServerOptions). `plan` answers with the plan,
 * `statistics` with the engine's statistics.
 */
import { WorkerEngine } from '../../runtime/engine/worker-engine.ts';
import { releaseGarbage } from '../../runtime/garbage.ts';
import { PAGE_BYTES } from '../../runtime/plan/plan.ts';
import { type PreparedModel, prepareModel } from '../../runtime/train/model-thread.ts';
import { Random } from '../../runtime/train/random.ts';
import { serveSteps } from './line-server.ts';
import { LEARNING_RATE, MOMENTUM, type StepServerOptions, type StepServerReady, stepConfig } from './step-options.ts';

/** WebAssembly's 32-bit addresses. */
const MOST_ARENA_BYTES = 2 ** 32 - PAGE_BYTES;

/** The model planned for the whole batch at once, or for as large a part of it as an arena holds. */
async function prepare(options: StepServerOptions): Promise<PreparedModel> {
  const config = stepConfig(options);
  const classes = Array.from({ length: options.classes }, (_, label) => String(label));
  for (let microBatch = options.batch; ; microBatch = Math.ceil(microBatch / 2)) {
    const prepared = await prepareModel({ config: { ...config, microBatch }, classes, plan: null });
    if (prepared.plan.arenaBytes <= MOST_ARENA_BYTES || microBatch === 1) return prepared;
  }
}

const options = JSON.parse(process.argv[2] ?? '{}') as StepServerOptions;
const { batch, size, classes, cached } = options;
const { plan, engine: parts, learnt, delta } = await prepare(options);
await using engine = await WorkerEngine.create(plan, parts);
releaseGarbage();

const random = new Random(1);
const images = Uint8Array.from({ length: batch * size * size * 3 }, () => random.integer(0, 255));
const labels = Int32Array.from({ length: batch }, () => random.integer(0, classes - 1));
const input = cached ? { count: batch, features: await engine.features(images, batch) } : { count: batch, images };
const learningRate = { head: LEARNING_RATE, weights: LEARNING_RATE, norms: LEARNING_RATE };
const update = { learningRate, momentum: MOMENTUM, weightDecay: 0 };
let step = 0;

const ready: StepServerReady = {
  trainableParameters: plan.trainableParameters,
  learnt: learnt.flatMap(({ origin }) => origin.tensor ?? []),
  drop: delta.drop ?? [],
  microBatch: plan.microBatch,
  plannedTotalBytes: plan.totalBytes,
  arenaBytes: plan.arenaBytes,
};
await serveSteps(ready, async () => (await engine.step(input, labels, { ...update, step: ++step })).loss, {
  plan: async () => plan,
  statistics: () => engine.statistics(),
});
