/**
 * @file edgeshift's training steps on demand: the engine as a training run sets it up, on a fixed random batch, prefix
 * included. Arguments: one JSON object (StepServerOptions).
 */
import { WorkerEngine } from '../../runtime/engine/worker-engine.ts';
import { releaseGarbage } from '../../runtime/garbage.ts';
import type { SchemeName } from '../../runtime/index.ts';
import { prepareModel } from '../../runtime/train/model-thread.ts';
import { resolveConfig } from '../../runtime/train/options.ts';
import { Random } from '../../runtime/train/random.ts';
import { serveSteps } from './line-server.ts';

export interface StepServerOptions {
  readonly model: string;
  readonly scheme: SchemeName;
  readonly blocks: number;
  readonly batch: number;
  readonly size: number;
  readonly threads: number;
  readonly classes: number;
}

const options = JSON.parse(process.argv[2] ?? '{}') as StepServerOptions;
const { model, scheme, blocks, batch, size, threads, classes } = options;
const config = resolveConfig({
  ...{ model, scheme, blocks, batch, threads, data: '', run: '' },
  imageSize: size,
  microBatch: batch,
  optimizer: 'sgd',
  budgetBytes: Number.MAX_SAFE_INTEGER,
});
const names = Array.from({ length: classes }, (_, label) => String(label));
const { plan, engine: parts, learnt } = await prepareModel({ config, classes: names, plan: null });
await using engine = await WorkerEngine.create(plan, parts);
releaseGarbage();

const random = new Random(config.seed);
const images = Uint8Array.from({ length: batch * size * size * 3 }, () => random.integer(0, 255));
const labels = Int32Array.from({ length: batch }, () => random.integer(0, classes - 1));
const rate = 1e-3;
const update = { learningRate: { head: rate, weights: rate, norms: rate }, momentum: 0.9, weightDecay: 0 };
let step = 0;

await serveSteps(
  {
    trainableParameters: plan.trainableParameters,
    trainableTensors: learnt.length,
    plannedTotalBytes: plan.totalBytes,
    arenaBytes: plan.arenaBytes,
  },
  async () => (await engine.step({ count: batch, images }, labels, { ...update, step: ++step })).loss,
);
