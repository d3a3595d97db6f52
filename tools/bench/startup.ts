/** @file How long the command line takes to start: fresh processes, and the stages of a run up to its first step. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { ensureEmoji } from '../../models/datasets/emoji.ts';
import { type Command, nodeProgram, start } from './launch.ts';
import { benchFolder, benchModel, datasetCache, root } from './places.ts';
import { facts, factsText, median, table } from './report.ts';

export interface StartupOptions {
  /** Fresh processes of each command. */
  readonly rounds: number;
  /** Images a step. */
  readonly batch: number;
  /** Top blocks that learn. */
  readonly blocks: number;
  readonly threads: number;
  readonly json: boolean;
}

/** Milliseconds of fresh processes. */
interface Row {
  readonly name: string;
  readonly medianMillis: number;
  readonly fastestMillis: number;
}

/** What a run's lines on stderr say is done, in order. */
const stages = [
  ['model checked, images decoded', /^decoding images .* (\d+)\/\1$/],
  ['planned, engine open', /^plan: /],
  ['accuracy before', /^accuracy before: /],
  ['first step', /^epoch 1 .* step 1\//],
] as const;

/** The images of `memory`, and how many of them are decoded; accuracy is measured on the test images before the first step. */
const DATA = { size: 224, trainIds: 64, testIds: 32 };
const LIMITS = ['--limit', '64', '--test-limit', '16'];

const main = join(root, 'dist', 'tools', 'cli', 'main.js');

/** Prints medians over `rounds` fresh processes a command, taken in turns, and the share of each stage of a run. */
export async function startup(options: StartupOptions): Promise<void> {
  const { path } = await benchModel();
  const { train, test } = await ensureEmoji(datasetCache, DATA);
  const commands = await contenders(path);
  const runs: number[][] = [];
  const millis = commands.map((): number[] => []);
  for (let round = 0; round < options.rounds; round++) {
    for (const [index, [, command]] of commands.entries()) millis[index]?.push(await wholeMillis(command));
    runs.push(await stageMillis(path, ['--data', train, '--test', test, ...LIMITS], options));
    console.error(`round ${round + 1} of ${options.rounds}`);
  }
  const row = (name: string, taken: readonly number[]): Row => ({
    name,
    medianMillis: median(taken),
    fastestMillis: Math.min(...taken),
  });
  const whole = commands.map(([name], index) => row(name, millis[index] ?? []));
  const parts = stages.map(([name], stage) =>
    row(
      name,
      runs.map((run) => (run[stage] ?? 0) - (run[stage - 1] ?? 0)),
    ),
  );
  const first = row(
    'train, until its first step is done',
    runs.map((run) => run.at(-1) ?? Number.NaN),
  );
  if (options.json)
    console.log(JSON.stringify({ startup: options, ...facts(), whole: [...whole, first], stages: parts }));
  else console.log(text(options, [...whole, first], parts));
}

/** Node alone first: what no program can do without. */
async function contenders(model: string): Promise<[name: string, command: Command][]> {
  const planned = ['plan', model, '--budget', '160MiB'];
  return [
    ['node -e 0', await nodeProgram('-e', ['0'])],
    ['npm --version', { file: 'npm', args: ['--version'], env: {} }],
    ['--version', await nodeProgram(main, ['--version'])],
    ['--help', await nodeProgram(main, ['--help'])],
    [
      'npm run --silent edgeshift -- --help',
      { file: 'npm', args: ['run', '--silent', 'edgeshift', '--', '--help'], env: {} },
    ],
    ['plan --budget 160MiB', await nodeProgram(main, planned)],
    ['plan --budget 160MiB --device', await nodeProgram(main, [...planned, '--device', 'raspberry-pi-5-8gb'])],
  ];
}

/** From the start of a process to its end. */
async function wholeMillis(command: Command): Promise<number> {
  const started = performance.now();
  const child = start(command, 'ignore');
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => resolve());
  });
  return performance.now() - started;
}

/** Milliseconds from the start of `train` to the end of each stage. */
async function stageMillis(
  model: string,
  data: readonly string[],
  { batch, blocks, threads }: StartupOptions,
): Promise<number[]> {
  const run = join(benchFolder, `startup-${process.pid}`);
  await rm(run, { recursive: true, force: true });
  const settings = { blocks, batch, threads, optimizer: 'sgd', budget: '1GiB', 'max-steps': 1 };
  const flags = Object.entries(settings).flatMap(([option, value]) => [`--${option}`, String(value)]);
  const command = await nodeProgram(main, ['train', model, ...data, '--run', run, ...flags, '--no-export']);
  const started = performance.now();
  const child = start(command, ['ignore', 'ignore', 'pipe']);
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const done = new Map<string, number>();
  const lines: string[] = [];
  if (child.stderr) {
    for await (const line of createInterface({ input: child.stderr })) {
      lines.push(line);
      // Test images are decoded after the training images: the last line counts.
      for (const [name, pattern] of stages) if (pattern.test(line)) done.set(name, performance.now() - started);
    }
  }
  const code = await ended;
  await rm(run, { recursive: true, force: true });
  const millis = stages.flatMap(([name]) => done.get(name) ?? []);
  if (code === 0 && millis.length === stages.length) return millis;
  throw new Error(`${command.args.join(' ')} ended with code ${code}:\n${lines.join('\n')}`);
}

function text(
  { rounds, batch, blocks, threads }: StartupOptions,
  whole: readonly Row[],
  parts: readonly Row[],
): string {
  const figures = ({ name, medianMillis, fastestMillis }: Row) => [
    name,
    medianMillis.toFixed(0),
    fastestMillis.toFixed(0),
  ];
  const sum = parts.reduce((millis, { medianMillis }) => millis + medianMillis, 0);
  const share = ({ medianMillis }: Row): string => `${((100 * medianMillis) / sum).toFixed(0)} %`;
  return [
    `Fresh processes, medians of ${rounds}: MobileNetV2 at 224 px, MobileTL with ${blocks} blocks, batch ${batch}, ${threads} threads`,
    factsText(facts()),
    '',
    table([['', 'ms', 'fastest'], ...whole.map(figures)]),
    '',
    table([['stage of train', 'ms', 'fastest', 'share'], ...parts.map((part) => [...figures(part), share(part)])]),
  ].join('\n');
}
