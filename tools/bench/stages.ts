/**
 * @file edgeshift's step stage by stage: each op's time as a share of its roofline, whose rates are measured between the steps of
 * the same run; the frozen prefix against the same layers in bare onnxruntime.
 */
import { ensureEmoji } from '../../models/datasets/emoji.ts';
import type { EngineMillis, EngineStatistics } from '../../runtime/engine/engine.ts';
import type { Plan } from '../../runtime/plan/plan.ts';
import { parseAugment } from '../../runtime/train/data/augment.ts';
import { batches } from '../../runtime/train/data/batches.ts';
import { openDataset } from '../../runtime/train/data/dataset.ts';
import { allIndices } from '../../runtime/train/evaluate.ts';
import { updateBytes } from '../profiler/traffic.ts';
import { type Bound, grouped, OPTIMIZER, PREFIX, type Rates, roofShare, type Stage, stagesOf } from './breakdown.ts';
import { Contender } from './contender.ts';
import { nodeProgram } from './launch.ts';
import { MachineRates } from './machine-rates.ts';
import { benchNetwork } from './networks.ts';
import { datasetCache, program } from './places.ts';
import { facts, factsText, median, table } from './report.ts';
import { inferenceModel, type OurStep, oursCommand, type StepOptions } from './step.ts';
import { type Convolution, type Product, productFlops, stepWork } from './traffic.ts';

export type StagesOptions = Omit<StepOptions, 'against' | 'cached'>;

/** The prefix in the engine and bare, one batch. */
export interface PrefixRow {
  readonly batch: number;
  readonly engineMillis: number;
  readonly bareMillis: number;
  /** The engine's rate as a share of bare onnxruntime's: median over the rounds. */
  readonly share: number;
}

export interface StagesReport {
  readonly title: string;
  readonly options: StagesOptions & { readonly blocks: number; readonly size: number };
  /** Of a whole step, as its caller sees it; the stages leave out the way to the engine's thread. */
  readonly stepMillis: number;
  readonly stages: readonly Stage[];
  /** Reading and augmenting a batch; a run does it while the step before is computed. */
  readonly dataMillis: number;
  readonly prefix: readonly PrefixRow[];
  readonly gemmFlopsPerSecond: number;
  readonly memoryBytesPerSecond: number;
  /** Shares of the rooflines, of the stages each bounds; null where there are none. */
  readonly shares: {
    readonly products: number | null;
    readonly convolutions: number | null;
    /** Of the memory-bound kernels, against copies of their size, and against copies that no cache holds. */
    readonly memory: number | null;
    readonly uncached: number | null;
  };
}

/** Steps before the first that counts. */
const WARMUP = 5;

export async function stages(options: StagesOptions & { readonly json: boolean }): Promise<void> {
  const before = facts();
  const report = await measureStages(options);
  if (options.json) console.log(JSON.stringify({ ...before, ...report }));
  else console.log([stagesText(report), factsText(before)].join('\n\n'));
}

export async function measureStages(options: StagesOptions): Promise<StagesReport> {
  const network = await benchNetwork(options.model);
  const settings = { ...options, blocks: options.blocks ?? network.blocks, size: options.size ?? network.size };
  const path = await network.path();
  const sides: Side[] = [];
  await using machine = await MachineRates.open(options.threads);
  try {
    for (const batch of new Set([options.batch, 1])) sides.push(await Side.start({ ...settings, path, batch }));
    const [side] = sides as [Side];
    const meter = new RateMeter(machine, side.plan);
    for (let round = 0; round < options.rounds; round++) {
      for (const one of sides) await one.turn(options.steps);
      await meter.turn();
      console.error(`round ${round + 1}: ${side.lastStepMillis.toFixed(1)} ms a step`);
    }
    const rates = meter.rates();
    const found = stagesOf(side.plan, side.millis(), rates);
    return {
      title: network.title,
      options: settings,
      stepMillis: side.stepMillis(),
      stages: found,
      dataMillis: await dataMillis(settings.size, options.batch),
      prefix: sides.flatMap((one) => one.prefixRow() ?? []),
      gemmFlopsPerSecond: rates.gemmFlopsPerSecond,
      memoryBytesPerSecond: rates.memoryBytesPerSecond,
      shares: sharesOf(found),
    };
  } finally {
    for (const side of sides) side.kill();
  }
}

/** Of the suffix: the prefix has a row of its own, the optimizer a line in the table. */
function sharesOf(stages: readonly Stage[]): StagesReport['shares'] {
  const of = (wanted: Bound): Stage[] =>
    stages.filter(({ name, bound }) => name !== PREFIX && name !== OPTIMIZER && bound === wanted);
  const uncached = of('memory').map((stage) => ({ ...stage, roofMillis: stage.memoryMillis }));
  return {
    products: roofShare(of('product')),
    convolutions: roofShare(of('conv')),
    memory: roofShare(of('memory')),
    uncached: roofShare(uncached),
  };
}

/** edgeshift and, where there is a frozen part, the same layers in bare onnxruntime, both at one batch. */
class Side {
  readonly plan: Plan;
  readonly #batch: number;
  readonly #engine: Contender;
  readonly #bare: Contender | null;
  readonly #rounds: EngineMillis[] = [];
  readonly #steps: number[] = [];
  readonly #bareRounds: number[] = [];

  private constructor(plan: Plan, batch: number, engine: Contender, bare: Contender | null) {
    this.plan = plan;
    this.#batch = batch;
    this.#engine = engine;
    this.#bare = bare;
  }

  static async start(options: OurStep): Promise<Side> {
    const { batch, path, size, threads } = options;
    const engine = await Contender.start(`edgeshift, batch ${batch}`, await oursCommand(options, false));
    try {
      const plan = (await engine.ask('plan')) as unknown as Plan;
      if (plan.prefix.nodes === 0) return new Side(plan, batch, engine, null);
      const args = [await inferenceModel(path, size, plan.prefix.cut), batch, size, threads].map(String);
      const bare = await Contender.start('prefix', await nodeProgram(program('inference-server'), args));
      await engine.steps(WARMUP);
      await bare.steps(WARMUP);
      return new Side(plan, batch, engine, bare);
    } catch (error) {
      engine.kill();
      throw error;
    }
  }

  /** So many steps of each, after one that is left out; who begins alternates. */
  async turn(steps: number): Promise<void> {
    const order = [() => this.#engineTurn(steps), () => this.#bareTurn(steps)];
    for (const run of this.#rounds.length % 2 === 0 ? order : order.reverse()) await run();
  }

  async #engineTurn(steps: number): Promise<void> {
    await this.#engine.steps(1);
    const before = await this.#statistics();
    const millis = await this.#engine.steps(steps);
    const after = await this.#statistics();
    this.#steps.push(median(millis));
    const mean = (later: number, earlier = 0): number => (later - earlier) / steps;
    this.#rounds.push({
      prefix: mean(after.prefix, before.prefix),
      steps: after.steps.map((value, index) => mean(value, before.steps[index])),
      optimizer: mean(after.optimizer, before.optimizer),
    });
  }

  async #bareTurn(steps: number): Promise<void> {
    if (!this.#bare) return;
    const [, ...millis] = await this.#bare.steps(steps + 1);
    this.#bareRounds.push(median(millis));
  }

  async #statistics(): Promise<EngineMillis> {
    return ((await this.#engine.ask('statistics')) as unknown as EngineStatistics).millis;
  }

  get lastStepMillis(): number {
    return this.#steps.at(-1) ?? Number.NaN;
  }

  stepMillis(): number {
    return median(this.#steps);
  }

  /** Of one step, each stage the median over the rounds. */
  millis(): EngineMillis {
    return {
      prefix: median(this.#rounds.map(({ prefix }) => prefix)),
      steps: this.plan.steps.map((_, index) => median(this.#rounds.map(({ steps }) => steps[index] ?? 0))),
      optimizer: median(this.#rounds.map(({ optimizer }) => optimizer)),
    };
  }

  prefixRow(): PrefixRow | null {
    if (!this.#bare) return null;
    const shares = this.#rounds.map(({ prefix }, round) => (this.#bareRounds[round] ?? Number.NaN) / prefix);
    return {
      batch: this.#batch,
      engineMillis: this.millis().prefix,
      bareMillis: median(this.#bareRounds),
      share: median(shares),
    };
  }

  kill(): void {
    this.#engine.kill();
    this.#bare?.kill();
  }
}

/** The rates that a plan's stages are held against, measured once a round; the median counts. */
class RateMeter {
  readonly #machine: MachineRates;
  readonly #products = new Map<string, { readonly product: Product; readonly rates: number[] }>();
  readonly #convolutions = new Map<string, { readonly convolution: Convolution; readonly rates: number[] }>();
  readonly #copies = new Map<number, number[]>();
  readonly #memory: number[] = [];

  constructor(machine: MachineRates, plan: Plan) {
    this.#machine = machine;
    for (const step of plan.steps) {
      if (step.pass === 'prefix') continue;
      const { bytes, products, convolution } = stepWork(plan, step, plan.microBatch);
      if (convolution) this.#convolutions.set(JSON.stringify(convolution), { convolution, rates: [] });
      for (const product of products) this.#products.set(product.join(), { product, rates: [] });
      this.#copies.set(copySize(bytes), []);
    }
    this.#products.set(LARGE_PRODUCT.join(), { product: LARGE_PRODUCT, rates: [] });
    this.#copies.set(copySize(updateBytes(plan)), []);
  }

  async turn(): Promise<void> {
    for (const { product, rates } of this.#products.values()) {
      // The first one finds cold caches and sleeping threads.
      if (rates.length === 0) await this.#machine.product(product);
      rates.push(await this.#machine.product(product));
    }
    for (const { convolution, rates } of this.#convolutions.values()) {
      if (rates.length === 0) await this.#machine.convolution(convolution);
      rates.push(await this.#machine.convolution(convolution));
    }
    for (const [bytes, rates] of this.#copies) rates.push(this.#machine.copy(bytes));
    this.#memory.push(this.#machine.copy(this.#machine.memoryBytes));
  }

  rates(): Rates {
    const products = new Map([...this.#products].map(([key, { rates }]) => [key, median(rates)]));
    const large = [...this.#products].filter(([, { product }]) => productFlops(product) >= LARGE_FLOPS);
    const convolutions = new Map([...this.#convolutions].map(([key, { rates }]) => [key, median(rates)]));
    const copies = new Map([...this.#copies].map(([bytes, rates]) => [bytes, median(rates)]));
    return {
      product: (product) => products.get(product.join()) ?? Number.NaN,
      convolution: (convolution) => convolutions.get(JSON.stringify(convolution)) ?? Number.NaN,
      copy: (bytes) => copies.get(copySize(bytes)) ?? Number.NaN,
      gemmFlopsPerSecond: Math.max(...large.map(([key]) => products.get(key) ?? 0)),
      memoryBytesPerSecond: median(this.#memory),
    };
  }
}

/** What the machine's rate of products is measured on besides the plan's own. */
const LARGE_PRODUCT: Product = [512, 512, 512];
const LARGE_FLOPS = 100e6;

/** Copies are measured for powers of two: the nearest one to a number of bytes, 1 KiB at the least. */
const copySize = (bytes: number): number => 2 ** Math.max(10, Math.round(Math.log2(Math.max(1, bytes))));

/** Median milliseconds to read and augment a batch of images that were decoded before, as every epoch but the first does. */
async function dataMillis(size: number, batch: number): Promise<number> {
  const { train } = await ensureEmoji(datasetCache, { size, trainIds: EMOJI, testIds: EMOJI });
  const { dataset } = await openDataset(train, { imageSize: size });
  try {
    const millis: number[] = [];
    const options = { batch, seed: 1, epoch: 0, augmentation: parseAugment('flip') };
    const reading = batches(dataset, allIndices(dataset.samples), options);
    let started = performance.now();
    for await (const { count } of reading) {
      // Asked for at once, the next batch takes as long as reading it does.
      if (count === batch) millis.push(performance.now() - started);
      started = performance.now();
    }
    return median(millis);
  } finally {
    await dataset[Symbol.asyncDispose]();
  }
}

/** Emoji rendered for it, each in four styles. */
const EMOJI = 32;

/** Groups shorter than this share of the step are left out of the table by shape. */
const SHORTEST_SHARE = 0.01;

export function stagesText(report: StagesReport): string {
  const { title, options, stages, stepMillis, dataMillis, prefix, shares } = report;
  const { scheme, blocks, batch, size, threads, rounds, steps } = options;
  const byOp = grouped(stages, ({ name }) => name);
  const byShape = grouped(stages, ({ name, shape }) => `${name} ${shape}`).filter(
    ({ millis }) => millis >= SHORTEST_SHARE * stepMillis,
  );
  const gemm = (report.gemmFlopsPerSecond / 1e9).toFixed(0);
  const memory = (report.memoryBytesPerSecond / 1e9).toFixed(1);
  const inStages = stages.reduce((sum, stage) => sum + stage.millis, 0);
  return [
    `A step of ${title}, ${size} px, batch ${batch}, ${scheme} --blocks ${blocks}, ${threads} threads: ${stepMillis.toFixed(1)} ms`,
    `${rounds} rounds of ${steps} steps; matrix products ${gemm} GFLOP/s, copies in memory ${memory} GB/s`,
    '',
    table([HEADER, ...byOp.map((stage) => cells(stage, stepMillis))]),
    '',
    table([HEADER, ...byShape.map((stage) => cells(stage, stepMillis))]),
    '',
    `outside of the stages: ${(stepMillis - inStages).toFixed(2)} ms; reading and augmenting a batch: ${dataMillis.toFixed(2)} ms`,
    ...prefix.map(
      ({ batch, engineMillis, bareMillis, share }) =>
        `frozen prefix, batch ${batch}: ${share.toFixed(3)} of bare onnxruntime's rate ` +
        `(${engineMillis.toFixed(2)} ms against ${bareMillis.toFixed(2)} ms)`,
    ),
    ...shareLines(shares),
  ].join('\n');
}

function shareLines({ products, convolutions, memory, uncached }: StagesReport['shares']): string[] {
  const line = (share: number | null, what: string): string[] =>
    share === null ? [] : [`${what}: ${share.toFixed(3)}`];
  return [
    ...line(products, "pointwise convolutions and head: share of onnxruntime's MatMul rate on the same shapes"),
    ...line(convolutions, "k x k convolutions: share of onnxruntime's Conv rate on the same shapes"),
    ...line(memory, 'memory-bound kernels: share of the rate of copies of their size'),
    ...line(uncached, 'memory-bound kernels: share of the rate of copies that no cache holds'),
  ];
}

const HEADER = ['', 'count', 'ms', 'of step', 'GFLOP/s', 'GB/s', 'bound', 'of roof', 'of memory'];

function cells({ name, count, millis, flops, bytes, bound, roofMillis, memoryMillis }: Stage, whole: number): string[] {
  const rate = (amount: number): string => (amount > 0 && millis > 0 ? (amount / millis / 1e6).toFixed(1) : '');
  const share = (part: number, of: number): string => (part > 0 && of > 0 ? (part / of).toFixed(2) : '');
  return [
    ...[name, String(count), millis.toFixed(3), share(millis, whole), rate(flops), rate(bytes)],
    ...[bound, share(roofMillis, millis), share(memoryMillis, millis)],
  ];
}
