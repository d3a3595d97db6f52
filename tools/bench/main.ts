/** @file `npm run bench -- <name>`: the side-by-side figures. */
import { Command } from 'commander';
import type { SchemeName } from '../../runtime/index.ts';

const program = new Command('bench').description('Repeats the figures: speed, memory, accuracy, resuming.');
const whole = (text: string): number => {
  const value = Number(text);
  if (!(Number.isInteger(value) && value >= 0)) throw new Error(`expected a whole number: "${text}"`);
  return value;
};
const list = (text: string): string[] => text.split(',').filter((item) => item !== '');

program
  .command('protocol')
  .description('Fashion-MNIST: accuracy of head, shifts and mobiletl')
  .option('--seeds <list>', 'seeds', (text) => list(text).map(whole), [1, 2, 3])
  .option('--schemes <list>', 'schemes', list, ['head', 'shifts', 'mobiletl'] as SchemeName[])
  .option('--limit <n>', 'training images', whole, 3000)
  .option('--epochs <n>', 'passes over them', whole, 6)
  .option('--schedule <name>', 'cosine or constant', 'cosine')
  .option('--threads <n>', 'threads', whole, 2)
  .option('--json', 'print JSON', false)
  .action(async (options) => (await import('./protocol.ts')).protocol(options));

await program.parseAsync();
