/** @file The training loop: epochs of batches, from wherever the last checkpoint left off. */
import type { Engine, Update } from '../engine/engine.ts';
import type { GovernorEvent } from '../governor/governor.ts';
import { isClosed, isRenewable, wholeOf } from '../governor/renewable.ts';
import { loadCheckpoint, type Progress, saveCheckpoint } from './checkpoint.ts';
import { type Augmentation, parseAugment, variants } from './data/augment.ts';
import { batchesPerEpoch } from './data/batches.ts';
import { measureAccuracy } from './evaluate.ts';
import { FeatureCache, featureShape, fitsCache, fitsDisk } from './feature-cache.ts';
import { feed } from './feed.ts';
import type { Part, RunImages } from './images.ts';
import { type GovernorMetrics, type Metrics, MetricsFile } from './metrics.ts';
import type { TrainConfig } from './options.ts';
import type { RunFolder } from './run-folder.ts';
import { rateFactor } from './schedule.ts';

/** What a run tells while it goes on. */
export type TrainEvent =
  | {
      readonly kind: 'step';
      readonly step: number;
      readonly steps: number;
      readonly epoch: number;
      readonly loss: number;
      readonly millis: number;
    }
  | {
      readonly kind: 'epoch';
      readonly epoch: number;
      readonly trainAccuracy: number;
      readonly validationAccuracy: number | null;
    }
  | { readonly kind: 'checkpoint'; readonly path: string };

export interface LoopResult {
  readonly progress: Progress;
  /** Milliseconds of every step taken in this process. */
  readonly stepMillis: readonly number[];
  /** True if the signal ended it; a checkpoint was written. */
  readonly interrupted: boolean;
}

/** What the loop needs of a run's images. */
export type LoopImages = Pick<RunImages, 'train' | 'validation'>;

const BEST = 'best.safetensors';

/** Trains until the config's end or until `signal` aborts. */
export class TrainingLoop {
  readonly #engine: Engine;
  readonly #config: TrainConfig;
  readonly #images: LoopImages;
  readonly #folder: RunFolder;
  readonly #onEvent: (event: TrainEvent) => void;
  readonly #signal: AbortSignal | undefined;
  readonly #augmentation: Augmentation;
  readonly #perEpoch: number;
  readonly #stepMillis: number[] = [];
  #progress: Progress;
  readonly #notes: GovernorMetrics[] = [];

  constructor(
    engine: Engine,
    config: TrainConfig,
    images: LoopImages,
    folder: RunFolder,
    progress: Progress,
    onEvent: (event: TrainEvent) => void,
    signal: AbortSignal | undefined,
  ) {
    this.#engine = engine;
    this.#config = config;
    this.#images = images;
    this.#folder = folder;
    this.#progress = progress;
    this.#onEvent = onEvent;
    this.#signal = signal;
    this.#augmentation = parseAugment(config.augment);
    this.#perEpoch = batchesPerEpoch(images.train.indices.length, config.batch);
  }

  /** Optimizer steps of the whole run. */
  get totalSteps(): number {
    const { epochs, maxSteps } = this.#config;
    return Math.min(epochs * this.#perEpoch, maxSteps ?? Number.POSITIVE_INFINITY);
  }

  /** What was done about memory: it is written among the measurements with the next of them. */
  note({ action, reason, plan }: GovernorEvent): void {
    const { step, epoch } = this.#progress;
    this.#notes.push({ kind: 'governor', step, epoch, action, reason, plan });
  }

  async run(): Promise<LoopResult> {
    await using metrics = await MetricsFile.open(this.#folder.metrics, this.#progress);
    if (isRenewable(this.#engine)) this.#engine.keep = () => this.#checkpoint();
    await using trainCache = await this.#cache('train', this.#images.train, variants(this.#augmentation));
    await using validationCache = await this.#cache('validation', this.#images.validation, 1);
    while (!this.#finished()) {
      const interrupted = (await this.#epoch(metrics, trainCache)) || !(await this.#endEpoch(metrics, validationCache));
      if (interrupted) {
        // A closed engine's state has been saved.
        if (!isClosed(this.#engine)) await this.#checkpoint();
        return { progress: this.#progress, stepMillis: this.#stepMillis, interrupted };
      }
    }
    if (isRenewable(this.#engine)) this.#engine.keep = null;
    if (this.#config.patience > 0 && this.#progress.bestAccuracy > 0) await this.#loadBest();
    return { progress: this.#progress, stepMillis: this.#stepMillis, interrupted: false };
  }

  #finished(): boolean {
    const { epoch, step, epochsSinceBest } = this.#progress;
    const { epochs, patience } = this.#config;
    return epoch >= epochs || step >= this.totalSteps || (patience > 0 && epochsSinceBest >= patience);
  }

  /** The rest of the current epoch; true if the signal ended it. */
  async #epoch(metrics: MetricsFile, cache: FeatureCache | null): Promise<boolean> {
    const { batch, seed, checkpointSteps } = this.#config;
    const { epoch, position } = this.#progress;
    const options = { batch, seed, epoch, shuffle: true, augmentation: this.#augmentation, from: position };
    const { dataset, indices } = this.#images.train;
    for await (const { input, labels, millis: before } of feed(this.#engine, dataset, indices, options, cache)) {
      if (this.#signal?.aborted) return true;
      const { step } = this.#progress;
      const started = performance.now();
      const update = this.#update(step);
      const { loss, correct } = await this.#engine.step(input, labels, update);
      const millis = before + performance.now() - started;
      this.#stepMillis.push(millis);
      this.#progress = {
        ...this.#progress,
        step: step + 1,
        position: this.#progress.position + 1,
        epochCorrect: this.#progress.epochCorrect + correct,
        epochSeen: this.#progress.epochSeen + input.count,
      };
      const accuracy = correct / input.count;
      const rate = rateFactor(
        { name: this.#config.schedule, warmupSteps: this.#config.warmupSteps, totalSteps: this.totalSteps },
        step,
      );
      await this.#append(metrics, { kind: 'step', step: step + 1, epoch, loss, accuracy, rate, millis });
      this.#onEvent({ kind: 'step', step: step + 1, steps: this.totalSteps, epoch, loss, millis });
      if (this.#progress.step >= this.totalSteps) break;
      if (this.#progress.step % checkpointSteps === 0) await this.#checkpoint();
    }
    return this.#signal?.aborted === true && this.#progress.step < this.totalSteps;
  }

  /** False if the signal ended it. */
  async #endEpoch(metrics: MetricsFile, cache: FeatureCache | null): Promise<boolean> {
    const { epoch, step, epochCorrect, epochSeen, bestAccuracy, epochsSinceBest } = this.#progress;
    const trainAccuracy = epochCorrect / Math.max(1, epochSeen);
    const { validation } = this.#images;
    const validationAccuracy = validation
      ? await measureAccuracy(this.#engine, validation.dataset, validation.indices, cache)
      : null;
    if (isClosed(this.#engine)) return false;
    const better = validationAccuracy !== null && validationAccuracy > bestAccuracy;
    this.#progress = {
      ...this.#progress,
      epoch: epoch + 1,
      position: 0,
      epochCorrect: 0,
      epochSeen: 0,
      trainAccuracy,
      bestAccuracy: better ? validationAccuracy : bestAccuracy,
      epochsSinceBest: better ? 0 : epochsSinceBest + 1,
    };
    await this.#append(metrics, { kind: 'epoch', step, epoch, trainAccuracy, validationAccuracy });
    this.#onEvent({ kind: 'epoch', epoch, trainAccuracy, validationAccuracy });
    if (better && this.#config.patience > 0) {
      await saveCheckpoint(this.#folder.checkpoints, wholeOf(this.#engine), this.#progress, BEST);
    }
    await this.#checkpoint();
    return true;
  }

  async #append(metrics: MetricsFile, measured: Metrics): Promise<void> {
    for (const note of this.#notes.splice(0)) await metrics.append(note);
    await metrics.append(measured);
  }

  async #loadBest(): Promise<void> {
    const path = `${this.#folder.checkpoints}/${BEST}`;
    if (isRenewable(this.#engine)) await this.#engine.load(path);
    else await loadCheckpoint(path, this.#engine);
  }

  #update(step: number): Update {
    const { learningRate, momentum, weightDecay, schedule, warmupSteps } = this.#config;
    const factor = rateFactor({ name: schedule, warmupSteps, totalSteps: this.totalSteps }, step);
    const { head, weights, norms } = learningRate;
    return {
      learningRate: { head: head * factor, weights: weights * factor, norms: norms * factor },
      momentum,
      weightDecay,
      step: step + 1,
    };
  }

  async #checkpoint(): Promise<void> {
    const path = await saveCheckpoint(this.#folder.checkpoints, wholeOf(this.#engine), this.#progress);
    if (isRenewable(this.#engine)) this.#engine.checkpoint = path;
    this.#onEvent({ kind: 'checkpoint', path });
  }

  /** A feature cache where it is wanted, legal (a sample has few variants) and fits. */
  async #cache(name: string, part: Part | null, count: number | null): Promise<FeatureCache | null> {
    const { cacheFeatures } = this.#config;
    const { plan } = wholeOf(this.#engine);
    const shape = featureShape(plan);
    if (cacheFeatures === false || !part || count === null || !shape) return null;
    const precision = cacheFeatures === true ? 'exact' : cacheFeatures;
    const { cache } = this.#folder;
    const needs = { shape, precision, variants: count, images: part.indices.length } as const;
    if (!fitsCache(plan, needs) || !(await fitsDisk(cache, needs))) return null;
    return FeatureCache.create(`${cache}/${name}.features`, { ...needs, samples: part.dataset.samples });
  }
}
