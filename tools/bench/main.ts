/** @file `npm run bench -- <name>`: the side-by-side figures. */
import { Command } from 'commander';
import type { SchemeName } from '../../runtime/index.ts';
import type { Kept } from './protocol.ts';

const program = new Command('bench').description('Repeats the figures: speed, memory, accuracy, resuming.');
const whole = (text: string): number => {
  const value = Number(text);
  if (!(Number.isInteger(value) && value >= 0)) throw new Error(`expected a whole number: "${text}"`);
  return value;
};
const list = (text: string): string[] => text.split(',').filter((item) => item !== '');

program
  .command('step')
  .description('one training step beside PyTorch and bare inference')
  .option('--scheme <name>', 'head, shifts or mobiletl', 'mobiletl')
  .option('--blocks <k>', 'top blocks that learn', whole, 5)
  .option('--batch <n>', 'images a step', whole, 8)
  .option('--size <px>', 'side of the images', whole, 224)
  .option('--threads <n>', 'threads of each', whole, 2)
  .option('--rounds <n>', 'turns each one gets', whole, 12)
  .option('--steps <n>', 'measured steps a turn', whole, 5)
  .option('--json', 'print JSON', false)
  .action(async (options) => (await import('./step.ts')).step(options));

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
  .option('--seeds <list>', 'seeds', (text) => list(text).map(whole), [1, 2, 3])
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
