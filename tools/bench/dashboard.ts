/**
 * @file Hours of a stream with the live page open, in minutes: does the memory of server and page grow? The server is a process of
 * its own, the page one of a headless Chromium, which collects its garbage before it is asked.
 */
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { type CDPSession, chromium, type Page } from 'playwright-core';
import { TreeMemory } from '../profiler/probes/tree-memory.ts';
import type { Simulated, Simulation } from './dashboard-server.ts';
import { nodeProgram, start } from './launch.ts';
import { program } from './places.ts';
import { facts, factsText, mib, slope, table } from './report.ts';

/** Where Debian has it. */
export const CHROMIUM = '/usr/bin/chromium';

export interface DashboardOptions extends Simulation {
  readonly samples: number;
  readonly json: boolean;
}

/** At one moment of the stream. */
export interface PageSample {
  readonly hour: number;
  readonly serverBytes: number;
  /** JavaScript heap of the page, without garbage. */
  readonly heapBytes: number;
  /** Nodes of the page's document. */
  readonly nodes: number;
}

export interface DashboardReport extends Simulated {
  readonly samples: readonly PageSample[];
}

/** Samples at the beginning that are not of a steady state: code is compiled and series fill up. */
const WARMUP_SHARE = 0.25;

/** At the page's memory for one sample. */
const LOOKS = 5;

export async function dashboard(options: DashboardOptions): Promise<void> {
  if (!existsSync(CHROMIUM)) throw new Error(`there is no ${CHROMIUM} (Debian package chromium)`);
  const report = await measureDashboard(options);
  if (options.json) console.log(JSON.stringify({ dashboard: options, ...facts(), ...report, ...growths(report) }));
  else console.log(text(options, report));
}

/** Runs a simulation with a page open. @throws Error if the server fails */
export async function measureDashboard(options: DashboardOptions): Promise<DashboardReport> {
  const { samples: _, json: __, ...simulation } = options;
  const server = start(await nodeProgram(program('dashboard-server'), [JSON.stringify(simulation)]), [
    ...(['ignore', 'pipe', 'inherit'] as const),
  ]);
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
  try {
    if (!server.stdout) throw new Error('the server has no output');
    const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
    const { address } = (await nextLine(lines)) as { readonly address: string };
    const page = await browser.newPage();
    // Others may keep all cores busy meanwhile.
    await page.goto(address, { timeout: 300_000 });
    const watching = new AbortController();
    const samples = watch(page, server.pid ?? 0, options, watching.signal);
    const simulated = (await nextLine(lines)) as Simulated;
    watching.abort();
    return { ...simulated, samples: await samples };
  } finally {
    await browser.close();
    server.kill();
  }
}

async function nextLine(lines: AsyncIterator<string>): Promise<unknown> {
  const { value, done } = await lines.next();
  if (done) throw new Error('the server ended before it had said everything');
  return JSON.parse(value) as unknown;
}

/** Samples at equal distances until the signal. */
async function watch(page: Page, pid: number, options: DashboardOptions, signal: AbortSignal): Promise<PageSample[]> {
  const { hours, speed, samples: count } = options;
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable');
  const memory = new TreeMemory('/', pid);
  const samples: PageSample[] = [];
  const began = performance.now();
  const every = (hours * 3_600_000) / speed / count;
  while (!signal.aborted) {
    await delay(every, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) break;
    const held = await heldByPage(session);
    samples.push({ hour: performance.now() - began, serverBytes: memory.read().rssBytes, ...held });
  }
  memory.close();
  // A busy machine may not keep up with the speed.
  const perMilli = hours / (performance.now() - began);
  return samples.map((sample) => ({ ...sample, hour: sample.hour * perMilli }));
}

/** The least of several looks: a page that is drawing keeps what it replaced over a collection, and draws again behind one. */
async function heldByPage(session: CDPSession): Promise<Pick<PageSample, 'heapBytes' | 'nodes'>> {
  let [heapBytes, nodes] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let look = 0; look < LOOKS; look++) {
    await session.send('HeapProfiler.collectGarbage');
    const { metrics } = await session.send('Performance.getMetrics');
    const metric = (name: string): number => metrics.find((each) => each.name === name)?.value ?? Number.NaN;
    heapBytes = Math.min(heapBytes, metric('JSHeapUsedSize'));
    nodes = Math.min(nodes, metric('Nodes'));
  }
  return { heapBytes, nodes };
}

/** What server and page gain in all hours, by a straight line through the samples after the first quarter. */
export function growths({ samples }: Pick<DashboardReport, 'samples'>) {
  const steady = samples.slice(Math.floor(WARMUP_SHARE * samples.length));
  const hours = samples.at(-1)?.hour ?? 0;
  const growth = (of: (sample: PageSample) => number): number =>
    hours * slope(steady.map((sample) => [sample.hour, of(sample)]));
  return {
    serverGrowthBytes: growth(({ serverBytes }) => serverBytes),
    heapGrowthBytes: growth(({ heapBytes }) => heapBytes),
    nodeGrowth: growth(({ nodes }) => nodes),
  };
}

const header = ['hour', 'server RSS MiB', 'page heap MiB', 'nodes'];

const sampleText = ({ hour, serverBytes, heapBytes, nodes }: PageSample): string[] => [
  ...[hour.toFixed(2), mib(serverBytes), (heapBytes / 2 ** 20).toFixed(2), String(nodes)],
];

function text({ hours, speed, seed }: DashboardOptions, report: DashboardReport): string {
  const { ticks, frames, skippedTicks, keptBytes, tickMillis, samples } = report;
  const { serverGrowthBytes, heapGrowthBytes, nodeGrowth } = growths(report);
  return [
    `${hours} hours of a stream at ${speed} times its speed, seed ${seed}: ${ticks} ticks (${skippedTicks} left out), ${frames} frames`,
    `processor time of a tick, with making up its frames: ${tickMillis.toFixed(2)} ms`,
    factsText(facts()),
    table([header, ...samples.map(sampleText)]),
    `over all hours, by a line through the last three quarters: server ${mib(serverGrowthBytes)} MiB, ` +
      `page heap ${(heapGrowthBytes / 2 ** 20).toFixed(2)} MiB, ${nodeGrowth.toFixed(0)} nodes`,
    `heap and buffers of the server at the end above those after a quarter, without garbage: ${(keptBytes / 2 ** 20).toFixed(2)} MiB`,
  ].join('\n');
}
