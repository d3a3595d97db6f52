/**
 * @file One training step side by side: edgeshift, PyTorch with the same update, PyTorch fine-tuning everything, TensorFlow.js
 * with the same update, and bare onnxruntime inference, in turn within one run, so that noise of the machine meets all.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { extractPrefix } from '../../models/onnx/prefix.ts';
import { openModel, type SchemeName } from '../../runtime/index.ts';
import { Contender, UnavailableError } from './contender.ts';
import { type Command, nodeProgram } from './launch.ts';
import { benchNetwork } from './networks.ts';
import { benchFolder, program, root } from './places.ts';
import { facts, factsText, median, mib, quantile, table } from './report.ts';
import { compare, type Measured, ratio } from './rounds.ts';
import { LEARNING_RATE, MOMENTUM, type StepServerOptions, type StepServerReady } from './step-options.ts';

export type Against = 'torch' | 'tfjs' | 'onnxruntime';

/** What is compared, and how often. */
export interface StepOptions {
  /** A name of networks.ts, or an ONNX file. */
  readonly model: string;
  readonly scheme: SchemeName;
  /** Null: the network's own, as is the size. */
  readonly blocks: number | null;
  readonly batch: number;
  readonly size: number | null;
  readonly threads: number;
  readonly rounds: number;
  /** Measured steps a round; one more goes before them, while caches and clocks settle. */
  readonly steps: number;
  /** Whom edgeshift is compared with. */
  readonly against: readonly Against[];
  /** Whether edgeshift also runs from cached features. */
  readonly cached: boolean;
}

/** One contender's part of the table; `millis` null: it was left out, and `reason` says why. */
export interface StepRow {
  readonly name: string;
  readonly millis: Spread | null;
  /** edgeshift's time as a share of this one's. */
  readonly ratio: number | null;
  readonly maxRssBytes: number | null;
  readonly reason: string | null;
  /** Milliseconds of the steps of each round. */
  readonly rounds: Measured['rounds'];
  readonly ready: Readonly<Record<string, unknown>>;
}

export interface Spread {
  readonly median: number;
  readonly p5: number;
  readonly p95: number;
}

export interface StepReport {
  readonly title: string;
  readonly options: StepOptions & { readonly blocks: number; readonly size: number };
  readonly rows: readonly StepRow[];
  /** Rounds run, those that count, and cores that others kept busy in them. */
  readonly rounds: { readonly taken: number; readonly kept: number; readonly others: number | null };
}

export const CLASSES = 10;

export const OURS = 'edgeshift';
export const CACHED = 'edgeshift, cached features';
const SAME = ['PyTorch, same update', 'PyTorch, same update, channels-last'] as const;
const FULL = ['PyTorch, all of it', 'PyTorch, all of it, channels-last'] as const;
export const TFJS = 'TensorFlow.js, same update';
const INFERENCE = 'onnxruntime, inference only';

/** How long TensorFlow.js may take to load the model and make one step: without a fast backend some need minutes. */
const PATIENCE_MILLIS = 60_000;

export async function step(options: StepOptions & { readonly json: boolean }): Promise<void> {
  const before = facts();
  const report = await measureStep(options);
  if (options.json) console.log(JSON.stringify({ ...before, ...report }));
  else console.log(stepText(report, factsText(before)));
}

/** Runs one comparison; contenders that cannot take part say why in their rows. */
export async function measureStep(options: StepOptions): Promise<StepReport> {
  const network = await benchNetwork(options.model);
  const settings = { ...options, blocks: options.blocks ?? network.blocks, size: options.size ?? network.size };
  const running: Contender[] = [];
  const absent: StepRow[] = [];
  const enter = async (name: string, command: Command, patienceMillis?: number): Promise<Contender | null> => {
    console.error(`starting ${name}`);
    try {
      const contender = await Contender.start(name, command, patienceMillis);
      running.push(contender);
      return contender;
    } catch (error) {
      if (!(error instanceof UnavailableError)) throw error;
      const nothing = { millis: null, ratio: null, maxRssBytes: null, rounds: [], ready: {} };
      absent.push({ ...nothing, name, reason: error.message });
      return null;
    }
  };
  try {
    await startAll({ ...settings, path: await network.path() }, enter);
    const { measured, ...rounds } = await compare(running, options.rounds, options.steps);
    return { title: network.title, options: settings, rows: [...measured.map(rowOf(measured)), ...absent], rounds };
  } finally {
    for (const contender of running) contender.kill();
  }
}

type Settings = StepReport['options'] & { readonly path: string };
type Enter = (name: string, command: Command, patienceMillis?: number) => Promise<Contender | null>;

/** Starts one after the other; the first says what learns and the others are told. */
async function startAll(settings: Settings, enter: Enter): Promise<void> {
  const { scheme, against, cached } = settings;
  const ours = await enter(OURS, await oursCommand(settings, false));
  const ready = ours?.ready as unknown as StepServerReady;
  if (cached) await enter(CACHED, await oursCommand(settings, true));
  if (against.includes('torch')) {
    const channelsLast = [false, true];
    for (const [i, last] of channelsLast.entries()) {
      await enter(SAME[i] ?? '', torchCommand(settings, ready.drop, ready.learnt, last));
    }
    if (scheme !== 'full') {
      for (const [i, last] of channelsLast.entries()) {
        await enter(FULL[i] ?? '', torchCommand(settings, ready.drop, null, last));
      }
    }
  }
  if (against.includes('tfjs')) await enter(TFJS, await oursCommand(settings, false, 'tfjs-server'), PATIENCE_MILLIS);
  if (against.includes('onnxruntime')) {
    const { path, batch, size, threads } = settings;
    const args = [await inferenceModel(path, size), batch, size, threads].map(String);
    await enter(INFERENCE, await nodeProgram(program('inference-server'), args));
  }
}

/** One step of the model at `path`. */
export type OurStep = Omit<StepServerOptions, 'model' | 'cached' | 'classes'> & { readonly path: string };

/** A process of ours, or one that is told the same. */
export async function oursCommand(settings: OurStep, cached: boolean, name = 'step-server'): Promise<Command> {
  const { path, scheme, blocks, batch, size, threads } = settings;
  const options: StepServerOptions = { model: path, scheme, blocks, batch, size, threads, cached, classes: CLASSES };
  return nodeProgram(program(name), [JSON.stringify(options)]);
}

/** @param learn tensors that learn besides the head; null: all */
export function torchCommand(
  { path, batch, size, threads }: Pick<Settings, 'path' | 'batch' | 'size' | 'threads'>,
  drop: readonly string[],
  learn: readonly string[] | null,
  channelsLast: boolean,
): Command {
  const values = {
    ...{ model: path, drop: drop.join(','), batch, size, threads, classes: CLASSES },
    ...{ lr: LEARNING_RATE, momentum: MOMENTUM },
  };
  const args = Object.entries(values).flatMap(([name, value]) => [`--${name}`, String(value)]);
  if (learn) args.push('--learn', JSON.stringify(learn));
  if (channelsLast) args.push('--channels-last');
  return { file: 'python3', args: [join(root, 'tools/bench/torch/step_server.py'), ...args], env: {} };
}

/**
 * Writes the part of a model below a tensor, for images of this size.
 * @param tensor default: the model's output
 */
export async function inferenceModel(path: string, size: number, tensor?: string): Promise<string> {
  const { file, graph } = await openModel(path, { imageSize: size });
  const bytes = extractPrefix(file, graph, tensor ?? graph.output);
  const to = join(benchFolder, `${tensor === undefined ? 'inference' : 'prefix'}-${size}.onnx`);
  await mkdir(benchFolder, { recursive: true });
  await writeFile(to, bytes as Uint8Array);
  return to;
}

function rowOf(measured: readonly Measured[]): (one: Measured) => StepRow {
  const ours = measured.find(({ name }) => name === OURS) as Measured;
  return (one) => {
    const { name, rounds, maxRssBytes, ready } = one;
    const all = rounds.flat();
    const millis = { median: median(all), p5: quantile(all, 0.05), p95: quantile(all, 0.95) };
    return { name, millis, ratio: one === ours ? null : ratio(ours, one), maxRssBytes, reason: null, rounds, ready };
  };
}

export const stepHeader = ['', 'median ms', 'p5', 'p95', 'edgeshift/it', 'max RSS MiB'];

/** A row of the table; of a contender that was left out, its name and dashes. */
export function stepCells({ name, millis, ratio, maxRssBytes }: StepRow): string[] {
  if (!millis) return [name, '-', '-', '-', '-', '-'];
  const times = [millis.median, millis.p5, millis.p95].map((value) => value.toFixed(1));
  return [name, ...times, ratio === null ? '' : ratio.toFixed(3), mib(maxRssBytes ?? 0)];
}

function stepText(report: StepReport, where: string): string {
  const { title, rows, options, rounds } = report;
  const { scheme, blocks, batch, size, threads, steps } = options;
  const { taken, kept, others } = rounds;
  return [
    `One step of ${title}, ${size} px, batch ${batch}, ${scheme} --blocks ${blocks}, SGD with momentum, ${threads} threads`,
    `${kept} of ${taken} rounds, ${steps} steps each in turn; others kept ${others?.toFixed(2) ?? '?'} cores busy`,
    where,
    '',
    table([stepHeader, ...rows.map(stepCells)]),
    '',
    ...verdicts(report),
  ].join('\n');
}

/** What follows from the rows, in words. */
export function verdicts({ rows }: StepReport): string[] {
  const named = (names: readonly string[]): StepRow[] =>
    rows.filter(({ name, millis }) => millis && names.includes(name));
  const share = (names: readonly string[], what: string): string[] => {
    const ratios = named(names).flatMap((row) => row.ratio ?? []);
    return ratios.length === 0 ? [] : [`edgeshift takes ${Math.max(...ratios).toFixed(3)} of the time of ${what}.`];
  };
  const [ours] = named([OURS]);
  const [cached] = named([CACHED]);
  const [same] = named(SAME);
  return [
    ...share(SAME, 'PyTorch with the same update (its faster layout)'),
    ...share(FULL, 'PyTorch fine-tuning everything (its faster layout)'),
    ...share([TFJS], 'TensorFlow.js with the same update'),
    ...named([TFJS]).map(
      ({ ready }) => `TensorFlow.js used its ${ready.backend} backend${ready.why ? `: ${ready.why}` : ''}.`,
    ),
    ...cachedShare(cached, ours, named(SAME)),
    ...(same ? [sameParameters(ours, same)] : []),
    ...rows.flatMap(({ name, reason }) => (reason === null ? [] : [`${name} was left out: ${reason}`])),
  ];
}

/** From cached features, against PyTorch, which has no cache. */
function cachedShare(cached: StepRow | undefined, ours: StepRow | undefined, same: readonly StepRow[]): string[] {
  if (!cached || !ours) return [];
  const shares = same.map((row) => ratio(cached, row));
  const against = shares.length > 0 ? `, ${Math.max(...shares).toFixed(3)} of PyTorch's for the same update` : '';
  return [`From cached features it takes ${ratio(cached, ours).toFixed(3)} of its own time${against}.`];
}

function sameParameters(ours: StepRow | undefined, same: StepRow): string {
  const [trained, theirs] = [ours, same].map((row) => row?.ready.trainableParameters);
  return trained === theirs
    ? `Both train the same ${trained} parameters.`
    : `They differ in what they train: ${trained} parameters against ${theirs}.`;
}
