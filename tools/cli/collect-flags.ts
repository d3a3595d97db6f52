/** @file Options of `train --collect`, and whether they go together; loads nothing of what they need. */
import type { Command } from 'commander';
import { UsageError } from '../../runtime/errors.ts';
import { addLabelOptions, addSourceOptions, type Flags, textFlag } from './flags.ts';

export function addCollectOptions(command: Command): Command {
  return addLabelOptions(
    addSourceOptions(
      command
        .option(
          '--collect <folder>',
          'label frames of a stream into <folder>/<class>, then train on them; a key can also skip',
        )
        .option('--collect-only', 'with --collect: do not train')
        .option('--collect-per-class <n>', 'with --collect: stop when each class has so many images')
        .option(
          '--classes <list>',
          "with --collect: their names (default: the folder's folders, or the model's names)",
        ),
    ),
  );
}

/** Those without a default, which mean nothing without `--collect`. */
const collecting = {
  collectOnly: '--collect-only',
  collectPerClass: '--collect-per-class',
  classes: '--classes',
  source: '--source',
  watch: '--watch',
  sourceCommand: '--source-command',
  format: '--format',
  size: '--size',
  token: '--token',
  labels: '--labels',
  labelKeys: '--label-keys',
  labelDevice: '--label-device',
} as const;

/** The folder of `--collect`; null if nothing is to be collected. @throws UsageError if options do not go together */
export function collectFolder(flags: Flags): string | null {
  const folder = textFlag(flags, 'collect');
  if (folder === undefined) {
    const alone = Object.entries(collecting).flatMap(([key, option]) => (flags[key] === undefined ? [] : [option]));
    if (alone.length === 0) return null;
    throw new UsageError(`${alone.join(', ')}: only with --collect <folder>`, { options: alone });
  }
  if (flags.resume === true) throw new UsageError('--resume continues a run; --collect begins one: choose one of them');
  const data = textFlag(flags, 'data');
  if (data === undefined) return folder;
  throw new UsageError(`--collect trains on what it collects, not on --data ${data}: choose one of them`);
}
