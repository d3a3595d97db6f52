/** @file `edgeshift warmup`: trains EcoTTA's meta networks on labelled images of the source, as `train` does. */
import { UsageError } from '../../../runtime/errors.ts';
import type { Parts } from '../../../runtime/scheme/meta-networks.ts';
import { resumeTraining, type TrainHooks, type TrainResult, train } from '../../../runtime/train/train.ts';
import { type Flags, numberOrAuto, textFlag } from '../flags.ts';
import { trainOptions } from '../plan-flags.ts';
import { defaultRun, follow } from './train.ts';

/** SGD, its rate and batch: the recipe in use for CIFAR; one schedule and one augmentation of ours for theirs. */
const recipe: Flags = {
  ...{ optimizer: 'sgd', lr: '0.05', batch: '64', epochs: '10', augment: 'colour:0.4', head: 'keep' },
  // The frozen norms take the batch's statistics, as they do when the model adapts.
  ...{ norms: 'moving', normMomentum: '1' },
};

export function run([model]: readonly string[], flags: Flags): Promise<number> {
  return follow(flags, (hooks) => start(model, flags, hooks));
}

function start(model: string | undefined, flags: Flags, hooks: TrainHooks): Promise<TrainResult> {
  const folder = textFlag(flags, 'run');
  if (flags.resume === true) {
    if (folder === undefined) throw new UsageError('--resume needs --run <folder>');
    return resumeTraining(folder, hooks);
  }
  if (model === undefined || textFlag(flags, 'data') === undefined) {
    throw new UsageError('warmup needs a model and --data <folder> (or --resume --run <folder>)');
  }
  const options = trainOptions(model, { ...recipe, ...flags }, folder ?? defaultRun());
  return train({ ...options, scheme: 'blocks', blocks: 0, metaParts: partsOf(flags) }, hooks);
}

/** A number of parts, the blocks of each, or auto. @throws UsageError */
function partsOf(flags: Flags): Parts {
  const text = textFlag(flags, 'parts') ?? 'auto';
  if (!text.includes(',')) return numberOrAuto({ parts: text }, 'parts') ?? 'auto';
  return text.split(',').map((size) => {
    const value = Number(size);
    if (Number.isInteger(value) && value > 0) return value;
    throw new UsageError(`--parts must be auto, a number of parts, or blocks of each such as 3,3,6,6: "${text}"`);
  });
}
