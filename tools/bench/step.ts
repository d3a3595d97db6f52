/**
 * @file One training step side by side: edgeshift, PyTorch with the same update, PyTorch fine-tuning everything, and bare
 * onnxruntime inference, in turn within one run, so that noise of the machine meets all of them.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { extractPrefix } from '../../models/onnx/prefix.ts';
import { openModel, type SchemeName } from '../../runtime/index.ts';
import { Contender, NotInstalledError } from './contender.ts';
import { type Command, nodeProgram } from './launch.ts';
import { type BenchModel, benchFolder, benchModel, program, root } from './places.ts';
import { facts, factsText, median, mib, quantile, table } from './report.ts';
import { type Comparison, compare, type Measured, ratio } from './rounds.ts';
import type { StepServerOptions } from './step-server.ts';

export interface StepOptions {
  readonly scheme: SchemeName;
  readonly blocks: number;
  readonly batch: number;
  readonly size: number;
  readonly threads: number;
  readonly rounds: number;
  /** Measured steps a round; one more goes before them, while caches and clocks settle. */
  readonly steps: number;
  readonly json: boolean;
}

const CLASSES = 10;

const OURS = 'edgeshift';
const SAME = ['PyTorch, same update', 'PyTorch, same update, channels-last'] as const;
const FULL = ['PyTorch, all of it', 'PyTorch, all of it, channels-last'] as const;

export async function step(options: StepOptions): Promise<void> {
  const before = facts();
  const { contenders, missing } = await startAll(await commands(options));
  const comparison = await compare(contenders, options.rounds, options.steps).finally(() => {
    for (const contender of contenders) contender.kill();
  });
  const { measured, ...rounds } = comparison;
  const torch = measured.find(({ ready }) => ready.torch !== undefined)?.ready.torch ?? null;
  if (options.json) {
    const contenders = measured.map(summary);
    console.log(JSON.stringify({ step: options, ...before, torch, missing, rounds, contenders }));
  } else console.log(text(options, comparison, missing, `${factsText(before)}, torch ${torch ?? 'not installed'}`));
}

async function commands(options: StepOptions): Promise<[name: string, command: Command][]> {
  const { batch, size, threads } = options;
  const model = await benchModel();
  const ours: StepServerOptions = { ...options, model: model.path, classes: CLASSES };
  const inference = [await resized(model, size), batch, size, threads].map(String);
  return [
    [OURS, await nodeProgram(program('step-server'), [JSON.stringify(ours)])],
    [SAME[0], torchCommand(model, options, options.scheme, false)],
    [SAME[1], torchCommand(model, options, options.scheme, true)],
    [FULL[0], torchCommand(model, options, 'full', false)],
    [FULL[1], torchCommand(model, options, 'full', true)],
    ['onnxruntime, inference only', await nodeProgram(program('inference-server'), inference)],
  ];
}

function torchCommand(model: BenchModel, options: StepOptions, scheme: string, channelsLast: boolean): Command {
  const { blocks, batch, size, threads } = options;
  const values = {
    model: model.path,
    drop: model.drop.join(','),
    scheme,
    blocks,
    batch,
    size,
    threads,
    classes: CLASSES,
  };
  const args = Object.entries(values).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const script = join(root, 'tools/bench/torch/step_server.py');
  return { file: 'python3', args: [script, ...args, ...(channelsLast ? ['--channels-last'] : [])], env: {} };
}

/** The model for images of this size, as it is otherwise. */
async function resized({ path }: BenchModel, size: number): Promise<string> {
  const { file, graph } = await openModel(path, { imageSize: size });
  const bytes = extractPrefix(file, graph, graph.output);
  const to = join(benchFolder, `inference-${size}.onnx`);
  await mkdir(benchFolder, { recursive: true });
  await writeFile(to, bytes as Uint8Array);
  return to;
}

/** Starts one after the other; contenders without their libraries are left out. */
async function startAll(all: readonly [name: string, command: Command][]) {
  const contenders: Contender[] = [];
  let missing: string | null = null;
  for (const [name, command] of all) {
    try {
      contenders.push(await Contender.start(name, command));
    } catch (error) {
      if (error instanceof NotInstalledError) missing = error.message;
      else {
        for (const contender of contenders) contender.kill();
        throw error;
      }
    }
  }
  return { contenders, missing };
}

function summary({ name, rounds, maxRssBytes, ready }: Measured) {
  const all = rounds.flat();
  const millis = { median: median(all), p5: quantile(all, 0.05), p95: quantile(all, 0.95) };
  return { name, millis, maxRssBytes, ready, rounds };
}

function text(options: StepOptions, comparison: Comparison, missing: string | null, where: string): string {
  const { scheme, blocks, batch, size, threads, steps } = options;
  const { measured, taken, kept, others } = comparison;
  const ours = measured.find(({ name }) => name === OURS) as Measured;
  const lines = measured.map((one) => {
    const { millis } = summary(one);
    const times = [millis.median, millis.p5, millis.p95].map((value) => value.toFixed(1));
    return [one.name, ...times, one === ours ? '' : ratio(ours, one).toFixed(3), mib(one.maxRssBytes)];
  });
  return [
    `One step of MobileNetV2, ${size} px, batch ${batch}, ${scheme} --blocks ${blocks}, SGD with momentum, ${threads} threads`,
    `${kept} of ${taken} rounds, ${steps} steps each in turn; others kept ${others?.toFixed(2) ?? '?'} cores busy`,
    where,
    '',
    table([['', 'median ms', 'p5', 'p95', 'edgeshift/it', 'max RSS MiB'], ...lines]),
    '',
    verdict(ours, measured, missing),
  ].join('\n');
}

function verdict(ours: Measured, measured: readonly Measured[], missing: string | null): string {
  if (missing !== null) return `PyTorch was left out: ${missing}`;
  const named = (names: readonly string[]): Measured[] => measured.filter(({ name }) => names.includes(name));
  const worst = (names: readonly string[]): number => Math.max(...named(names).map((one) => ratio(ours, one)));
  const [same] = named(SAME);
  const [trained, theirs] = [ours, same].map((one) => one?.ready.trainableParameters);
  return [
    `edgeshift takes ${worst(SAME).toFixed(3)} of PyTorch's time for the same update (its faster layout), ` +
      `${worst(FULL).toFixed(3)} of that for fine-tuning everything.`,
    trained === theirs
      ? `Both train the same ${trained} parameters.`
      : `They differ in what they train: ${trained} parameters against ${theirs}.`,
  ].join('\n');
}
