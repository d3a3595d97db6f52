/** @file What a training run can be told, with its defaults and their ranges. */

import { availableParallelism } from 'node:os';
import type { Preprocessing } from '../engine/engine.ts';
import { UsageError } from '../errors.ts';
import { type OptimizerName, type ProductsName, productsNames } from '../plan/plan.ts';
import type { SaveName } from '../plan/savings.ts';
import type { Parts } from '../scheme/meta-networks.ts';
import type { NormStatistics, SchemeName } from '../scheme/names.ts';
import { parseAugment } from './data/augment.ts';
import type { Fit } from './data/decode.ts';
import type { ScheduleName } from './schedule.ts';

/** Everything that decides a run; it is kept in the run folder as config.json and is all that `--resume` needs. */
export interface TrainConfig {
  /** ONNX file to start from. */
  readonly model: string;
  /** Image folder (`folder/class/*.jpg`) or folder of idx files. */
  readonly data: string;
  /** Held-out images of the same form; default: the data's own test part if it has one, else the validation split. */
  readonly test: string | null;
  /** Share of the training images set aside for validation, 0 to below 1. */
  readonly validation: number;
  /** Run folder: config, plan, metrics, checkpoints, delta and exported model. */
  readonly run: string;
  readonly scheme: SchemeName;
  readonly blocks: number | 'auto';
  readonly derivative: 'exact' | 'sign';
  /** Globs of tensors that train in place of the scheme's choice, and of those that do not; empty: no say. */
  readonly train: readonly string[];
  readonly freeze: readonly string[];
  /** Statistics of the norms in trained blocks, and the weight of a batch in running ones, above 0 up to 1. */
  readonly norms: NormStatistics;
  readonly normMomentum: number;
  /** How what the backward pass reads is kept, and whether trained blocks are computed again instead. */
  readonly save: SaveName;
  readonly recompute: boolean | 'auto';
  /** Device profile: a name, a path, or `this-machine`. */
  readonly device: string;
  /** Bytes the process may hold; null: the profile's limit. */
  readonly budgetBytes: number | null;
  readonly batch: number;
  readonly microBatch: number | 'auto';
  readonly threads: number;
  /** What multiplies matrices; `simd` never loads onnxruntime. */
  readonly products: ProductsName;
  readonly optimizer: OptimizerName;
  readonly learningRate: Readonly<Record<'head' | 'weights' | 'norms', number>>;
  /** SGD's momentum, 0 to below 1. */
  readonly momentum: number;
  /** Not applied to norms. */
  readonly weightDecay: number;
  readonly schedule: ScheduleName;
  readonly warmupSteps: number;
  readonly epochs: number;
  /** Stops after this many steps; null: when the epochs are done. */
  readonly maxSteps: number | null;
  /** Epochs without a better validation accuracy after which training stops; 0: never. */
  readonly patience: number;
  /** 0 to below 1. */
  readonly labelSmoothing: number;
  /** Such as `flip,shift:6,colour:0.2` (data/augment.ts). */
  readonly augment: string;
  readonly seed: number;
  /** Side of the images in pixels; null: the model's. */
  readonly imageSize: number | null;
  readonly fit: Fit;
  /** Null: what the model file says, else pixels / 255. */
  readonly preprocessing: Preprocessing | null;
  /** Layers to drop for a new head; null: what the model file says, else the last fully connected one. */
  readonly drop: readonly string[] | null;
  /** `auto` replaces the head if the number of classes differs or layers are dropped. */
  readonly head: 'auto' | 'new' | 'keep';
  /** Meta networks that train in place of everything else, by their parts (scheme/meta-networks.ts); null: none. */
  readonly metaParts: Parts | null;
  /** Any file that is no image ends the run. */
  readonly strict: boolean;
  /** Training and test images to take at most; null: all. */
  readonly limit: number | null;
  readonly testLimit: number | null;
  /** Steps between checkpoints, besides the one at each epoch's end. */
  readonly checkpointSteps: number;
  /**
   * Features of the frozen part are kept on disk between epochs where the augmentation allows it: true as floats, so that the run
   * is the same to the bit; `8bit` as codes, a quarter as large, which training and validation then read.
   */
  readonly cacheFeatures: boolean | '8bit';
  /** Whether model.onnx is written at the end. */
  readonly exportModel: boolean;
}

/** What `train` needs at the least. */
export type TrainOptions = Partial<TrainConfig> & Pick<TrainConfig, 'model' | 'data' | 'run'>;

/** Beyond this many threads products of this size do not get faster. */
const MAX_THREADS = 8;

export const defaultThreads = Math.min(availableParallelism(), MAX_THREADS);

/** The learning rates are those of the Fashion-MNIST reference protocol with Adam at batch 32. */
export const defaults: Omit<TrainConfig, 'model' | 'data' | 'run'> = {
  test: null,
  validation: 0.2,
  scheme: 'mobiletl',
  blocks: 'auto',
  derivative: 'exact',
  train: [],
  freeze: [],
  norms: 'stored',
  normMomentum: 0.1,
  save: 'auto',
  recompute: 'auto',
  device: 'this-machine',
  budgetBytes: null,
  batch: 32,
  microBatch: 'auto',
  threads: defaultThreads,
  products: 'onnxruntime',
  optimizer: 'adam',
  learningRate: { head: 3e-3, weights: 5e-4, norms: 3e-3 },
  momentum: 0.9,
  weightDecay: 0,
  schedule: 'cosine',
  warmupSteps: 0,
  epochs: 6,
  maxSteps: null,
  patience: 0,
  labelSmoothing: 0,
  augment: 'flip',
  seed: 1,
  imageSize: null,
  fit: 'fill',
  preprocessing: null,
  drop: null,
  head: 'auto',
  metaParts: null,
  strict: false,
  limit: null,
  testLimit: null,
  checkpointSteps: 100,
  cacheFeatures: true,
  exportModel: true,
};

/** Fills in defaults and checks ranges. @throws UsageError naming every option that is out of range */
export function resolveConfig(options: TrainOptions): TrainConfig {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const config = { ...defaults, ...given } as TrainConfig;
  const whole = (value: number, low: number): boolean => Number.isInteger(value) && value >= low;
  const share = (value: number): boolean => value >= 0 && value < 1;
  const rates = Object.values(config.learningRate);
  const rules: readonly [option: string, valid: boolean, expected: string, value: unknown][] = [
    ['batch', whole(config.batch, 1), 'a whole number from 1', config.batch],
    [
      'microBatch',
      config.microBatch === 'auto' || whole(config.microBatch, 1),
      'auto or a whole number from 1',
      config.microBatch,
    ],
    ['blocks', config.blocks === 'auto' || whole(config.blocks, 0), 'auto or a whole number from 0', config.blocks],
    ['threads', whole(config.threads, 1), 'a whole number from 1', config.threads],
    ['products', productsNames.includes(config.products), productsNames.join(' or '), config.products],
    ['epochs', whole(config.epochs, 1), 'a whole number from 1', config.epochs],
    ['maxSteps', config.maxSteps === null || whole(config.maxSteps, 1), 'a whole number from 1', config.maxSteps],
    ['checkpointSteps', whole(config.checkpointSteps, 1), 'a whole number from 1', config.checkpointSteps],
    ['patience', whole(config.patience, 0), 'a whole number from 0', config.patience],
    ['warmupSteps', whole(config.warmupSteps, 0), 'a whole number from 0', config.warmupSteps],
    ['normMomentum', config.normMomentum > 0 && config.normMomentum <= 1, 'above 0 up to 1', config.normMomentum],
    [
      'cacheFeatures',
      typeof config.cacheFeatures === 'boolean' || config.cacheFeatures === '8bit',
      'true, false or 8bit',
      config.cacheFeatures,
    ],
    ['seed', Number.isInteger(config.seed), 'a whole number', config.seed],
    ['validation', share(config.validation), 'from 0 to below 1', config.validation],
    ['momentum', share(config.momentum), 'from 0 to below 1', config.momentum],
    ['labelSmoothing', share(config.labelSmoothing), 'from 0 to below 1', config.labelSmoothing],
    ['weightDecay', config.weightDecay >= 0, '0 or more', config.weightDecay],
    ['learningRate', rates.every((rate) => rate >= 0 && Number.isFinite(rate)), '0 or more', rates],
    ['limit', config.limit === null || whole(config.limit, 1), 'a whole number from 1', config.limit],
    ['testLimit', config.testLimit === null || whole(config.testLimit, 1), 'a whole number from 1', config.testLimit],
    ['imageSize', config.imageSize === null || whole(config.imageSize, 8), 'a whole number from 8', config.imageSize],
  ];
  const wrong = rules.filter(([, valid]) => !valid);
  if (wrong.length > 0) {
    throw new UsageError(
      wrong.map(([option, , expected, value]) => `${option} must be ${expected}: ${JSON.stringify(value)}`).join('\n'),
      { options: wrong.map(([option]) => option) },
    );
  }
  parseAugment(config.augment);
  return config;
}
