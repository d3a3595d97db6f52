/**
 * @file The smallest memory cap that works, by bisection over fresh processes (`profile --find-cap`): edgeshift's training run as
 * it is, with a smaller pass and with a budget; beside it PyTorch's steps, the same update and all of it, which read no
 * images, evaluate nothing and write no model.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureEmoji } from '../../models/datasets/emoji.ts';
import type { SchemeName } from '../../runtime/index.ts';
import { type CapAttempt, findCap } from '../profiler/find-cap.ts';
import type { HeldKind } from '../profiler/limits/choose.ts';
import { Refused } from '../profiler/limits/limit.ts';
import { runProfiled } from '../profiler/run-profiled.ts';
import { Contender } from './contender.ts';
import { type Command, commandLine, runJson } from './launch.ts';
import { type BenchNetwork, benchNetwork } from './networks.ts';
import { benchFolder, datasetCache } from './places.ts';
import { facts, factsText, mib, table } from './report.ts';
import { oursCommand, torchCommand } from './step.ts';
import type { StepServerReady } from './step-options.ts';

export interface CapsOptions {
  readonly model: string;
  readonly batch: number;
  readonly threads: number;
  readonly steps: number;
  readonly budget: string;
  readonly kinds: readonly HeldKind[];
  /** Part of a row's name; null: all of them. */
  readonly only: string | null;
  readonly json: boolean;
}

interface Found {
  readonly capBytes: number;
  readonly plannedBytes: number | null;
  readonly attempts: readonly CapAttempt[];
}

interface Row extends Found {
  readonly name: string;
  readonly kind: HeldKind;
}

type Search = (kind: HeldKind) => Promise<Found>;

const SCHEME: SchemeName = 'mobiletl';

export async function caps(options: CapsOptions): Promise<void> {
  const network = await benchNetwork(options.model);
  const rows: Row[] = [];
  const refused: string[] = [];
  await mkdir(benchFolder, { recursive: true });
  for (const [name, search] of await searches(network, options)) {
    if (options.only !== null && !name.includes(options.only)) continue;
    for (const kind of options.kinds) {
      try {
        const found = await search(kind);
        rows.push({ name, kind, ...found });
        console.error(`${name}, ${kind}: ${mib(found.capBytes)} MiB`);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        refused.push(`${kind}: ${error.message}`);
      }
    }
  }
  if (options.json) console.log(JSON.stringify({ caps: options, ...facts(), rows, refused }));
  else console.log(text(network, options, rows, refused));
}

async function searches(network: BenchNetwork, options: CapsOptions): Promise<[name: string, search: Search][]> {
  const { batch, threads } = options;
  const settings = {
    path: await network.path(),
    scheme: SCHEME,
    blocks: network.blocks,
    size: network.size,
    batch,
    threads,
  };
  const ours = await Contender.start('edgeshift', await oursCommand(settings, false));
  const { drop, learnt } = ours.ready as unknown as StepServerReady;
  await ours.end();
  const train = await trainArguments(network, options);
  const half = String(Math.ceil(batch / 2));
  return [
    ['edgeshift, as it is', (kind) => findOurs(train, kind)],
    [`edgeshift, --micro-batch ${half}`, (kind) => findOurs([...train, '--micro-batch', half], kind)],
    [`edgeshift, --budget ${options.budget}`, (kind) => findOurs([...train, '--budget', options.budget], kind)],
    ['PyTorch, same update', (kind) => findTheirs(torchCommand(settings, drop, learnt, false), options.steps, kind)],
    ['PyTorch, all of it', (kind) => findTheirs(torchCommand(settings, drop, null, false), options.steps, kind)],
  ];
}

async function trainArguments(network: BenchNetwork, { batch, threads, steps }: CapsOptions): Promise<string[]> {
  const { train, test } = await ensureEmoji(datasetCache, { size: network.size, trainIds: 32, testIds: 32 });
  const values = {
    ...{ data: train, test, scheme: SCHEME, blocks: network.blocks, batch, threads, optimizer: 'sgd' },
    // What runs under a cap is what was planned, or the cap is that of another plan.
    ...{ 'image-size': network.size, 'max-steps': steps, epochs: steps, augment: 'flip', governor: 'off' },
  };
  const flags = Object.entries(values).flatMap(([option, value]) => [`--${option}`, String(value)]);
  return ['train', await network.path(), ...flags];
}

/** As a user asks for it: the command line. */
async function findOurs(train: readonly string[], kind: HeldKind): Promise<Found> {
  const folder = join(benchFolder, `caps-${process.pid}`);
  const limit = ['--limit', kind.replaceAll(' ', '-')];
  try {
    return await runJson<Found>(
      await commandLine(['profile', '--find-cap', ...limit, '--out', folder, '--json', '--', ...train]),
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The same bisection over steps of a contender, which is told by its standard input; the shell becomes it, so that it is what is watched. */
function findTheirs({ file, args }: Command, steps: number, kind: HeldKind): Promise<Found> {
  const program = ['/bin/sh', '-c', `exec "$@" <<END\nsteps ${steps}\nend\nEND\n`, 'sh'];
  const none = { cpus: null, cores: null, profile: null };
  return findCap((memoryBytes, timeLimitMillis) =>
    runProfiled({
      ...{ program, command: [file, ...args], limit: { ...none, memoryBytes }, kinds: [kind], quiet: true },
      ...(timeLimitMillis !== null && { timeLimitMillis }),
    }),
  );
}

function text(
  { title, blocks, size }: BenchNetwork,
  { batch, threads, steps }: CapsOptions,
  rows: readonly Row[],
  refused: readonly string[],
): string {
  const cells = rows.map(({ name, kind, plannedBytes, capBytes, attempts }) => [
    name,
    kind,
    plannedBytes === null ? '-' : mib(plannedBytes),
    mib(capBytes),
    plannedBytes === null ? '' : percentOver(capBytes, plannedBytes),
    String(attempts.length),
  ]);
  return [
    `Smallest cap that works, MiB: ${title}, ${size} px, ${SCHEME} ${blocks}, batch ${batch}, SGD, ${steps} steps, ${threads} threads`,
    factsText(facts()),
    '',
    table([['', 'held by', 'planned', 'smallest cap', 'of the plan', 'caps tried'], ...cells]),
    ...refused,
  ].join('\n');
}

const percentOver = (value: number, of: number): string => {
  const over = 100 * (value / of - 1);
  return `${over >= 0 ? '+' : ''}${over.toFixed(1)} %`;
};
