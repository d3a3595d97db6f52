/** @file Options of an adaptation from the command line. */
import { preprocessingNamed } from '../../models/onnx/preprocessing.ts';
import { type GuardName, guardNames } from '../../runtime/adapt/guards/names.ts';
import { type MethodName, methodNames } from '../../runtime/adapt/methods/index.ts';
import type { AdaptOptions } from '../../runtime/adapt/open.ts';
import type { SourceOptions } from '../../runtime/adapt/streams/open-source.ts';
import { UsageError } from '../../runtime/errors.ts';
import { parseBytes } from '../../runtime/plan/bytes-text.ts';
import { productsNames } from '../../runtime/plan/plan.ts';
import { fits } from '../../runtime/train/data/decode.ts';
import { choiceFlag, countFlag, type Flags, given, listFlag, numberFlag, textFlag } from './flags.ts';

/** What has to be known of the model before its source is opened is left out. */
type OpenSource = SourceOptions extends infer Kind
  ? Kind extends SourceOptions
    ? Omit<Kind, 'imageSize'>
    : never
  : never;

/** @throws UsageError */
export function adaptOptions(model: string, flags: Flags): AdaptOptions {
  const budget = textFlag(flags, 'budget');
  const normalize = textFlag(flags, 'normalize');
  return {
    model,
    ...given({
      delta: textFlag(flags, 'delta'),
      method: choiceFlag(flags, 'method', methodNames),
      batch: countFlag(flags, 'batch', 1),
      seed: numberFlag(flags, 'seed'),
      numbers: numbersOf('--method-options', textFlag(flags, 'methodOptions')),
      guards: guardsFlag(flags),
      threads: countFlag(flags, 'threads', 1),
      products: choiceFlag(flags, 'products', productsNames),
      device: textFlag(flags, 'device'),
      budgetBytes: budget === undefined ? undefined : parseBytes('--budget', budget),
      imageSize: countFlag(flags, 'imageSize', 1),
      preprocessing: normalize === undefined ? undefined : preprocessingNamed(normalize),
    }),
  };
}

/** `learningRate=0.001,memory=32`; undefined for no text. @throws UsageError */
export function numbersOf(option: string, text: string | undefined): Readonly<Record<string, number>> | undefined {
  if (text === undefined) return undefined;
  return Object.fromEntries(
    text.split(',').map((pair) => {
      const [name = '', value = ''] = pair.split('=').map((part) => part.trim());
      if (name !== '' && value !== '' && Number.isFinite(Number(value))) return [name, Number(value)];
      throw new UsageError(`${option} must be numbers such as learningRate=0.001,memory=32: ${JSON.stringify(pair)}`);
    }),
  );
}

/** Method names from a list; `all` stands for every one. @throws UsageError */
export function methodsOf(words: readonly string[]): readonly MethodName[] {
  const names = words.flatMap((word): readonly MethodName[] => {
    if (word === 'all') return methodNames;
    const name = methodNames.find((candidate) => candidate === word);
    if (name !== undefined) return [name];
    throw new UsageError(`--methods must be of ${methodNames.join(', ')}, or all: ${JSON.stringify(word)}`);
  });
  return [...new Set(names)];
}

/** All but those that `--no-guard` names. */
function guardsFlag(flags: Flags): readonly GuardName[] | undefined {
  const off = listFlag(flags, 'guard');
  if (off === undefined) return undefined;
  const unknown = off.filter((name) => !guardNames.some((guard) => guard === name));
  if (unknown.length === 0) return guardNames.filter((guard) => !off.includes(guard));
  throw new UsageError(`--no-guard must name some of ${guardNames.join(', ')}: ${JSON.stringify(unknown.join(','))}`);
}

const sourceFlags = ['source', 'watch', 'sourceCommand'] as const;

/**
 * Where the frames come from.
 * @param hooks what an HTTP endpoint does with labels, and shows of the counts
 * @throws UsageError if there is no source, or several
 */
export function sourceOptions(
  flags: Flags,
  hooks: Pick<Extract<SourceOptions, { kind: 'http' }>, 'onLabel' | 'stats'>,
  first: number,
): OpenSource {
  const fit = choiceFlag(flags, 'fit', fits) ?? 'fill';
  const kind = sourceKind(flags);
  switch (kind) {
    case 'watch':
      return { kind, folder: textFlag(flags, 'watch') ?? '', fit };
    case 'command': {
      const restarts = countFlag(flags, 'restarts', 0) ?? 0;
      return { kind, command: textFlag(flags, 'sourceCommand') ?? '', fit, restarts, ...bytesFormat(flags) };
    }
    case 'stream':
      return { kind, name: 'standard input', stream: process.stdin, fit, ...bytesFormat(flags) };
    case 'http':
      return { kind, fit, ...httpAddress(flags), ...hooks };
    case 'folder':
      return { kind, folder: textFlag(flags, 'source') ?? '', fit, loops: countFlag(flags, 'loops', 1) ?? 1, first };
  }
}

/**
 * @param command what the message says needs it
 * @throws UsageError if there is no source, or several
 */
export function sourceKind(flags: Flags, command = 'adapt'): SourceOptions['kind'] {
  const found = sourceFlags.filter((key) => textFlag(flags, key) !== undefined);
  if (found.length !== 1) {
    throw new UsageError(
      `${command} needs ${found.length === 0 ? 'a' : 'one'} source of frames: --source <folder>, --source - (standard input), ` +
        '--source http, --watch <folder> or --source-command <command>',
    );
  }
  if (found[0] === 'watch') return 'watch';
  if (found[0] === 'sourceCommand') return 'command';
  const source = textFlag(flags, 'source') ?? '';
  if (source === '-') return 'stream';
  return source === 'http' || source.startsWith('http://') ? 'http' : 'folder';
}

function bytesFormat(flags: Flags) {
  const text = textFlag(flags, 'size');
  const format = choiceFlag(flags, 'format', ['auto', 'images', 'multipart', 'raw'] as const);
  if (text === undefined) return given({ format });
  const [, width, height] = /^(\d+)x(\d+)$/i.exec(text) ?? [];
  if (width === undefined || height === undefined) {
    throw new UsageError(`--size must be width and height in pixels, such as 640x480: ${JSON.stringify(text)}`);
  }
  return { format: format ?? ('raw' as const), size: { width: Number(width), height: Number(height) } };
}

function httpAddress(flags: Flags) {
  const text = textFlag(flags, 'source') ?? '';
  const token = textFlag(flags, 'token') ?? process.env.EDGESHIFT_TOKEN ?? null;
  if (text === 'http') return { token };
  if (!URL.canParse(text) || new URL(text).pathname !== '/') {
    throw new UsageError(`--source must be http, or an address such as http://127.0.0.1:8080: ${JSON.stringify(text)}`);
  }
  const { hostname, port } = new URL(text);
  return { token, host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? 80 : Number(port) };
}
