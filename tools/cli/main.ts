#!/usr/bin/env -S MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=1048576 MALLOC_TRIM_THRESHOLD_=1048576 node --max-semi-space-size=1
/**
 * @file The command line. Each command is loaded when it is called, so that `--help` costs nothing.
 *
 * The first line keeps memory small: one malloc heap that gives freed pages back at once, and a small young generation.
 */
import { Command } from 'commander';
import { addDataOptions, addModelOptions, addPlanOptions, addTrainOptions, type Flags } from './flags.ts';
import { reportError } from './report-error.ts';

/** Runs one command and turns what it throws into a message and an exit code: 1 failed, 2 usage, 3 does not fit. */
function action(load: () => Promise<{ run(positional: readonly string[], flags: Flags): Promise<number> }>) {
  return async (...args: unknown[]): Promise<void> => {
    const command = args.at(-1) as Command;
    const flags = args.at(-2) as Flags;
    try {
      const { run } = await load();
      process.exitCode = await run(command.args, flags);
    } catch (error) {
      process.exitCode = reportError(error, flags.json === true);
    }
  };
}

const program = new Command('edgeshift')
  .description('Fine-tunes an ONNX vision model on the board, inside a memory cap.')
  .version('0.1.0')
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .showHelpAfterError('(edgeshift <command> --help tells the options)');

addModelOptions(program.command('inspect <model>').description('print a model as blocks, layers and parameters'))
  .option('--json', 'print JSON')
  .action(action(() => import('./commands/inspect.ts')));

addPlanOptions(
  addModelOptions(program.command('plan <model>').description('say what training costs, before it starts')),
)
  .option('--classes <n>', "classes of a new head (default: the model's own)")
  .option('--frontier', 'every budget at which the plan changes, with what trains and the predicted time')
  .option('--devices', 'what fits on every device profile')
  .option('--tensors', 'every tensor that --train and --freeze can name, and whether it trains')
  .option('--accounting <rule>', 'edgeshift: everything the process holds; tinytl: the rule papers use', 'edgeshift')
  .option('--out <file>', 'write the plan; `train --plan` replays it')
  .option('--json', 'print JSON')
  .action(action(() => import('./commands/plan.ts')));

addTrainOptions(
  addPlanOptions(
    addDataOptions(addModelOptions(program.command('train [model]').description('train and export a model'))),
  ),
)
  .option('--json', 'print one JSON line at the end')
  .action(action(() => import('./commands/train.ts')));

addDataOptions(
  addModelOptions(program.command('evaluate <model>').description('measure accuracy on a folder of images')),
)
  .option('--delta <file>', 'apply a delta to the model first')
  .option('--engine <name>', 'onnxruntime (bare session) or edgeshift', 'onnxruntime')
  .option('--scheme <name>', 'with --engine edgeshift: what runs on the arena', 'head')
  .option('--blocks <k>', 'with --engine edgeshift: blocks on the arena', '0')
  .option('--threads <n>', 'threads', '2')
  .option('--batch <n>', 'images at a time', '8')
  .option('--json', 'print JSON')
  .action(action(() => import('./commands/evaluate.ts')));

program
  .command('export <model>')
  .description('write a delta back into the ONNX file it was learnt on')
  .requiredOption('--delta <file>', 'what was learnt')
  .requiredOption('--out <file>', 'ONNX file to write')
  .option('--json', 'print JSON')
  .action(action(() => import('./commands/export.ts')));

program
  .command('devices [word] [name]')
  .description('list the device profiles; devices show <name>, detect, calibrate; a bare name prints JSON')
  .option('--out <file>', 'calibrate: write the profile here')
  .option('--threads <n>', 'calibrate: threads of the matrix products')
  .option('--json', 'print JSON')
  .action(action(() => import('./commands/devices.ts')));

program
  .command('convert <input> <output>')
  .description('convert a TensorFlow.js layers model (model.json) to ONNX')
  .option('--image-size <px>', 'side of the images')
  .option('--json', 'print JSON')
  .action(action(() => import('./commands/convert.ts')));

await program.parseAsync();
