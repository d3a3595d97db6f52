/** @file The command that a service runs: its words parsed by the very options it will have, and refused here what a board would refuse. */
import { Command, CommanderError } from 'commander';
import type { Model } from '../../../models/onnx/open-model.ts';
import { UsageError } from '../../../runtime/errors.ts';
import { elements, shapeOf } from '../../../runtime/graph/graph.ts';
import { keyDevices } from '../../../runtime/hid/keys/key-devices.ts';
import { parseKeyMapping } from '../../../runtime/hid/keys/key-mapping.ts';
import { sourceKind, sourceOptions } from '../../cli/adapt-options.ts';
import { adaptRequest, streamSettings } from '../../cli/adapt-plan.ts';
import { collectFolder } from '../../cli/collect-flags.ts';
import { choiceFlag, countFlag, type Flags, governorModes, listFlag, textFlag } from '../../cli/flags.ts';
import { addAdapt, addTrain } from '../../cli/run-commands.ts';
import { dashboardOptions } from '../../dashboard/options.ts';
import type { Needs } from './unit.ts';
import { splitWords } from './words.ts';

export interface ServiceRun {
  readonly command: 'adapt' | 'train';
  /** As they were given, without the command. */
  readonly words: readonly string[];
  readonly flags: Flags;
  readonly needs: Needs;
}

/**
 * @param text such as `adapt --source http`; the model is not among its words
 * @throws UsageError
 */
export function parseRun(text: string): ServiceRun {
  const [command, ...words] = splitWords(text);
  if (command !== 'adapt' && command !== 'train') {
    throw new UsageError(`--run must begin with adapt or train: ${JSON.stringify(text)}`);
  }
  const flags = flagsOf(command, words);
  checkWords(words);
  checkElsewhere(flags);
  if (command === 'adapt') checkAdapt(flags);
  else checkTrain(flags);
  dashboardOptions(flags, {});
  choiceFlag(flags, 'governor', governorModes);
  return { command, words, flags, needs: needsOf(command, flags) };
}

/** A place for the model, which the command asks for. */
const MODEL = 'model.onnx';

function flagsOf(command: ServiceRun['command'], words: readonly string[]): Flags {
  // What commander prints goes into the error instead.
  const program = new Command('edgeshift').exitOverride().configureOutput({ writeOut: () => {}, writeErr: () => {} });
  const known = command === 'adapt' ? addAdapt(program) : addTrain(program);
  known.action(() => {});
  try {
    program.parse([command, MODEL, ...words], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.code === 'commander.helpDisplayed') throw new UsageError('--run: --help runs nothing: leave it away');
    const hint = error.code === 'commander.excessArguments' ? '\nHint: the model is given to build, with --model' : '';
    throw new UsageError(`--run ${command}: ${error.message.replace(/^error: /, '')}${hint}`, { code: error.code });
  }
  const flags = known.opts<Flags>();
  // The bundle has onnxruntime, which takes more memory than SIMD kernels do.
  return flags.products === 'auto' ? { ...flags, products: 'onnxruntime' } : flags;
}

function checkWords(words: readonly string[]): void {
  const bad = words.find((word) => /[\0\n\r]/.test(word) || word.startsWith('@BUNDLE@/'));
  if (bad !== undefined) {
    throw new UsageError(`--run: a word cannot hold line breaks or begin with @BUNDLE@/: ${JSON.stringify(bad)}`);
  }
}

/** Options that build itself has, or that mean nothing to a service. */
function checkElsewhere(flags: Flags): void {
  const refused: readonly (readonly [key: string, why: string])[] = [
    ['delta', '--delta is given to build, which takes the file along'],
    ['device', '--device is given to build, which takes the profile along'],
    ['plan', '--plan does not go with a service: build plans for the device'],
    ['resume', '--resume comes by itself where the run is there already: leave it away'],
    ['token', '--token would stand in the bundle: put EDGESHIFT_TOKEN into the file "environment" of the root folder'],
  ];
  for (const [key, why] of refused) {
    if (flags[key] !== undefined) throw new UsageError(`--run: ${why}`);
  }
  const inTmp = pathsOf(flags).find((path) => /^(\/var)?\/tmp(\/|$)/.test(path));
  if (inTmp === undefined) return;
  throw new UsageError(`--run: the service has a /tmp of its own and does not see "${inTmp}": choose another folder`);
}

function checkAdapt(flags: Flags): void {
  const kind = sourceKind(flags);
  if (kind === 'stream') throw new UsageError('--run: a service has no standard input: choose another --source');
  const source = sourceOptions(flags, { onLabel: null, stats: null }, 0);
  if (source.kind === 'http' && source.port !== undefined && source.port > 0 && source.port < 1024) {
    throw new UsageError(`--run: ports below 1024 are for root, which the service is not: ${source.port}`);
  }
  adaptRequest(MODEL, flags);
  streamSettings(flags, kind, false);
  if (flags.labelDevice !== undefined && flags.labelKeys === undefined) {
    throw new UsageError('--label-device needs --label-keys <mapping>');
  }
  if (flags.labelKeys !== undefined && countFlag(flags, 'keepLabels', 0) === 0) {
    throw new UsageError('--label-keys needs frames that are kept: --keep-labels must be more than 0');
  }
}

function checkTrain(flags: Flags): void {
  const folder = collectFolder(flags);
  if (folder === null && textFlag(flags, 'data') === undefined) {
    throw new UsageError('--run: train needs --data <folder>, or --collect <folder>');
  }
}

/** Checks keys that label frames against the model's classes. @throws UsageError with the faults of the mapping */
export function checkKeys(flags: Flags, { classes, graph }: Pick<Model, 'classes' | 'graph'>): void {
  const mapping = textFlag(flags, 'labelKeys');
  if (mapping === undefined) return;
  const names = listFlag(flags, 'classes') ?? classes;
  const classCount = names?.length ?? elements(shapeOf(graph, graph.output));
  // Which of the devices will be plugged in is not known.
  const keys = keyDevices.flatMap((device) => device.keys);
  const skip = textFlag(flags, 'collect') !== undefined;
  parseKeyMapping(mapping, { classCount, classes: names, keys, skip });
}

function needsOf(command: ServiceRun['command'], flags: Flags): Needs {
  const paths = pathsOf(flags);
  const kind = command === 'adapt' || flags.collect !== undefined ? sourceKind(flags, command) : null;
  return {
    video: kind === 'command',
    hid: flags.labelKeys !== undefined,
    network: kind === 'command' || kind === 'http' || flags.dashboard !== undefined,
    homes: paths.some((path) => /^\/(home|root|run\/user)(\/|$)/.test(path)),
    writes: writesOf(flags),
  };
}

const readOptions = ['source', 'watch', 'labels', 'data', 'test', 'deltaKey'] as const;
const writtenFiles = ['export', 'exportDelta'] as const;
const writtenFolders = ['run', 'collect'] as const;

function pathsOf(flags: Flags): readonly string[] {
  return [...readOptions, ...writtenFiles, ...writtenFolders].flatMap((key) => textFlag(flags, key) ?? []);
}

/** Absolute ones; the others lie in the state folder. */
function writesOf(flags: Flags): readonly string[] {
  const files = writtenFiles.flatMap((key) => textFlag(flags, key) ?? []);
  const folders = writtenFolders.flatMap((key) => textFlag(flags, key) ?? []);
  const all = [...files.map((path) => path.slice(0, path.lastIndexOf('/')) || '/'), ...folders];
  return [...new Set(all.filter((path) => path.startsWith('/')))].sort();
}
