/** @file `edgeshift evaluate --stream`: the error of methods on streams of corrupted images, beside the unadapted model's. */
import { createRequire } from 'node:module';
import { extname } from 'node:path';
import { corruptionNamed } from '../../../runtime/adapt/corruptions/corrupt.ts';
import { corruptionNames, extraCorruptionNames } from '../../../runtime/adapt/corruptions/names.ts';
import type { MethodName } from '../../../runtime/adapt/methods/index.ts';
import { errorPlot } from '../../../runtime/adapt/protocols/error-plot.ts';
import {
  type EvaluatedMethod,
  type EvaluationEvent,
  evaluateOnStreams,
} from '../../../runtime/adapt/protocols/evaluate-streams.ts';
import {
  corruptionTable,
  type ResultTable,
  resultsJson,
  type StreamResults,
  summaryTable,
} from '../../../runtime/adapt/protocols/results.ts';
import { type ProtocolName, protocolNames } from '../../../runtime/adapt/protocols/stream.ts';
import { writeAtomically } from '../../../runtime/delta/atomic-file.ts';
import { UsageError } from '../../../runtime/errors.ts';
import { fits } from '../../../runtime/train/data/decode.ts';
import { adaptOptions, methodsOf, numbersOf } from '../adapt-options.ts';
import { choiceFlag, countFlag, type Flags, given, listFlag, numberFlag, textFlag } from '../flags.ts';
import { textTable } from '../text-table.ts';

export async function evaluateStreams(model: string, flags: Flags): Promise<number> {
  const data = textFlag(flags, 'data');
  if (data === undefined) throw new UsageError('evaluate --stream needs --data <folder>');
  const source = textFlag(flags, 'sourceData');
  const progress = new EvaluationProgress();
  const seed = numberFlag(flags, 'seed') ?? 1;
  const { results, model: evaluated } = await evaluateOnStreams({
    base: adaptOptions(model, { ...flags, batch: undefined, delta: undefined, methodOptions: undefined }),
    methods: evaluatedMethods(flags),
    protocols: protocolsOf(listFlag(flags, 'stream') ?? []),
    data,
    fit: choiceFlag(flags, 'fit', fits) ?? 'fill',
    batch: countFlag(flags, 'batch', 1) ?? 64,
    corruptions: corruptionsOf(listFlag(flags, 'corruption') ?? ['all']),
    severity: numberFlag(flags, 'severity') ?? 5,
    seed,
    concentration: numberFlag(flags, 'concentration') ?? 0.1,
    ...given({
      limit: countFlag(flags, 'limit', 1),
      source: source === undefined ? undefined : { data: source, limit: countFlag(flags, 'sourceLimit', 1) ?? 2000 },
    }),
    onEvent: (event) => progress.show(event),
  });
  const json = resultsJson(results, {
    model: { name: evaluated.name, sha256: evaluated.sha256 },
    versions: versions(),
  });
  await writeFiles(results, json, flags);
  if (flags.json === true) console.log(JSON.stringify(JSON.parse(json)));
  else process.stdout.write(results.map(resultsText).join('\n'));
  return 0;
}

function protocolsOf(words: readonly string[]): readonly ProtocolName[] {
  const names = words.flatMap((word): readonly ProtocolName[] => {
    if (word === 'all') return protocolNames;
    const name = protocolNames.find((candidate) => candidate === word);
    if (name !== undefined) return [name];
    throw new UsageError(`--stream must be of ${protocolNames.join(', ')}, or all: ${JSON.stringify(word)}`);
  });
  if (names.length === 0) throw new UsageError(`--stream must name one of ${protocolNames.join(', ')}, or all`);
  return [...new Set(names)];
}

function corruptionsOf(words: readonly string[]): readonly string[] {
  const names = words.flatMap((word): readonly string[] => {
    if (word === 'all') return corruptionNames;
    return word === 'extra' ? extraCorruptionNames : [corruptionNamed(word)];
  });
  return [...new Set(names)];
}

/** Each method with its numbers and its delta. @throws UsageError if one is named that does not run */
function evaluatedMethods(flags: Flags): readonly EvaluatedMethod[] {
  const names = methodsOf(listFlag(flags, 'methods') ?? []);
  const numbers = new Map<string, Readonly<Record<string, number>>>();
  for (const part of (textFlag(flags, 'methodOptions') ?? '').split(';').filter((text) => text.trim() !== '')) {
    const [name = '', list] = part.split(':').map((text) => text.trim());
    requireNamed('--method-options', name, names);
    numbers.set(name, numbersOf('--method-options', list ?? '') ?? {});
  }
  const deltas = deltasOf(flags, names);
  return names.map((method) => ({
    method,
    ...given({ numbers: numbers.get(method), delta: deltas.get(method) ?? deltas.get('') }),
  }));
}

/** Files by method; '' for the one of all others. */
function deltasOf(flags: Flags, names: readonly MethodName[]): ReadonlyMap<string, string> {
  return new Map(
    (listFlag(flags, 'delta') ?? []).map((part) => {
      const [, name, path] = /^([a-z-]+)=(.*)$/.exec(part) ?? [];
      if (name === undefined || path === undefined) return ['', part];
      requireNamed('--delta', name, names);
      return [name, path];
    }),
  );
}

function requireNamed(option: string, name: string, names: readonly MethodName[]): void {
  if (names.some((known) => known === name)) return;
  throw new UsageError(`${option} names ${JSON.stringify(name)}, which --methods (${names.join(', ')}) does not`);
}

async function writeFiles(results: readonly StreamResults[], json: string, flags: Flags): Promise<void> {
  const [out, plot] = [textFlag(flags, 'out'), textFlag(flags, 'plot')];
  if (out !== undefined) await writeAtomically(out, [Buffer.from(json)]);
  if (plot === undefined) return;
  for (const result of results) {
    const end = extname(plot);
    const path =
      results.length === 1 ? plot : `${plot.slice(0, plot.length - end.length)}-${result.stream.protocol}${end}`;
    await writeAtomically(path, [Buffer.from(errorPlot(result))]);
  }
}

function versions(): Readonly<Record<string, string>> {
  const require = createRequire(import.meta.url);
  const { version } = require('onnxruntime-node/package.json') as { readonly version: string };
  return { node: process.versions.node, onnxruntime: version };
}

function resultsText(result: StreamResults): string {
  const reasons = result.runs.map(({ method, reasons: frames }) => {
    const parts = Object.entries(frames).map(([reason, count]) => `${reason} ${count}`);
    return `  ${method}: ${parts.join(', ')}\n`;
  });
  return [
    tableText(summaryTable(result)),
    '\n',
    tableText(corruptionTable(result)),
    '\nframes by reason\n',
    ...reasons,
  ].join('');
}

const tableText = ({ title, rows, right }: ResultTable): string => `${title}\n${textTable(rows, right)}`;

/** Between lines of one run, in milliseconds. */
const LINE_MILLIS = 5000;

class EvaluationProgress {
  #shownAt = performance.now();

  show(event: EvaluationEvent): void {
    const now = performance.now();
    if (event.kind !== 'run' && now - this.#shownAt < LINE_MILLIS) return;
    this.#shownAt = now;
    console.error(progressText(event));
  }
}

function progressText(event: EvaluationEvent): string {
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  switch (event.kind) {
    case 'images':
      return `${event.protocol}: ${event.done} of ${event.frames} images made`;
    case 'progress':
      return `${event.protocol}, ${event.method}: ${event.frame} of ${event.frames} frames, ${event.segment}, error ${percent(event.error)}`;
    case 'run': {
      const { method, wrong } = event.run;
      const errors = wrong.reduce((sum, bit) => sum + bit, 0);
      return `${event.protocol}, ${method}: done, error of all frames ${percent(errors / wrong.length)}`;
    }
  }
}
