/** @file `edgeshift delta` with its subcommands, and the keys that any command may be given; loads nothing of what they need. */
import type { Command } from 'commander';
import type { Flags } from './flags.ts';
import { action, type LoadCommand, reportError } from './report-error.ts';

/** Adds `delta` to the program. */
export function addDelta(program: Command): Command {
  const delta = program
    .command('delta')
    .description('look at what was learnt, carry it to a new base, merge it, sign it');

  add(delta, 'inspect <delta>', 'say what is in a delta', () => import('./commands/delta-inspect.ts')).option(
    '--model <base>',
    'the base: finds blocks, and how far each tensor has moved',
  );

  add(delta, 'diff <a> <b>', 'say in what two deltas differ', () => import('./commands/delta-diff.ts')).option(
    '--model <base>',
    'the base of both: compares what they learnt instead of their values',
  );

  add(
    delta,
    'transfer',
    'carry a delta from its base to a new version of it',
    () => import('./commands/delta-transfer.ts'),
  )
    .requiredOption('--from <model>', 'base that the delta was learnt on')
    .requiredOption('--to <model>', 'new base')
    .requiredOption('--delta <file>', 'what was learnt')
    .requiredOption('--out <file>', 'delta to write, for the new base');

  add(delta, 'merge <deltas...>', 'join deltas of one base', () => import('./commands/delta-merge.ts'))
    .requiredOption('--model <base>', 'base of all of them')
    .requiredOption('--out <file>', 'delta to write')
    .option('--weights <list>', 'weighted average, such as 1,2,1 (default: all the same)')
    .option('--coefficients <list>', 'task arithmetic: what each difference is taken times, such as 0.5,0.8')
    .option('--data <folder>', 'labelled images, a few per class: learns a coefficient for each delta and block')
    .option('--fit <how>', 'with --data: how images become square: fill, cover, contain or pad (unscaled)', 'fill')
    .option('--limit <n>', 'with --data: images to take at most', '160')
    .option('--threads <n>', 'with --data: threads', '2');

  add(delta, 'sign <delta>', 'sign a delta', () => import('./commands/delta-sign.ts'))
    .requiredOption('--key <file>', 'private key')
    .option('--out <file>', 'file to write (default: the delta itself)');

  add(delta, 'verify <delta>', 'check who signed a delta', () => import('./commands/delta-verify.ts'))
    .requiredOption('--key <file>', 'public keys, one of which must have signed it')
    .option('--model <base>', 'check also that it belongs to this base');

  add(delta, 'keygen', 'make a pair of keys', () => import('./commands/delta-keygen.ts')).requiredOption(
    '--out <file>',
    'private key to write; the public one goes to <file>.pub',
  );

  return delta;
}

/** Adds `--delta-key` to a command that applies deltas: it stands for `EDGESHIFT_DELTA_KEY`, in this process and its threads. */
export function addDeltaKey(command: Command): Command {
  return command.option(
    '--delta-key <file>',
    'refuse deltas that none of these public keys signed (default: EDGESHIFT_DELTA_KEY)',
  );
}

/** Before any command: keys that are set, by its options or around it, can be read. */
export function checkKeysFirst(program: Command): Command {
  return program.hook('preAction', async (_, called) => {
    const { deltaKey, json } = called.opts<Flags>();
    if (typeof deltaKey === 'string') process.env.EDGESHIFT_DELTA_KEY = deltaKey;
    if (process.env.EDGESHIFT_DELTA_KEY === undefined && !process.env.EDGESHIFT_SIGN_KEY) return;
    try {
      await (await import('../../runtime/delta/key-policy.ts')).checkKeys();
    } catch (error) {
      process.exit(reportError(error, json === true));
    }
  });
}

function add(delta: Command, name: string, description: string, load: LoadCommand): Command {
  const command = delta.command(name).description(description).option('--json', 'print JSON');
  if (/^(transfer|merge)/.test(name)) addDeltaKey(command);
  return command.action(action(load));
}
