#!/usr/bin/env -S MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=1048576 MALLOC_TRIM_THRESHOLD_=1048576 node --max-semi-space-size=1
/**
 * @file The command line. Each command is loaded when it is called, so that `--help` costs nothing.
 *
 * The first line keeps memory small: one malloc heap that gives freed pages back at once, and a small young generation.
 */
import { Command } from 'commander';
import { addCompare } from './commands/profile-compare.ts';
import { addDelta, addDeltaKey, checkKeysFirst } from './delta-flags.ts';
import { addDeploy } from './deploy-flags.ts';
import { addDeployHosts } from './deploy-host-flags.ts';
import {
  addDashboardOptions,
  addDataOptions,
  addModelOptions,
  addPlanOptions,
  addStreamOptions,
  addWarmupOptions,
} from './flags.ts';
import { action } from './report-error.ts';
import { addAdapt, addTrain } from './run-commands.ts';

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

addTrain(program).action(action(() => import('./commands/train.ts')));

addWarmupOptions(
  addDataOptions(
    addModelOptions(
      program.command('warmup [model]').description("train EcoTTA's meta networks on labelled images of the source"),
    ),
  ),
)
  .option('--json', 'print one JSON line at the end')
  .action(action(() => import('./commands/warmup.ts')));

addAdapt(program).action(action(() => import('./commands/adapt.ts')));

addDeltaKey(
  addStreamOptions(
    addDataOptions(
      addModelOptions(
        program.command('evaluate <model>').description('measure accuracy on a folder of images, or while it adapts'),
      ),
    ),
  ),
)
  .option('--delta <file>', 'apply a delta to the model first; with --stream also of some methods: ecotta=<file>,...')
  .option('--engine <name>', 'onnxruntime (bare session) or edgeshift', 'onnxruntime')
  .option('--scheme <name>', 'with --engine edgeshift: what runs on the arena', 'head')
  .option('--blocks <k>', 'with --engine edgeshift: blocks on the arena', '0')
  .option('--threads <n>', 'threads', '2')
  .option('--batch <n>', 'images at a time (default: 8; with --stream 64)')
  .option('--json', 'print JSON')
  .action(action(() => import('./commands/evaluate.ts')));

addDeltaKey(program.command('export <model>').description('write a delta back into the ONNX file it was learnt on'))
  .requiredOption('--delta <file>', 'what was learnt')
  .requiredOption('--out <file>', 'ONNX file to write')
  .option('--json', 'print JSON')
  .action(action(() => import('./commands/export.ts')));

const profile = addDashboardOptions(program.command('profile <command...>'))
  .usage('[options] -- train|adapt ...')
  .description('run train or adapt under a memory cap and write down what it really took')
  .option('--device <name>', 'device profile whose memory cap and cores are held')
  .option('--cap <size>', "memory cap, such as 160MiB (default: the profile's)")
  .option('--cpus <n>', 'CPU time in cores, such as 1.5')
  .option('--cores <n>', 'cores to run on')
  .option(
    '--limit <kind>',
    'what holds it: cgroup-v2, cgroup-v1, systemd-scope or watchdog (default: the first to be had)',
  )
  .option('--out <folder>', 'folder of the record and its report (default: profiles/<time>); with compare: HTML file')
  .option('--find-cap', 'look for the smallest cap under which it finishes')
  .option('--power-meter [device]', 'measure energy by a USB power meter: its path, vendor:product or serial number')
  .option('--json', 'print the record as JSON')
  .action(action(() => import('./commands/profile.ts')));
addCompare(profile);

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

addDataOptions(
  program.command('corrupt').description('write copies of images as noise, blur, weather and files would leave them'),
)
  .option('--out <folder>', 'folder to write <corruption>/<severity>/<class>/<image>.png to')
  .option('--corruption <list>', 'all (the 15 of CIFAR-C), extra (4 more), or names separated by commas', 'all')
  .option('--severity <list>', '1 to 5, or several such as 1,3,5', '5')
  .option('--split <part>', 'train or test: of idx files (default: test), or the subfolder of that name')
  .option('--image-size <px>', "side of the images (default: the images' own)")
  .option('--seed <n>', 'seed of everything random', '1')
  .option('--force', 'write into a folder that is not empty; sets of the same name are replaced')
  .option('--json', 'print JSON')
  .action(action(() => import('./commands/corrupt.ts')));

addDelta(program);
addDeployHosts(addDeploy(program));
checkKeysFirst(program);

await program.parseAsync();
