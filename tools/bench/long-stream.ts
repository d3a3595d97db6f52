/**
 * @file `adapt` on a long stream whose world changes again and again: what it gets wrong, how long predictions take, and whether its
 * memory grows. Frames of Fashion-MNIST, clean and under the fifteen corruptions, come at a steady rate through a pipe.
 */
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { corrupt } from '../../runtime/adapt/corruptions/corrupt.ts';
import { corruptionNames } from '../../runtime/adapt/corruptions/names.ts';
import { Latencies } from '../../runtime/adapt/latencies.ts';
import { corruptedImages, type ImageProvider, keptImages } from '../../runtime/adapt/protocols/images.ts';
import type { Prediction } from '../../runtime/adapt/streams/prediction-lines.ts';
import { type Dataset, openDataset } from '../../runtime/train/data/dataset.ts';
import { Random, shuffle } from '../../runtime/train/random.ts';
import { TreeMemory } from '../profiler/probes/tree-memory.ts';
import { commandLine, start } from './launch.ts';
import { fashionMnistOrSkip, fmnistModel } from './places.ts';
import { facts, factsText, mib, slope, table } from './report.ts';

export interface LongStreamOptions {
  readonly frames: number;
  readonly framesPerSecond: number;
  readonly method: string;
  /** Frames of one prediction at the most. */
  readonly batch: number;
  /** Test images that are shown under each corruption. */
  readonly images: number;
  readonly severity: number;
  /** Of the order of frames. */
  readonly seed: number;
  readonly threads: number;
  readonly json: boolean;
}

/** Null: clean. In every fifth part or so, so that forgetting would be seen. */
type World = string | null;

const worlds: readonly World[] = corruptionNames.flatMap((name, n) => (n % 4 === 0 ? [null, name] : [name]));

/** Frames of a part, at the least and at the most. */
const PART_FRAMES = [500, 4000] as const;
/** Every fourth part, on average, shows two classes at a time. */
const SKEWED_PARTS = 4;
const QUARTERS = 4;
/** Latencies of the beginning do not count, as code is compiled: so many seconds, or of a short stream so much. */
const WARMUP_SECONDS = 10;
const MOST_WARMUP_SHARE = 0.2;
/** Until resident memory counts. */
const WARMUP_SHARE = 0.25;
const MEMORY_LOOKS = 200;
const SIDE = 32;

interface Shown {
  readonly world: World;
  readonly label: number;
}

interface Errors {
  frames: number;
  wrong: number;
}

interface MemorySample {
  /** Of the whole stream. */
  readonly share: number;
  readonly rssBytes: number;
}

export interface LongStreamReport {
  readonly predicted: number;
  readonly error: number;
  /** Quarter by quarter, all frames and the clean ones. */
  readonly quarters: readonly { readonly error: number; readonly clean: number }[];
  readonly p50Millis: number | null;
  readonly p99Millis: number | null;
  readonly memory: readonly MemorySample[];
  /** By a straight line through the samples after the first quarter, over the whole stream. */
  readonly growthBytes: number;
  /** Frames by what was said of their adaptation. */
  readonly reasons: Readonly<Record<string, number>>;
}

export async function longStream(options: LongStreamOptions): Promise<void> {
  const data = fashionMnistOrSkip();
  if (data === null) return;
  const report = await measureLongStream(data, options);
  if (options.json) console.log(JSON.stringify({ longStream: options, ...facts(), ...report }));
  else console.log(text(options, report));
}

/** @throws Error if the command ends with a failure */
export async function measureLongStream(data: string, options: LongStreamOptions): Promise<LongStreamReport> {
  const { method, batch, threads, images: limit } = options;
  await using dataset = (await openDataset(data, { imageSize: SIDE, fit: 'pad', split: 'test', limit })).dataset;
  const show = await madePictures(dataset, options);
  const values = { source: '-', size: `${SIDE}x${SIDE}`, policy: 'drop-oldest', method, batch, threads };
  const flags = Object.entries(values).flatMap(([option, value]) => [`--${option}`, String(value)]);
  const child = start(await commandLine(['adapt', fmnistModel, '--background', ...flags]), ['pipe', 'pipe', 'inherit']);
  const closed = new AbortController();
  const ended = once(child, 'close').finally(() => closed.abort()) as Promise<[number | null]>;
  const shown: Shown[] = [];
  const tally = new Tally(options, shown);
  const read = tally.read(child.stdout as Readable);
  const memory = watchMemory(child.pid ?? 0, () => shown.length / options.frames);
  // Its end is told by its exit code.
  child.stdin?.on('error', () => undefined);
  const labels = Array.from({ length: dataset.samples }, (_, image) => dataset.label(image));
  await feed({ pipe: child.stdin as Writable, closed: closed.signal }, { labels, show }, options, shown);
  const samples = await memory.stop();
  await read;
  const [code] = await ended;
  if (code !== 0) throw new Error(`adapt ended with code ${code}`);
  return { ...tally.result(), memory: samples, growthBytes: growth(samples) };
}

/** An image of the data set under a world. */
type Show = (world: World, image: number) => ReturnType<ImageProvider>;

/** All of them made beforehand, 3 KiB each, so that frames are on time. */
async function madePictures(dataset: Dataset, { severity, seed }: LongStreamOptions): Promise<Show> {
  const kinds: readonly World[] = [null, ...corruptionNames];
  const bytes = 3 * SIDE ** 2;
  const provide = keptImages(corruptedImages(dataset, corrupt, seed), bytes, bytes * dataset.samples * kinds.length);
  const show: Show = (corruption, image) =>
    provide({ corruption, image, severity: corruption === null ? 0 : severity, label: dataset.label(image) });
  for (const world of kinds) {
    for (let image = 0; image < dataset.samples; image++) await show(world, image);
    console.error(`${world ?? 'clean'}: ${dataset.samples} images`);
  }
  return show;
}

/** Indices of images, part by part. */
function* parts(
  labels: readonly number[],
  { seed }: LongStreamOptions,
): Generator<{ readonly world: World; readonly indices: readonly number[] }> {
  const random = new Random(seed);
  for (let part = 0; ; part++) {
    const world = worlds[part % worlds.length] ?? null;
    const length = random.integer(...PART_FRAMES);
    const order = shuffle(labels.length, seed, part);
    const indices = Array.from({ length }, (_, n) => order[n % order.length] as number);
    const pair = (index: number): number => Math.floor((labels[index] as number) / 2);
    const skewed = random.integer(1, SKEWED_PARTS) === 1;
    yield { world, indices: skewed ? indices.sort((a, b) => pair(a) - pair(b)) : indices };
  }
}

/** Writes frames when they are due, whether they are read or not: a camera does not wait. */
async function feed(
  { pipe, closed }: { readonly pipe: Writable; readonly closed: AbortSignal },
  { labels, show }: { readonly labels: readonly number[]; readonly show: Show },
  options: LongStreamOptions,
  shown: Shown[],
): Promise<void> {
  const { frames, framesPerSecond } = options;
  const began = performance.now();
  for (const { world, indices } of parts(labels, options)) {
    for (const index of indices) {
      if (shown.length >= frames || closed.aborted) {
        pipe.end();
        return;
      }
      const due = began + (1000 * shown.length) / framesPerSecond;
      if (due > performance.now()) await delay(due - performance.now());
      shown.push({ world, label: labels[index] as number });
      if (pipe.write(await show(world, index))) continue;
      await once(pipe, 'drain', { signal: closed }).catch(() => undefined);
    }
  }
}

class Tally {
  readonly #options: LongStreamOptions;
  readonly #shown: readonly Shown[];
  readonly #latencies = new Latencies();
  readonly #all: readonly Errors[] = quarters();
  readonly #clean: readonly Errors[] = quarters();
  readonly #reasons = new Map<string, number>();

  constructor(options: LongStreamOptions, shown: readonly Shown[]) {
    this.#options = options;
    this.#shown = shown;
  }

  async read(output: Readable): Promise<void> {
    for await (const line of createInterface({ input: output })) this.#add(JSON.parse(line) as Prediction);
  }

  result(): Omit<LongStreamReport, 'memory' | 'growthBytes'> {
    const sum = (of: 'frames' | 'wrong'): number => this.#all.reduce((total, each) => total + each[of], 0);
    return {
      ...{ predicted: sum('frames'), error: sum('wrong') / sum('frames') },
      quarters: this.#all.map((all, n) => ({ error: rate(all), clean: rate(this.#clean[n]) })),
      ...{ p50Millis: this.#latencies.quantile(0.5), p99Millis: this.#latencies.quantile(0.99) },
      reasons: Object.fromEntries(this.#reasons),
    };
  }

  #add({ frame, class: predicted, latencyMillis, reason }: Prediction): void {
    const { frames, framesPerSecond } = this.#options;
    const { world, label } = this.#shown[frame] as Shown;
    const quarter = Math.floor((QUARTERS * frame) / frames);
    const right = Number(predicted) === label;
    for (const errors of [this.#all[quarter], world === null ? this.#clean[quarter] : undefined]) {
      if (!errors) continue;
      errors.frames += 1;
      errors.wrong += right ? 0 : 1;
    }
    if (frame >= Math.min(WARMUP_SECONDS * framesPerSecond, MOST_WARMUP_SHARE * frames))
      this.#latencies.add(latencyMillis);
    this.#reasons.set(reason, (this.#reasons.get(reason) ?? 0) + 1);
  }
}

const quarters = (): Errors[] => Array.from({ length: QUARTERS }, () => ({ frames: 0, wrong: 0 }));
const rate = (errors: Errors | undefined): number => (errors ? errors.wrong / errors.frames : Number.NaN);

/** Looks at a process at equal distances until it is stopped. */
function watchMemory(pid: number, share: () => number): { stop(): Promise<readonly MemorySample[]> } {
  const memory = new TreeMemory('/', pid);
  const stopped = new AbortController();
  const samples: MemorySample[] = [];
  const watching = (async () => {
    while (!stopped.signal.aborted) {
      if (share() >= samples.length / MEMORY_LOOKS) samples.push({ share: share(), rssBytes: memory.read().rssBytes });
      await delay(100, undefined, { signal: stopped.signal }).catch(() => undefined);
    }
    memory.close();
  })();
  return {
    async stop() {
      stopped.abort();
      await watching;
      return samples;
    },
  };
}

function growth(samples: readonly MemorySample[]): number {
  const steady = samples.filter(({ share }) => share >= WARMUP_SHARE);
  return slope(steady.map(({ share, rssBytes }) => [share, rssBytes]));
}

const percent = (share: number): string => (100 * share).toFixed(1);

function text(options: LongStreamOptions, report: LongStreamReport): string {
  const { frames, framesPerSecond, method, batch, seed } = options;
  const { predicted, error, p50Millis, p99Millis, memory, growthBytes, reasons } = report;
  const steady = memory.filter(({ share }) => share >= WARMUP_SHARE);
  const [first, last] = [steady[0], steady.at(-1)].map((sample) => mib(sample?.rssBytes ?? Number.NaN));
  const most = Object.entries(reasons).sort(([, a], [, b]) => b - a);
  return [
    `${frames} frames of mixed worlds at ${framesPerSecond} a second, ${method} in the background, batches of up to ${batch}, seed ${seed}`,
    factsText(facts()),
    '',
    table([
      ['quarter', 'error %', 'clean %'],
      ...report.quarters.map(({ error: all, clean }, n) => [`${n + 1}`, percent(all), percent(clean)]),
    ]),
    '',
    `${predicted} predicted, ${frames - predicted} dropped, error ${percent(error)} %`,
    `latency: median ${p50Millis?.toFixed(1)} ms, 99th percentile ${p99Millis?.toFixed(1)} ms`,
    `resident memory: ${first} MiB after a quarter, ${last} MiB at the end, ${mib(growthBytes)} MiB over the stream by a line`,
    ...most.map(([reason, count]) => `  ${reason}: ${count}`),
  ].join('\n');
}
