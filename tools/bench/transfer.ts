/**
 * @file What is left of a delta on another version of its base, and of two deltas in one: Fashion-MNIST under corruptions.
 *
 * Base A is models/fmnist-wrn16-2, base B the same after more training with all of its weights and running statistics. Deltas are
 * learnt on corrupted images on A; every accuracy is on test images of the same corruption, which nothing was trained on.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { openModel } from '../../models/onnx/open-model.ts';
import type { CorruptionName } from '../../runtime/adapt/corruptions/names.ts';
import { readDelta, sourcesOf, writeDelta } from '../../runtime/delta/delta.ts';
import { learnMerge } from '../../runtime/delta/learn-merge.ts';
import { type Coefficients, mergedDelta, type NamedDelta, openMerge } from '../../runtime/delta/merge.ts';
import { transferDelta } from '../../runtime/delta/transfer.ts';
import { evaluate, type NormStatistics, type SchemeName, type TrainOptions, train } from '../../runtime/index.ts';
import { type CorruptedImages, corruptedImages } from './corrupted-images.ts';
import { benchFolder, fashionMnistOrSkip, fmnistModel as modelA } from './places.ts';
import { facts, factsText, table } from './report.ts';

export interface TransferOptions {
  readonly seeds: readonly number[];
  readonly corruptions: readonly CorruptionName[];
  readonly severity: number;
  /** How deltas are learnt. */
  readonly schemes: readonly SchemeName[];
  readonly norms: NormStatistics;
  readonly blocks: number;
  /** Images a delta is learnt on, and passes over them; tests take as many. */
  readonly limit: number;
  readonly epochs: number;
  /** Images of the further training of base B, and its learning rate. */
  readonly furtherLimit: number;
  readonly furtherRate: number;
  /** Labelled images of each corruption for the coefficients of a merge, set aside from the training images. */
  readonly labelled: number;
  readonly threads: number;
  readonly json: boolean;
}

interface Kept {
  readonly seed: number;
  readonly scheme: SchemeName;
  readonly corruption: CorruptionName;
  /** Accuracy of base A, and with its delta. */
  readonly a: number;
  readonly aLearnt: number;
  /** Accuracy of base B, with the delta carried over, and with one that is learnt on B. */
  readonly b: number;
  readonly bCarried: number;
  readonly bLearnt: number;
}

interface Merged {
  readonly seed: number;
  readonly scheme: SchemeName;
  readonly how: string;
  /** Accuracy under each corruption. */
  readonly accuracies: readonly number[];
}

export async function transfer(options: TransferOptions): Promise<void> {
  const data = fashionMnistOrSkip();
  if (data === null) return;
  const folder = join(benchFolder, `transfer-${process.pid}`);
  const [kept, merged]: [Kept[], Merged[]] = [[], []];
  try {
    const images = await corruptedImages(data, folder, options);
    for (const seed of options.seeds) {
      const modelB = await furtherTrained(data, join(folder, `b-${seed}`), seed, options);
      for (const scheme of options.schemes) {
        const bench = new Bench(folder, images, scheme, seed, options);
        const learnt: NamedDelta[] = [];
        for (const corruption of options.corruptions) {
          const path = await bench.learn(modelA, 'a', corruption);
          learnt.push({ name: path, delta: await readDelta(path) });
          kept.push(await bench.kept(modelB, path, corruption));
          console.error(keptText(kept.slice(-1)));
        }
        if (learnt.length > 1) merged.push(...(await bench.merged(learnt)));
        console.error(mergedText(merged, options));
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  if (options.json) console.log(JSON.stringify({ transfer: options, ...facts(), kept, merged }));
  else console.log([factsText(facts()), '', keptText(kept), '', mergedText(merged, options)].join('\n'));
}

const common = { imageSize: 32, fit: 'pad', batch: 32, optimizer: 'adam', device: 'jetson-orin-nano-8gb' } as const;

/** Base B: everything in A trains on clean images, norms with the statistics of their batches. */
async function furtherTrained(
  data: string,
  run: string,
  seed: number,
  { furtherLimit, furtherRate, threads }: TransferOptions,
): Promise<string> {
  const rate = furtherRate;
  const result = await train({
    ...{ ...common, model: modelA, data, run, seed, threads },
    ...{ scheme: 'full', norms: 'batch', limit: furtherLimit, testLimit: 500, epochs: 1, schedule: 'cosine' },
    ...{ learningRate: { head: rate, weights: rate, norms: rate }, augment: 'flip,shift:3' },
  } satisfies TrainOptions);
  console.error(`base B, seed ${seed}: ${result.accuracyBefore.toFixed(4)} to ${result.accuracyAfter?.toFixed(4)}`);
  return result.export ?? '';
}

class Bench {
  readonly #folder: string;
  readonly #images: CorruptedImages;
  readonly #scheme: SchemeName;
  readonly #seed: number;
  readonly #options: TransferOptions;

  constructor(folder: string, images: CorruptedImages, scheme: SchemeName, seed: number, options: TransferOptions) {
    this.#folder = folder;
    this.#images = images;
    this.#scheme = scheme;
    this.#seed = seed;
    this.#options = options;
  }

  /** Path of a delta that is learnt on a model under a corruption. */
  async learn(model: string, of: string, corruption: CorruptionName): Promise<string> {
    const { blocks, norms, epochs, threads } = this.#options;
    const result = await train({
      ...{ ...common, model, threads, epochs, norms, seed: this.#seed, scheme: this.#scheme, blocks },
      ...{ data: this.#images.train(corruption), test: this.#images.test(corruption), testLimit: 100 },
      ...{ run: this.#path(`${of}-${corruption}`), augment: 'flip', exportModel: false },
    });
    return result.delta ?? '';
  }

  async kept(modelB: string, delta: string, corruption: CorruptionName): Promise<Kept> {
    const carried = this.#path(`carried-${corruption}.safetensors`);
    const [from, to] = [await openModel(modelA, { imageSize: 32 }), await openModel(modelB, { imageSize: 32 })];
    const result = transferDelta(await readDelta(delta), from, to);
    await writeDelta(carried, result.delta, sourcesOf(result.delta));
    const learnt = await this.learn(modelB, 'b', corruption);
    const score = (model: string, with_: string | null) => this.#score(model, with_, corruption);
    return {
      ...{ seed: this.#seed, scheme: this.#scheme, corruption },
      ...{ a: await score(modelA, null), aLearnt: await score(modelA, delta) },
      ...{ b: await score(modelB, null), bCarried: await score(modelB, carried), bLearnt: await score(modelB, learnt) },
    };
  }

  /** Each delta alone, then all of them as one in several ways. */
  async merged(deltas: readonly NamedDelta[]): Promise<readonly Merged[]> {
    const model = await openModel(modelA, { imageSize: 32 });
    const tensors = openMerge(model.graph, deltas);
    const { threads, corruptions } = this.#options;
    const learnt = await learnMerge(modelA, deltas, tensors, { data: this.#images.labelled, fit: 'pad', threads });
    const fixed =
      (values: readonly number[]): Coefficients =>
      () =>
        values;
    const alone = corruptions.map(
      (name, i) => [`${name} alone`, fixed(deltas.map((_, k) => (k === i ? 1 : 0)))] as const,
    );
    const ways: readonly (readonly [string, Coefficients])[] = [
      ['base', fixed(deltas.map(() => 0))],
      ...alone,
      ['average', fixed(deltas.map(() => 1 / deltas.length))],
      ['sum', fixed(deltas.map(() => 1))],
      ['learnt', learnt.coefficients],
    ];
    const rows: Merged[] = [];
    for (const [how, coefficients] of ways) {
      const path = this.#path(`merged-${how.replaceAll(' ', '-')}.safetensors`);
      const delta = mergedDelta(deltas, tensors, coefficients, how);
      await writeDelta(path, delta, sourcesOf(delta));
      const accuracies: number[] = [];
      for (const corruption of corruptions) accuracies.push(await this.#score(modelA, path, corruption));
      rows.push({ seed: this.#seed, scheme: this.#scheme, how, accuracies });
    }
    return rows;
  }

  async #score(model: string, delta: string | null, corruption: CorruptionName): Promise<number> {
    const data = this.#images.test(corruption);
    const { accuracy } = await evaluate({
      model,
      delta,
      data,
      imageSize: 32,
      fit: 'pad',
      threads: this.#options.threads,
    });
    return accuracy;
  }

  #path(name: string): string {
    return join(this.#folder, `${this.#scheme}-${this.#seed}-${name}`);
  }
}

const share = (value: number): string => value.toFixed(4);

function keptText(rows: readonly Kept[]): string {
  const lines = rows.map(({ seed, scheme, corruption, a, aLearnt, b, bCarried, bLearnt }) => [
    `${scheme}, ${corruption}, seed ${seed}`,
    ...[a, aLearnt, b, bCarried, bLearnt].map(share),
    `${((100 * (bCarried - b)) / (aLearnt - a)).toFixed(0)} %`,
    `${((100 * (bCarried - b)) / (bLearnt - b)).toFixed(0)} %`,
  ]);
  return table([
    ['', 'A', 'A + delta', 'B', 'B + carried', 'B + learnt on B', 'of gain on A', 'of gain on B'],
    ...lines,
  ]);
}

function mergedText(rows: readonly Merged[], { corruptions }: TransferOptions): string {
  const lines = rows.map(({ seed, scheme, how, accuracies }) => [
    `${scheme}, seed ${seed}: ${how}`,
    ...accuracies.map(share),
    share(accuracies.reduce((sum, value) => sum + value, 0) / accuracies.length),
  ]);
  return table([['merged', ...corruptions, 'mean'], ...lines]);
}
