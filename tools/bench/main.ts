/** @file `npm run bench -- <name>`: the side-by-side figures. */
import { Command } from 'commander';
import { corruptionNames } from '../../runtime/adapt/corruptions/names.ts';
import { normStatistics, type SchemeName, schemeNames } from '../../runtime/scheme/names.ts';
import { type HeldKind, limitKinds } from '../profiler/limits/choose.ts';
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
  .command('peaks')
  .description(
    'planned against measured peak of the whole process: networks, schemes, batches; goes on where it stopped',
  )
  .option('--networks <list>', 'names, names in models/networks, or ONNX files', list, [
    ...benchNetworkNames,
    // Channel shuffles and groups, which none of the others has.
    'shufflenet_v2_x1_0-kept-opset15',
  ])
  .option('--schemes <list>', 'head, shifts, mobiletl, full ...', someOf(schemeNames), [
    ...['shifts', 'mobiletl', 'full'],
  ] as SchemeName[])
  .option('--batches <list>', 'images a step', counts, [1, 8, 32])
  .option('--optimizer <name>', 'sgd, adam or adamw', 'sgd')
  .option('--threads <n>', 'threads', whole, 2)
  .option('--steps <n>', 'steps a run', whole, 8)
  .option('--budget <size>', 'memory that plans may take', '4GiB')
  .option('--out <file>', 'rows as JSON lines; those that are there are not measured again', '.cache/bench/peaks.jsonl')
  .option('--json', 'print JSON', false)
  .action(async (options) => (await import('./peaks.ts')).peaks(options));

program
  .command('prefixes')
  .description('memory of frozen prefixes, opened and run, against their accounting')
  .option('--networks <list>', 'names in models/networks', list, [
    ...['mobilenet_v3_small-kept-opset18', 'efficientnet_b0-kept-opset12', 'resnet18-kept-opset13'],
    ...['resnet50-kept-opset11', 'wrn_40_2-kept-opset12', 'shufflenet_v2_x1_0-kept-opset15'],
    ...['densenet121-kept-opset11', 'googlenet-kept-opset17', 'mnasnet1_0-kept-opset11'],
  ])
  .option('--depths <list>', 'top blocks that are not part of it', counts, [0, 2, 5])
  .option('--threads <n>', 'threads', whole, 2)
  .option('--json', 'print JSON', false)
  .action(async (options) => (await import('./prefixes.ts')).prefixes(options));

program
  .command('caps')
  .description("the smallest memory cap that works, beside PyTorch's")
  .option('--model <name>', 'a network by name, or a path', 'mobilenet-v2')
  .option('--batch <n>', 'images a step', whole, 8)
  .option('--threads <n>', 'threads of each', whole, 2)
  .option('--steps <n>', 'steps a run', whole, 16)
  .option('--budget <size>', 'of the run that is planned for one', '160MiB')
  .option('--kinds <list>', 'what holds the cap', someOf(limitKinds), ['cgroup v1', 'watchdog'] as HeldKind[])
  .option('--only <text>', 'rows whose name holds this', (text) => text, null)
  .option('--json', 'print JSON', false)
  .action(async (options) => (await import('./caps.ts')).caps(options));

program
  .command('profiler')
  .description('what `profile` costs a training run, and what it holds itself')
  .option('--pairs <n>', 'runs with it and without it', whole, 7)
  .option('--steps <n>', 'steps a run', whole, 120)
  .option('--batch <n>', 'images a step', whole, 8)
  .option('--threads <n>', 'threads', whole, 2)
  .option('--json', 'print JSON', false)
  .action(async (options) => (await import('./profiler-cost.ts')).profilerCost(options));

program
  .command('dashboard')
  .description('hours of a simulated stream with the live page open: does the memory of server and page grow?')
  .option('--hours <n>', 'of the stream', whole, 8)
  .option('--speed <n>', 'times faster than it would come', whole, 200)
  .option('--frames-per-second <n>', 'of the stream', whole, 25)
  .option('--samples <n>', 'looks at both', whole, 48)
  .option('--seed <n>', 'of the stream', whole, 1)
  .option('--json', 'print JSON', false)
  .action(async (options) => (await import('./dashboard.ts')).dashboard(options));

program
  .command('dashboard-cost')
  .description('what the live page costs a training: nobody looking on, a reader of events, a page in a browser')
  .option('--rounds <n>', 'runs of each, in turns', whole, 7)
  .option('--steps <n>', 'steps a run', whole, 120)
  .option('--batch <n>', 'images a step', whole, 8)
  .option('--threads <n>', 'threads', whole, 2)
  .option('--json', 'print JSON', false)
  .action(async (options) => (await import('./dashboard-cost.ts')).dashboardCost(options));

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

program
  .command('long-stream')
  .description('`adapt` on a long stream of changing worlds: errors, latency, memory')
  .option('--frames <n>', 'of the stream', whole, 200_000)
  .option('--frames-per-second <n>', 'how fast they come', whole, 100)
  .option('--method <name>', 'of adaptation', (text) => text, 'edgeshift')
  .option('--batch <n>', 'frames of a prediction at the most', whole, 4)
  .option('--images <n>', 'test images under each corruption', whole, 1000)
  .option('--severity <n>', '1 to 5', whole, 5)
  .option('--seed <n>', 'of their order', whole, 1)
  .option('--threads <n>', 'threads', whole, 2)
  .option('--json', 'print JSON', false)
  .action(async (options) => (await import('./long-stream.ts')).longStream(options));

program
  .command('neighbour')
  .description('training beside a process that eats memory in the same control group: who is killed, what changes')
  .option('--runs <n>', 'runs, each with another neighbour', whole, 50)
  .option('--seed <n>', 'of the first neighbour', whole, 1)
  .option('--steps <n>', 'steps of a run', whole, 24)
  .option('--limit-mebibytes <n>', 'limit of the group', whole, 400)
  .option('--most-mebibytes <n>', 'most that the neighbour holds', whole, 180)
  .option('--slowest <n>', 'speed of the neighbour in MiB/s', whole, 10)
  .option('--fastest <n>', 'the same, at most', whole, 100)
  .option('--hold-millis <n>', 'longest that it holds what it has', whole, 1500)
  .option('--governor <how>', 'auto, or off to see what happens without', oneOf(['auto', 'off'] as const), 'auto')
  .option('--json', 'print JSON', false)
  .action(async (options) => (await import('./neighbour/neighbour.ts')).neighbour(options));

program
  .command('transfer')
  .description('what is left of a delta on another version of its base, and of two deltas in one')
  .option('--seeds <list>', 'seeds', counts, [1, 2, 3])
  .option('--corruptions <list>', 'what deltas are learnt under', someOf(corruptionNames), [
    'gaussian_noise',
    'contrast',
  ])
  .option('--severity <n>', '1 to 5', whole, 5)
  .option('--schemes <list>', 'how deltas are learnt', someOf(schemeNames), ['mobiletl', 'shifts'])
  .option('--norms <how>', 'stored, batch or moving', oneOf(normStatistics), 'stored')
  .option('--blocks <k>', 'blocks that learn, 7 at most', whole, 4)
  .option('--limit <n>', 'images a delta is learnt on, and test images', whole, 1000)
  .option('--epochs <n>', 'passes over them', whole, 3)
  .option('--further-limit <n>', 'images that the other base learns from', whole, 2000)
  .option('--further-rate <rate>', 'its learning rate', Number, 0.0003)
  .option('--labelled <n>', 'images of each corruption for the coefficients of a merge', whole, 40)
  .option('--threads <n>', 'threads', whole, 2)
  .option('--json', 'print JSON', false)
  .action(async (options) => (await import('./transfer.ts')).transfer(options));

await program.parseAsync();
