/**
 * @file What the live page costs a training, by the step times that the run itself wrote down: without it, with nobody looking on,
 * with a reader that takes all events and draws nothing, and with a page in a headless Chromium on the same cores. In turns.
 */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { ensureEmoji } from '../../models/datasets/emoji.ts';
import { readMetrics } from '../../runtime/train/metrics.ts';
import { CHROMIUM } from './dashboard.ts';
import { commandLine, start } from './launch.ts';
import { benchFolder, benchModel, datasetCache } from './places.ts';
import { facts, factsText, median, mib, table } from './report.ts';

export interface DashboardCostOptions {
  readonly rounds: number;
  readonly steps: number;
  readonly batch: number;
  readonly threads: number;
  readonly json: boolean;
}

const audiences = ['none', 'nobody', 'reader', 'page'] as const;
type Audience = (typeof audiences)[number];

const labels: Readonly<Record<Audience, string>> = {
  none: 'without the option',
  nobody: '--dashboard, nobody looking on',
  reader: '--dashboard, a reader of events',
  page: '--dashboard, a page in Chromium',
};

interface Cost {
  /** Median of a run's steps. */
  readonly millis: number;
  /** Peak of the run's process. */
  readonly rssBytes: number;
}

/** Steps that compile code and write features. */
const WARMUP = 10;

export async function dashboardCost(options: DashboardCostOptions): Promise<void> {
  const train = await trainArguments(options);
  const asked = audiences.filter((audience) => audience !== 'page' || existsSync(CHROMIUM));
  const costs: Record<Audience, Cost[]> = { none: [], nobody: [], reader: [], page: [] };
  for (let round = 0; round < options.rounds; round++) {
    // Who begins changes from round to round.
    for (let turn = 0; turn < asked.length; turn++) {
      const audience = asked[(round + turn) % asked.length] as Audience;
      const cost = await runWith(audience, train);
      costs[audience].push(cost);
      console.error(`round ${round + 1}, ${labels[audience]}: ${cost.millis.toFixed(1)} ms, ${mib(cost.rssBytes)} MiB`);
    }
  }
  if (options.json) console.log(JSON.stringify({ dashboardCost: options, ...facts(), costs }));
  else console.log(text(options, asked, costs));
}

async function trainArguments({ steps, batch, threads }: DashboardCostOptions): Promise<string[]> {
  const { path } = await benchModel();
  const { train, test } = await ensureEmoji(datasetCache, { size: 224, trainIds: 32, testIds: 32 });
  const values = {
    ...{ data: train, test, 'image-size': 224, scheme: 'mobiletl', blocks: 5, batch, threads, optimizer: 'sgd' },
    ...{ 'max-steps': steps, epochs: steps, augment: 'flip', budget: '1GiB' },
  };
  return [path, ...Object.entries(values).flatMap(([option, value]) => [`--${option}`, String(value)]), '--no-export'];
}

async function runWith(audience: Audience, train: readonly string[]): Promise<Cost> {
  const run = join(benchFolder, `dashboard-${process.pid}`);
  const watched = audience === 'none' ? [] : ['--dashboard', '0'];
  const child = start(await commandLine(['train', ...train, '--run', run, '--json', ...watched]), [
    ...(['ignore', 'pipe', 'pipe'] as const),
  ]);
  let [out, err] = ['', ''];
  let leave: (() => Promise<void>) | null = null;
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    out += chunk;
  });
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    err += chunk;
    const address = /^dashboard: (\S+)$/m.exec(err)?.[1];
    if (leave === null && address !== undefined) leave = lookOn(audience, address);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  try {
    await (leave as (() => Promise<void>) | null)?.();
    if (code !== 0) throw new Error(`train ended with code ${code}:\n${err.slice(-4000)}`);
    const { maxRssBytes } = JSON.parse(out.trim().split('\n').at(-1) ?? '') as { readonly maxRssBytes: number };
    const steps = (await readMetrics(join(run, 'metrics.jsonl'))).flatMap((row) =>
      row.kind === 'step' ? [row.millis] : [],
    );
    return { millis: median(steps.slice(WARMUP)), rssBytes: maxRssBytes };
  } finally {
    await rm(run, { recursive: true, force: true });
  }
}

/** Opens what looks on; gives what closes it. */
function lookOn(audience: Audience, address: string): () => Promise<void> {
  if (audience === 'reader') {
    const stop = new AbortController();
    const reading = readAll(`${address}events`, stop.signal);
    return async () => {
      stop.abort();
      await reading;
    };
  }
  if (audience !== 'page') return async () => undefined;
  const opened = chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] }).then(async (browser) => {
    await (await browser.newPage()).goto(address);
    return browser;
  });
  return async () => (await opened).close();
}

async function readAll(address: string, signal: AbortSignal): Promise<void> {
  try {
    const { body } = await fetch(address, { signal });
    for await (const _ of body ?? []);
  } catch {
    // The run has ended.
  }
}

function text(
  { rounds, steps, batch }: DashboardCostOptions,
  asked: readonly Audience[],
  costs: Readonly<Record<Audience, readonly Cost[]>>,
): string {
  const ratio = (audience: Audience): number =>
    median(costs[audience].map(({ millis }, round) => millis / (costs.none[round]?.millis ?? Number.NaN)));
  const rows = asked.map((audience) => [
    labels[audience],
    median(costs[audience].map(({ millis }) => millis)).toFixed(1),
    `${(100 * (ratio(audience) - 1)).toFixed(1)} %`,
    mib(median(costs[audience].map(({ rssBytes }) => rssBytes))),
  ]);
  return [
    `medians over ${rounds} rounds of ${steps} steps of ${batch} images, in turns; cost: median ratio within a round`,
    factsText(facts()),
    table([['', 'step ms', 'cost', 'peak RSS MiB'], ...rows]),
  ].join('\n');
}
