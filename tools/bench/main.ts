/** @file `npm run bench -- <name>`: the side-by-side figures. */
import { Command } from 'commander';
import { type SchemeName, schemeNames } from '../../runtime/scheme/names.ts';
import { benchNetworkNames } from './networks.ts';
import type { Kept } from './protocol.ts';
import type { Against } from './step.ts';

const program = new Command('bench').description(
  'Repeats the figures: speed, memory, accuracy, resuming. Without a name: the whole table, which takes hours.',
);
const whole = (text: string): number => {
  const value = Number(text);
  if (!(Number.isInteger(value) && value >= 0)) throw new Error(`expected a whole number: "${text}"`);
  return value;
};
const list = (text: string): string[] => text.split(',').filter((item) => item !== '');
const counts = (text: string): number[] => list(text).map(whole);
const oneOf =
  <T extends string>(names: readonly T[]) =>
  (text: string): T => {
    if (!names.includes(text as T)) throw new Error(`expected one of ${names.join(', ')}: "${text}"`);
    return text as T;
  };
const someOf =
  <T extends string>(names: readonly T[]) =>
  (text: string): T[] =>
    list(text).map(oneOf(names));
const AGAINST: Against[] = ['torch', 'tfjs', 'onnxruntime'];

/** Options of the commands that measure one model's step. */
const stepCommand = (name: string): Command =>
  program
    .command(name)
    .option(
      '--model <name>',
      'mobilenet-v2, mobilenet-v3-small, efficientnet-b0, resnet50, wrn, or a path',
      'mobilenet-v2',
    )
    .option('--scheme <name>', 'head, shifts, mobiletl, full ...', oneOf(schemeNames), 'mobiletl')
    .option('--blocks <k>', "top blocks that learn (default: the network's own)", whole, null)
    .option('--size <px>', "side of the images (default: the network's own)", whole, null)
    .option('--threads <n>', 'threads of each', whole, 2)
    .option('--rounds <n>', 'turns each one gets', whole, 12)
    .option('--steps <n>', 'measured steps a turn', whole, 5)
    .option('--json', 'print JSON', false);

program
  .command('table', { isDefault: true })
  .description(
    'every network, batch and scheme beside PyTorch, TensorFlow.js and bare inference; stages; time over the batch',
  )
  .option('--networks <list>', 'names or ONNX files', list, benchNetworkNames)
  .option('--batches <list>', 'images a step', counts, [1, 8, 32])
  .option('--schemes <list>', 'head, shifts, mobiletl, full ...', someOf(schemeNames), [
    ...['head', 'shifts', 'mobiletl', 'full'],
  ] as SchemeName[])
  .option('--against <list>', AGAINST.join(', '), someOf(AGAINST), AGAINST)
  .option('--threads <n>', 'threads of each', whole, 2)
  .option('--rounds <n>', 'turns each one gets', whole, 6)
  .option('--steps <n>', 'measured steps a turn', whole, 3)
  .option('--no-stages', 'leave out stages and time over the batch')
  .option('--json', 'print JSON', false)
  .action(async (options) => (await import('./table.ts')).compareAll(options));

stepCommand('step')
  .description('one training step beside PyTorch and bare inference')
  .option('--batch <n>', 'images a step', whole, 8)
  .option('--against <list>', AGAINST.join(', '), someOf(AGAINST), ['torch', 'onnxruntime'] as Against[])
  .option('--cached', 'edgeshift from cached features too', false)
  .action(async (options) => (await import('./step.ts')).step(options));

stepCommand('stages')
  .description("each stage of edgeshift's step as a share of its roofline, the frozen prefix beside bare onnxruntime")
  .option('--batch <n>', 'images a step', whole, 8)
  .action(async (options) => (await import('./stages.ts')).stages(options));

stepCommand('batches')
  .description("edgeshift's step at several batches: is its time a straight line, and its memory as planned?")
  .option('--batches <list>', 'images a step', counts, [1, 2, 4, 8, 16, 32])
  .action(async (options) => (await import('./batches.ts')).batches(options));

program
  .command('startup')
  .description('fresh processes of the command line, and a run up to its first step')
  .option('--rounds <n>', 'fresh processes of each', whole, 7)
  .option('--batch <n>', 'images a step', whole, 8)
  .option('--blocks <k>', 'top blocks that learn', whole, 5)
  .option('--threads <n>', 'threads', whole, 2)
  .option('--json', 'print JSON', false)
  .action(async (options) => (await import('./startup.ts')).startup(options));

program
  .command('epoch')
  .description('epochs with their data against the sum of their steps')
  .option('--scheme <name>', 'head, shifts, mobiletl, full ...', oneOf(schemeNames), 'mobiletl')
  .option('--blocks <k>', 'top blocks that learn', whole, 5)
  .option('--batch <n>', 'images a step', whole, 8)
  .option('--size <px>', 'side of the images', whole, 224)
  .option('--threads <n>', 'threads', whole, 2)
  .option('--images <n>', 'images of an epoch', whole, 256)
  .option('--rounds <n>', 'epochs of each setting', whole, 5)
  .option('--json', 'print JSON', false)
  .action(async (options) => (await import('./epoch.ts')).epoch(options));

program
  .command('memory')
  .alias('base')
  .description('peak memory of training runs against their plans, and the process base that follows')
  .option('--size <px>', 'side of the images', whole, 224)
  .option('--batch <n>', 'images a step', whole, 8)
  .option('--threads <n>', 'threads', whole, 2)
  .option('--optimizer <name>', 'sgd, adam or adamw', 'sgd')
  .option('--steps <n>', 'steps a run', whole, 64)
  .option('--repeat <n>', 'runs a setting; the largest peak counts', whole, 1)
  .option('--only <text>', 'settings whose name holds this', (text) => text, null)
  .option('--json', 'print JSON', false)
  .action(async (options) => (await import('./memory.ts')).memory(options));

program
  .command('protocol')
  .description('Fashion-MNIST: accuracy of head, shifts and mobiletl')
  .option('--seeds <list>', 'seeds', counts, [1, 2, 3])
  .option('--schemes <list>', 'schemes', list, ['head', 'shifts', 'mobiletl'] as SchemeName[])
  .option('--kept <list>', 'what the backward pass keeps: exact, sign, 8bit', list, ['exact'] as Kept[])
  .option('--limit <n>', 'training images', whole, 3000)
  .option('--epochs <n>', 'passes over them', whole, 6)
  .option('--schedule <name>', 'cosine or constant', 'cosine')
  .option('--threads <n>', 'threads', whole, 2)
  .option('--json', 'print JSON', false)
  .action(async (options) => (await import('./protocol.ts')).protocol(options));

program
  .command('resume')
  .description('SIGKILL at random moments of a training run, resumed each time')
  .option('--kills <n>', 'how often', whole, 20)
  .option('--steps <n>', 'steps of the run', whole, 150)
  .option('--seed <n>', 'seed of the moments and of the run', whole, 1)
  .option('--json', 'print JSON', false)
  .action(async (options) => (await import('./resume.ts')).resume(options));

await program.parseAsync();
