/**
 * @file Epochs of the training loop and the same number of bare steps in turns, on one engine, in a process of its own:
 * EpochRunOptions as JSON in the first argument, progress on stderr, Epochs by setting as one JSON line on stdout.
 */
import type { EngineInput } from '../../runtime/engine/engine.ts';
import { WorkerEngine } from '../../runtime/engine/worker-engine.ts';
import { releaseGarbage } from '../../runtime/garbage.ts';
import type { SchemeName } from '../../runtime/scheme/names.ts';
import { openDataset } from '../../runtime/train/data/dataset.ts';
import { allIndices } from '../../runtime/train/evaluate.ts';
import { type LoopImages, TrainingLoop } from '../../runtime/train/loop.ts';
import { peakRssBytes } from '../../runtime/train/memory.ts';
import { prepareModel } from '../../runtime/train/model-thread.ts';
import { resolveConfig, type TrainConfig } from '../../runtime/train/options.ts';
import { Random } from '../../runtime/train/random.ts';
import { RunFolder } from '../../runtime/train/run-folder.ts';

export interface EpochRunOptions {
  readonly model: string;
  readonly data: string;
  readonly run: string;
  readonly scheme: SchemeName;
  readonly blocks: number;
  readonly batch: number;
  readonly size: number;
  readonly threads: number;
  readonly images: number;
  readonly rounds: number;
  readonly settings: Readonly<Record<string, EpochSetting>>;
}

export type EpochSetting = Pick<TrainConfig, 'augment' | 'cacheFeatures'>;

/** One epoch of the loop, from its beginning to the end of its last step, and bare steps on inputs at hand. Milliseconds. */
export interface MeasuredEpoch {
  readonly millis: number;
  readonly stepMillis: readonly number[];
  /** As many, of the same kind (images, or features where all were cached), with nothing else going on. */
  readonly bareMillis: number;
}

export interface EpochRun {
  readonly epochs: Readonly<Record<string, readonly MeasuredEpoch[]>>;
  readonly maxRssBytes: number;
  readonly plannedTotalBytes: number;
}

const progress = { accuracyBefore: 0, step: 0, epoch: 0, position: 0, epochCorrect: 0, epochSeen: 0 };
const start = { ...progress, trainAccuracy: 0, bestAccuracy: 0, epochsSinceBest: 0 };

/** The last epoch of a loop of its own; where features are cached there is one before it, which fills the cache. */
async function measureEpoch(
  engine: WorkerEngine,
  config: TrainConfig,
  images: LoopImages,
  folder: RunFolder,
): Promise<Omit<MeasuredEpoch, 'bareMillis'>> {
  let [began, ended] = [performance.now(), 0];
  let stepMillis: number[] = [];
  const loop = new TrainingLoop(
    engine,
    config,
    images,
    folder,
    start,
    (event) => {
      if (event.kind === 'step') {
        stepMillis.push(event.millis);
        ended = performance.now();
      } else if (event.kind === 'epoch' && event.epoch + 1 < config.epochs) stepMillis = [];
      else if (event.kind === 'checkpoint' && stepMillis.length === 0) began = performance.now();
    },
    undefined,
  );
  await loop.run();
  return { millis: ended - began, stepMillis };
}

async function bareSteps(engine: WorkerEngine, input: EngineInput, classes: number, steps: number): Promise<number> {
  const labels = Int32Array.from({ length: input.count }, (_, i) => i % classes);
  const update = { learningRate: { head: 0, weights: 0, norms: 0 }, momentum: 0.9, weightDecay: 0, step: 1 };
  const began = performance.now();
  for (let step = 0; step < steps; step++) await engine.step(input, labels, update);
  return performance.now() - began;
}

const options = JSON.parse(process.argv[2] ?? '{}') as EpochRunOptions;
const { batch, size, rounds, settings } = options;
const base = resolveConfig({
  ...{ model: options.model, data: options.data, run: options.run },
  ...{ scheme: options.scheme, blocks: options.blocks, batch, threads: options.threads, microBatch: batch },
  ...{ imageSize: size, optimizer: 'sgd', checkpointSteps: Number.MAX_SAFE_INTEGER },
  learningRate: { head: 1e-4, weights: 1e-4, norms: 1e-4 },
  budgetBytes: 2 ** 32,
});
const folder = new RunFolder(base.run);
await folder.begin(base);
const { dataset } = await openDataset(base.data, { imageSize: size, limit: options.images, storeFolder: folder.cache });
await using _ = dataset;
const images: LoopImages = { train: { dataset, indices: allIndices(dataset.samples) }, validation: null };
const { classes } = dataset;
const { plan, engine: parts } = await prepareModel({ config: base, classes, plan: null });
await using engine = await WorkerEngine.create(plan, parts);
releaseGarbage();

const random = new Random(base.seed);
const pixels = engine.inputs[0].images.map(() => random.integer(0, 255));
const features = (await engine.features(pixels, batch)).slice();
const epochs = Object.fromEntries(Object.keys(settings).map((name) => [name, [] as MeasuredEpoch[]]));
for (let round = 0; round <= rounds; round++) {
  for (const [name, setting] of Object.entries(settings)) {
    const cached = setting.cacheFeatures !== false;
    const config = { ...base, ...setting, epochs: cached ? 2 : 1 };
    const epoch = await measureEpoch(engine, config, images, folder);
    const input: EngineInput = cached ? { count: batch, features } : { count: batch, images: pixels };
    const bareMillis = await bareSteps(engine, input, classes.length, epoch.stepMillis.length);
    // The first round warms up.
    if (round > 0) epochs[name]?.push({ ...epoch, bareMillis });
  }
  console.error(`round ${round} of ${rounds}`);
}
const result: EpochRun = { epochs, maxRssBytes: await peakRssBytes(), plannedTotalBytes: plan.totalBytes };
console.log(JSON.stringify(result));
