/** @file Planning and training options from the command line. */
import { preprocessingNamed } from '../../models/onnx/preprocessing.ts';
import { UsageError } from '../../runtime/errors.ts';
import { parseBytes } from '../../runtime/plan/bytes-text.ts';
import { optimizerNames, productsNames } from '../../runtime/plan/plan.ts';
import { saveNames } from '../../runtime/plan/savings.ts';
import { normStatistics, schemeNames } from '../../runtime/scheme/names.ts';
import { fits } from '../../runtime/train/data/decode.ts';
import { defaults, type TrainOptions } from '../../runtime/train/options.ts';
import { scheduleNames } from '../../runtime/train/schedule.ts';
import { choiceFlag, type Flags, given, listFlag, numberFlag, numberOrAuto, textFlag } from './flags.ts';

/** Everything `plan` and `train` have in common. */
export function planOptions(flags: Flags): Partial<TrainOptions> {
  const budget = textFlag(flags, 'budget');
  const normalize = textFlag(flags, 'normalize');
  return given({
    scheme: choiceFlag(flags, 'scheme', schemeNames),
    blocks: numberOrAuto(flags, 'blocks'),
    derivative: choiceFlag(flags, 'derivative', ['exact', 'sign'] as const),
    train: globFlag(flags, 'train'),
    freeze: globFlag(flags, 'freeze'),
    norms: choiceFlag(flags, 'norms', normStatistics),
    normMomentum: numberFlag(flags, 'normMomentum'),
    save: choiceFlag(flags, 'save', saveNames),
    recompute: flags.recompute as boolean | undefined,
    device: textFlag(flags, 'device'),
    budgetBytes: budget === undefined ? undefined : parseBytes('--budget', budget),
    batch: numberFlag(flags, 'batch'),
    microBatch: numberOrAuto(flags, 'microBatch'),
    optimizer: choiceFlag(flags, 'optimizer', optimizerNames),
    threads: numberFlag(flags, 'threads'),
    products: choiceFlag(flags, 'products', productsNames),
    labelSmoothing: numberFlag(flags, 'labelSmoothing'),
    seed: numberFlag(flags, 'seed'),
    imageSize: numberFlag(flags, 'imageSize'),
    drop: listFlag(flags, 'drop'),
    head: choiceFlag(flags, 'head', ['auto', 'new', 'keep'] as const),
    preprocessing: normalize === undefined ? undefined : preprocessingNamed(normalize),
  });
}

/** @throws UsageError if the option was given and holds no pattern */
function globFlag(flags: Flags, key: 'train' | 'freeze'): readonly string[] | undefined {
  const globs = listFlag(flags, key);
  if (globs?.length === 0)
    throw new UsageError(`--${key} holds no pattern: expected tensor names such as 'features.1*'`);
  return globs;
}

/** @throws UsageError if the data or the model are missing */
export function trainOptions(model: string | undefined, flags: Flags, run: string): TrainOptions {
  const data = textFlag(flags, 'data');
  if (model === undefined || data === undefined) {
    throw new UsageError('train needs a model and --data <folder> (or --resume --run <folder>)');
  }
  const rate = numberFlag(flags, 'lr');
  const learningRate = {
    head: numberFlag(flags, 'lrHead') ?? rate ?? defaults.learningRate.head,
    weights: numberFlag(flags, 'lrWeights') ?? rate ?? defaults.learningRate.weights,
    norms: numberFlag(flags, 'lrNorms') ?? rate ?? defaults.learningRate.norms,
  };
  return {
    model,
    data,
    run,
    ...planOptions(flags),
    ...given({
      test: textFlag(flags, 'test'),
      validation: numberFlag(flags, 'validation'),
      learningRate,
      momentum: numberFlag(flags, 'momentum'),
      weightDecay: numberFlag(flags, 'weightDecay'),
      schedule: choiceFlag(flags, 'schedule', scheduleNames),
      warmupSteps: numberFlag(flags, 'warmup'),
      epochs: numberFlag(flags, 'epochs'),
      maxSteps: numberFlag(flags, 'maxSteps'),
      patience: numberFlag(flags, 'patience'),
      augment: textFlag(flags, 'augment'),
      fit: choiceFlag(flags, 'fit', fits),
      strict: flags.strict === true,
      limit: numberFlag(flags, 'limit'),
      testLimit: numberFlag(flags, 'testLimit'),
      checkpointSteps: numberFlag(flags, 'checkpointSteps'),
      cacheFeatures: cacheFlag(flags),
      exportModel: flags.export !== false,
    }),
  };
}

/** `--cache <how>` or `--no-cache`; undefined if neither was given. @throws UsageError */
function cacheFlag(flags: Flags): boolean | '8bit' | undefined {
  if (flags.cache === false) return false;
  const how = choiceFlag(flags, 'cache', ['exact', '8bit', 'off'] as const);
  return how === undefined || how === '8bit' ? how : how === 'exact';
}
