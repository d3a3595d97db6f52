/** @file `edgeshift deploy` with its subcommands; loads nothing of what they need. */
import type { Command } from 'commander';
import { action } from './report-error.ts';

/** Adds `deploy` to the program; gives it back for more subcommands. */
export function addDeploy(program: Command): Command {
  const deploy = program
    .command('deploy')
    .description('bundle a model with the runtime for a board, and bring it there');

  deploy
    .command('build')
    .description('write one file that a board can run: runtime, model, plan, service')
    .requiredOption('--target <platform>', 'linux-arm64 or linux-x64')
    .requiredOption('--model <file>', 'ONNX model')
    .option('--delta <file>', 'delta of a training or a warm-up that adapt starts from')
    .option('--device <name>', 'device profile of the board, a name or a path: plans for it, and limits memory')
    .requiredOption('--run <command>', "what the service runs, without the model: 'adapt --source http'")
    .option('--beside <size>', 'memory of what runs beside the plan (default: 128MiB with --source-command, else 0)')
    .option('--with-node', "bring Node along (default: the board's own)")
    .option('--out <file>', 'bundle to write (default: <model>-<target>.tar.gz)')
    .option('--json', 'print JSON')
    .action(action(() => import('./commands/deploy-build.ts')));

  return deploy;
}
