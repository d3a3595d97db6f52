/** @file The commands that run for long: for the command line, and for whoever checks one that is to run elsewhere. */
import type { Command } from 'commander';
import { addCollectOptions } from './collect-flags.ts';
import { addDeltaKey } from './delta-flags.ts';
import { addAdaptOptions, addDataOptions, addModelOptions, addPlanOptions, addTrainOptions } from './flags.ts';

export function addTrain(program: Command): Command {
  return addCollectOptions(
    addTrainOptions(
      addPlanOptions(
        addDataOptions(addModelOptions(program.command('train [model]').description('train and export a model'))),
      ),
    ),
  ).option('--json', 'print one JSON line at the end');
}

export function addAdapt(program: Command): Command {
  return addDeltaKey(
    addAdaptOptions(
      addModelOptions(
        program.command('adapt <model>').description('predict a stream of frames and adapt the model to it'),
      ),
    ),
  ).option('--json', 'print the plan, or the final counts, as JSON');
}
