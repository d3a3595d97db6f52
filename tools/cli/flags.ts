/** @file Options that several commands share, and their values as the library wants them. */
import type { Command } from 'commander';
import { UsageError } from '../../runtime/errors.ts';

/** What commander hands over: strings, true, or nothing. */
export type Flags = Readonly<Record<string, string | boolean | undefined>>;

export function addModelOptions(command: Command): Command {
  return command
    .option('--image-size <px>', "side of the images (default: the model's, or 224)")
    .option('--normalize <how>', "0-1, -1-1, 0-255 or imagenet (default: the model file's, or 0-1)");
}

export function addDataOptions(command: Command): Command {
  return command
    .option('--data <folder>', 'images as folder/class/*.jpg, or a folder of idx files')
    .option('--fit <how>', 'how images become square: fill, cover, contain or pad (unscaled)', 'fill')
    .option('--strict', 'fail on files that are no images instead of skipping them')
    .option('--limit <n>', 'images to take at most');
}

export const governorModes = ['auto', 'off'] as const;
const governorOption = [
  '--governor <how>',
  'what happens when memory gets short: auto (give way) or off',
  'auto',
] as const;

const productsOption = [
  '--products <how>',
  'what multiplies matrices: auto (onnxruntime where it loads), onnxruntime or simd',
  'auto',
] as const;

export function addPlanOptions(command: Command): Command {
  return command
    .option('--scheme <name>', 'what learns: head, shifts, bias, norms, mobiletl, blocks or full')
    .option('--blocks <k>', 'top blocks that learn, or auto: as many as fit')
    .option('--device <name>', 'device profile: a name, a path, or this-machine')
    .option('--budget <size>', "memory cap of the whole process, such as 256MiB (default: the device's)")
    .option('--batch <n>', 'images a step')
    .option('--micro-batch <n>', 'images a pass, or auto: as many as fit')
    .option('--optimizer <name>', 'sgd, adam or adamw')
    .option('--threads <n>', 'threads')
    .option(...productsOption)
    .option('--label-smoothing <s>', 'probability spread over all classes')
    .option('--train <globs>', "tensors that learn in place of the scheme's choice, such as 'features.1[5-7].*'")
    .option('--freeze <globs>', 'tensors that do not learn')
    .option('--norms <statistics>', 'of the norms in trained blocks: stored, batch, moving or renorm')
    .option('--norm-momentum <m>', "weight of a batch in the norms' running statistics (default: 0.1)")
    .option('--save <how>', 'what is kept for the backward pass: mask, 2bit, 3bit, 4bit, 8bit, float or auto')
    .option('--recompute', 'compute trained blocks again instead of keeping their insides (default: if it must be)')
    .option('--no-recompute', 'never do that')
    .option('--derivative <bit>', 'bit kept of a clipped activation: exact or sign')
    .option('--head <how>', 'auto, new or keep')
    .option(
      '--drop <layers>',
      "layers to drop for a new head, separated by commas (default: the model file's, or the last)",
    )
    .option('--seed <n>', 'seed of everything random');
}

export function addTrainOptions(command: Command): Command {
  return addDashboardOptions(command)
    .option('--run <folder>', 'run folder (default: runs/<time>)')
    .option('--resume', 'continue the run in --run exactly where its last checkpoint stands')
    .option('--plan <file>', 'replay a saved plan')
    .option('--test <folder>', "held-out images (default: the data's own, or the validation split)")
    .option('--test-limit <n>', 'test images to take at most')
    .option('--validation <share>', 'share of the images set aside')
    .option('--epochs <n>', 'passes over the images')
    .option('--max-steps <n>', 'stop after this many steps')
    .option('--lr <rate>', 'learning rate of everything')
    .option('--lr-head <rate>', 'of the head')
    .option('--lr-weights <rate>', "of the blocks' weights")
    .option('--lr-norms <rate>', "of the norms' shifts and scales")
    .option('--momentum <m>', "SGD's momentum")
    .option('--weight-decay <d>', 'not applied to norms')
    .option('--schedule <name>', 'cosine or constant')
    .option('--warmup <steps>', 'steps of linear warm-up')
    .option('--patience <epochs>', 'stop after this many epochs without a better validation accuracy')
    .option('--augment <list>', 'such as flip,shift:6,crop:0.8,colour:0.2, or none')
    .option('--checkpoint-steps <n>', 'steps between checkpoints')
    .option('--cache <how>', 'how features of the frozen part are kept on disk: exact, 8bit or off (default: exact)')
    .option('--no-cache', 'do not keep them')
    .option('--no-export', 'write the delta only')
    .option(...governorOption);
}

/** Options of the live page. */
export function addDashboardOptions(command: Command): Command {
  return command
    .option('--dashboard [port]', 'serve a live page of the run (default: port 8077, or a free one)')
    .option('--dashboard-host <address>', 'address of the page (default: 127.0.0.1); any other asks for a token');
}

/** Options of training that make sense for meta networks. */
export function addWarmupOptions(command: Command): Command {
  return command
    .option('--run <folder>', 'run folder (default: runs/<time>)')
    .option('--resume', 'continue the run in --run exactly where its last checkpoint stands')
    .option('--parts <k>', 'parts that get a meta network, the blocks of each such as 3,3,6,6, or auto (default)')
    .option('--test <folder>', "held-out images (default: the data's own, or the validation split)")
    .option('--test-limit <n>', 'test images to take at most')
    .option('--validation <share>', 'share of the images set aside')
    .option('--epochs <n>', 'passes over the images (default: 10)')
    .option('--max-steps <n>', 'stop after this many steps')
    .option('--lr <rate>', 'learning rate (default: 0.05)')
    .option('--momentum <m>', "SGD's momentum")
    .option('--optimizer <name>', 'sgd, adam or adamw (default: sgd)')
    .option('--weight-decay <d>', 'not applied to norms')
    .option('--schedule <name>', 'cosine or constant')
    .option('--warmup <steps>', 'steps of linear warm-up of the rate')
    .option('--patience <epochs>', 'stop after this many epochs without a better validation accuracy')
    .option('--augment <list>', 'such as flip,shift:6,crop:0.8,colour:0.2, or none (default: colour:0.4)')
    .option('--batch <n>', 'images a step (default: 64)')
    .option('--device <name>', 'device profile: a name, a path, or this-machine')
    .option('--budget <size>', "memory cap of the whole process, such as 256MiB (default: the device's)")
    .option('--threads <n>', 'threads')
    .option(...productsOption)
    .option('--seed <n>', 'seed of everything random')
    .option('--checkpoint-steps <n>', 'steps between checkpoints')
    .option('--cache <how>', 'how features of the frozen part are kept on disk: exact, 8bit or off (default: exact)')
    .option('--no-cache', 'do not keep them')
    .option('--no-export', 'write the delta only')
    .option(...governorOption);
}

/** Where a stream of frames comes from. */
export function addSourceOptions(command: Command): Command {
  return command
    .option('--source <what>', 'frames: a folder of images, - for standard input, or http[://address:port]')
    .option('--watch <folder>', 'frames: images that appear in a folder')
    .option('--source-command <command>', 'frames: what a command writes to its standard output, such as ffmpeg')
    .option('--format <how>', 'of standard input or a command: auto, images, multipart or raw (default: auto)')
    .option('--size <w>x<h>', 'raw RGB frames of this size')
    .option('--restarts <n>', 'times that a command which failed is started again', '10')
    .option('--loops <n>', 'times that a folder is read', '1')
    .option('--token <text>', 'asked of HTTP clients (default: EDGESHIFT_TOKEN of the environment)');
}

/** What labels the frames of a stream. */
export function addLabelOptions(command: Command): Command {
  return command
    .option('--labels <file>', 'JSON lines {"frame" or "name", "class"} that are appended while the stream runs')
    .option(
      '--label-keys <mapping>',
      "keys that label the frame shown: 'a=cat,b=dog,c=undo' (pedal, key pad, keyboard)",
    )
    .option(
      '--label-device <device>',
      'with --label-keys: path, vendor:product or serial number, if several are plugged in',
    )
    .option('--keep-labels <n>', 'frames that are kept for their labels', '256');
}

export function addAdaptOptions(command: Command): Command {
  return addDashboardOptions(addLabelOptions(addSourceOptions(command)))
    .option('--fit <how>', 'how frames become square: fill, cover, contain or pad (unscaled)', 'fill')
    .option('--method <name>', 'what adapts: edgeshift, none, bn-batch, tent ... (default: edgeshift)')
    .option('--method-options <list>', "the method's numbers, such as learningRate=0.001,memory=32")
    .option('--no-guard <list>', 'guards to switch off: filter, skew, drift, memory, collapse, no-harm')
    .option('--delta <file>', 'delta of a training or a warm-up to start from')
    .option('--batch <n>', 'frames of a call at most (default: 16)')
    .option('--background', 'predict beside the adaptation, on a small copy of the model (default for live sources)')
    .option('--no-background', 'predict and adapt in turn')
    .option('--device <name>', 'device profile: a name, a path, or this-machine')
    .option('--budget <size>', "memory cap of the whole process, such as 256MiB (default: the device's)")
    .option('--threads <n>', 'threads')
    .option(...productsOption)
    .option('--policy <what>', 'when frames come too fast: drop-oldest, skip-adaptation or block')
    .option('--queue <n>', 'frames that wait at most (default: 64, or two batches)')
    .option('--deadline <ms>', 'how long a frame may wait for others of its batch')
    .option('--probabilities', 'say the probability of each class')
    .option('--run <folder>', 'where the state is saved')
    .option('--resume', 'continue the run in --run where its last snapshot stands')
    .option('--snapshot-frames <n>', 'frames from snapshot to snapshot', '5000')
    .option('--snapshot-seconds <s>', 'seconds from snapshot to snapshot', '300')
    .option('--export <file>', 'ONNX file to write at the end, and at SIGUSR1')
    .option('--export-delta <file>', 'delta to write at the end, and at SIGUSR1')
    .option(...governorOption)
    .option('--plan', 'say what it costs, and stop')
    .option('--seed <n>', 'seed of everything random');
}

export function addStreamOptions(command: Command): Command {
  return command
    .option('--stream <protocols>', 'adapt to streams of corrupted images: continual, reset, gradual ..., or all')
    .option('--methods <list>', 'with --stream: what adapts', 'none,bn-batch,tent,edgeshift')
    .option('--method-options <list>', "with --stream: 'tent:learningRate=0.001;edgeshift:gain=20'")
    .option('--corruption <list>', 'with --stream: all (the 15 of CIFAR-C), extra (4 more), or names', 'all')
    .option('--severity <n>', 'with --stream: 1 to 5', '5')
    .option('--concentration <delta>', 'with --stream correlated: of the Dirichlet distribution', '0.1')
    .option('--source-data <folder>', 'with --stream: images of the source, for methods that take some')
    .option('--source-limit <n>', 'with --stream: images of the source at most', '2000')
    .option('--device <name>', 'with --stream: device profile')
    .option('--budget <size>', 'with --stream: memory cap of each method')
    .option('--seed <n>', 'with --stream: seed of everything random', '1')
    .option('--out <file>', 'with --stream: JSON file of the results')
    .option(...productsOption)
    .option('--plot <file>', 'with --stream: SVG of the error over time, one for each protocol');
}

/** Value of a numeric option; undefined if it was not given. @throws UsageError */
export function numberFlag(flags: Flags, key: string): number | undefined {
  const text = flags[key];
  if (text === undefined) return undefined;
  const value = typeof text === 'string' && text.trim() !== '' ? Number(text) : Number.NaN;
  if (Number.isFinite(value)) return value;
  throw new UsageError(`${optionName(key)} must be a number: ${JSON.stringify(text)}`);
}

/** A number or the word `auto`. */
export function numberOrAuto(flags: Flags, key: string): number | 'auto' | undefined {
  return flags[key] === 'auto' ? 'auto' : numberFlag(flags, key);
}

/** One of a few words; undefined if it was not given. @throws UsageError */
export function choiceFlag<T extends string>(flags: Flags, key: string, choices: readonly T[]): T | undefined {
  const value = flags[key];
  if (value === undefined) return undefined;
  const found = choices.find((choice) => choice === value);
  if (found !== undefined) return found;
  throw new UsageError(`${optionName(key)} must be one of ${choices.join(', ')}: ${JSON.stringify(value)}`);
}

/** A whole number from `least`. @throws UsageError */
export function countFlag(flags: Flags, key: string, least: number): number | undefined {
  const value = numberFlag(flags, key);
  if (value === undefined || (Number.isSafeInteger(value) && value >= least)) return value;
  throw new UsageError(`${optionName(key)} must be a whole number from ${least}: ${value}`);
}

export function textFlag(flags: Flags, key: string): string | undefined {
  const value = flags[key];
  return typeof value === 'string' ? value : undefined;
}

export function listFlag(flags: Flags, key: string): readonly string[] | undefined {
  return textFlag(flags, key)
    ?.split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

const optionName = (key: string): string => `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** Removes what was not given, so that defaults hold. */
export function given<T extends Record<string, unknown>>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
