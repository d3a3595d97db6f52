/**
 * @file The Fashion-MNIST protocol: few images, a short training, three depths of it. Accuracy beside what PyTorch reaches
 * with the same images and rates (tools/bench/torch/full_protocol.py).
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { SchemeName, TrainOptions, TrainResult } from '../../runtime/index.ts';
import { nodeProgram, runJson } from './launch.ts';
import { benchFolder, benchModel, fashionMnistOrSkip, program } from './places.ts';
import { facts, factsText, table } from './report.ts';

/**
 * What stands for the derivative: `exact` keeps ReLU6's own bit and float tensors, `sign` the published bit 1[a >= 0]
 * (MobileTL), `8bit` ReLU6's bit and 8-bit codes of every other tensor.
 */
export type Kept = 'exact' | 'sign' | '8bit';

export interface ProtocolOptions {
  readonly seeds: readonly number[];
  readonly schemes: readonly SchemeName[];
  readonly kept: readonly Kept[];
  /** Training images; tests take two for each three. */
  readonly limit: number;
  readonly epochs: number;
  readonly schedule: 'cosine' | 'constant';
  readonly threads: number;
  readonly json: boolean;
}

/** What a mean must reach, and what PyTorch 1.13 reached in one run with one seed. Both hold for 3,000 images, 6 epochs. */
const references: Readonly<Partial<Record<SchemeName, { readonly bar: number; readonly torch: number }>>> = {
  head: { bar: 0.745, torch: 0.756 },
  shifts: { bar: 0.81, torch: 0.819 },
  mobiletl: { bar: 0.83, torch: 0.844 },
};

/** Blocks 13 to 16 and the last convolution. */
const BLOCKS = 4;

interface Row {
  readonly scheme: SchemeName;
  readonly kept: Kept;
  readonly seed: number;
  readonly result: TrainResult;
  readonly seconds: number;
}

export async function protocol(options: ProtocolOptions): Promise<void> {
  const data = fashionMnistOrSkip();
  if (data === null) return;
  const model = await benchModel();
  const rows: Row[] = [];
  for (const scheme of options.schemes) {
    for (const [kept, seed] of options.kept.flatMap((way) => options.seeds.map((seed) => [way, seed] as const))) {
      const run = join(benchFolder, `protocol-${scheme}-${kept}-${seed}-${process.pid}`);
      const config = {
        ...protocolConfig(model.path, data, run, scheme, seed, options),
        derivative: kept === 'sign' ? 'sign' : 'exact',
        save: kept === '8bit' ? '8bit' : 'float',
      } as const;
      const started = performance.now();
      const result = await runJson<TrainResult>(await nodeProgram(program('train-run'), [JSON.stringify(config)]));
      rows.push({ scheme, kept, seed, result, seconds: (performance.now() - started) / 1000 });
      await rm(run, { recursive: true, force: true });
      console.error(`${scheme}, ${kept}, seed ${seed}: ${result.accuracyAfter?.toFixed(4)}`);
    }
  }
  if (options.json) console.log(JSON.stringify({ protocol: options, ...facts(), rows }));
  else console.log(text(options, rows));
}

function protocolConfig(
  model: string,
  data: string,
  run: string,
  scheme: SchemeName,
  seed: number,
  { limit, epochs, schedule, threads }: ProtocolOptions,
): TrainOptions {
  return {
    model,
    data,
    run,
    scheme,
    seed,
    limit,
    epochs,
    schedule,
    threads,
    blocks: scheme === 'head' ? 0 : BLOCKS,
    testLimit: Math.round((limit * 2) / 3),
    imageSize: 96,
    batch: 32,
    optimizer: 'adam',
    learningRate: { head: 3e-3, weights: 5e-4, norms: 3e-3 },
    augment: 'flip,shift:6',
    exportModel: false,
  };
}

function text(options: ProtocolOptions, rows: readonly Row[]): string {
  const { seeds, schemes, kept, limit, epochs, schedule } = options;
  const share = (value: number): string => value.toFixed(4);
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const pairs = schemes.flatMap((scheme) => kept.map((way) => [scheme, way] as const));
  const lines = pairs.map(([scheme, way]) => {
    const own = rows.filter((row) => row.scheme === scheme && row.kept === way);
    const accuracies = own.map(({ result }) => result.accuracyAfter ?? Number.NaN);
    const { bar, torch } = references[scheme] ?? { bar: '-', torch: '-' };
    const train = mean(own.map(({ result }) => result.trainAccuracy));
    const seconds = mean(own.map((row) => row.seconds));
    return [
      way === 'exact' ? scheme : `${scheme}, ${way}`,
      ...accuracies.map(share),
      share(mean(accuracies)),
      String(bar),
      String(torch),
      share(train),
      seconds.toFixed(0),
    ];
  });
  return [
    `Fashion-MNIST, first ${limit} training images at 96 px, ${epochs} epochs, batch 32, Adam, ${schedule} rate`,
    factsText(facts()),
    '',
    table([['', ...seeds.map((seed) => `seed ${seed}`), 'mean', 'must', 'PyTorch*', 'training', 's a run'], ...lines]),
    '',
    '* reference figures: PyTorch 1.13, one seed, 3,000 images, 6 epochs, constant rate; "must" is for the same setting',
  ].join('\n');
}
