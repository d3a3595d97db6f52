/** @file Evaluation of a model file on a folder of images, in a bare onnxruntime session or on edgeshift's own engine. */

import '../engine/no-telemetry.ts';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportModel } from '../../models/onnx/export.ts';
import { openModel } from '../../models/onnx/open-model.ts';
import { extractPrefix } from '../../models/onnx/prefix.ts';
import { productModels } from '../../models/onnx/products.ts';
import { readDelta } from '../delta/delta.ts';
import type { Preprocessing } from '../engine/engine.ts';
import { countCorrect } from '../engine/outcome.ts';
import { WorkerEngine } from '../engine/worker-engine.ts';
import { DataError, UsageError } from '../errors.ts';
import { elements, shapeOf } from '../graph/graph.ts';
import type { ProductsName } from '../plan/plan.ts';
import type { SchemeName } from '../scheme/names.ts';
import { batches } from './data/batches.ts';
import { type Dataset, openDataset } from './data/dataset.ts';
import type { Fit } from './data/decode.ts';
import { findIdx } from './data/idx.ts';
import { allIndices, measureAccuracy } from './evaluate.ts';
import { defaults, resolveConfig, type TrainConfig } from './options.ts';
import { planParameters, prepareTraining } from './prepare.ts';

export interface EvaluateOptions {
  readonly model: string;
  /** Learnt on `model`; null: the model as it is. */
  readonly delta?: string | null;
  readonly data: string;
  /** `onnxruntime`: one bare session over the whole file. `edgeshift`: prefix and arena, as in training. */
  readonly engine?: 'onnxruntime' | 'edgeshift';
  /** What runs on the arena under `edgeshift`. */
  readonly scheme?: SchemeName;
  readonly blocks?: number;
  readonly batch?: number;
  readonly threads?: number;
  /** What multiplies matrices under `edgeshift`; default `onnxruntime`. */
  readonly products?: ProductsName;
  readonly limit?: number | null;
  readonly imageSize?: number | null;
  readonly preprocessing?: Preprocessing | null;
  readonly fit?: Fit;
  readonly strict?: boolean;
}

export interface Evaluation {
  readonly accuracy: number;
  readonly correct: number;
  readonly samples: number;
  readonly engine: 'onnxruntime' | 'edgeshift';
  /** Share of each class's images that is right, by class name. */
  readonly perClass: Readonly<Record<string, number>>;
  readonly skipped: number;
}

/**
 * Measures accuracy.
 * @throws DataError if the data have other classes than the model, UsageError for a session of onnxruntime without onnxruntime
 */
export async function evaluate(options: EvaluateOptions): Promise<Evaluation> {
  const config = evaluationConfig(options);
  const engine = options.engine ?? 'onnxruntime';
  if (engine === 'onnxruntime' && config.products === 'simd') {
    throw new UsageError(
      'a session of onnxruntime was asked for, and none (--products simd)\nHint: --engine edgeshift',
    );
  }
  const scratch = await mkdtemp(join(tmpdir(), 'edgeshift-'));
  try {
    const path = options.delta ? await merge(options.model, options.delta, scratch) : options.model;
    const size = options.imageSize ?? undefined;
    const probes = config.products !== 'simd';
    const model = await openModel(path, { probes, ...(size !== undefined && { imageSize: size }) });
    const idx = await findIdx(options.data, 'test').catch(() => null);
    const { dataset, skipped } = await openDataset(options.data, {
      imageSize: model.imageSize,
      storeFolder: scratch,
      fit: options.fit ?? 'fill',
      strict: options.strict ?? false,
      ...(idx && { split: 'test' as const }),
      ...(config.limit !== null && { limit: config.limit }),
      ...(!idx && model.classes && { classes: model.classes }),
    });
    await using _ = dataset;
    const outputs = elements(shapeOf(model.graph, model.graph.output));
    if (dataset.classes.length !== outputs) {
      throw new DataError(
        `"${options.model}" tells ${outputs} classes apart, "${options.data}" has ${dataset.classes.length}`,
        {
          model: options.model,
          data: options.data,
        },
      );
    }
    const tally = new Tally(dataset);
    if (engine === 'edgeshift') await onEngine({ ...config, model: path }, tally);
    else await inOnnxruntime(path, model.imageSize, options.preprocessing ?? model.preprocessing, options, tally);
    return { ...tally.result(), engine, skipped: skipped.length };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function merge(model: string, delta: string, scratch: string): Promise<string> {
  const { readModelFile } = await import('../../models/onnx/model-file.ts');
  const path = join(scratch, 'merged.onnx');
  await exportModel(await readModelFile(model), await readDelta(delta), path);
  return path;
}

class Tally {
  readonly dataset: Dataset;
  readonly #right: number[];
  readonly #seen: number[];

  constructor(dataset: Dataset) {
    this.dataset = dataset;
    this.#right = dataset.classes.map(() => 0);
    this.#seen = dataset.classes.map(() => 0);
  }

  add(logits: Float32Array, labels: Int32Array): void {
    const classes = this.dataset.classes.length;
    labels.forEach((label, n) => {
      const right = countCorrect(logits.subarray(n * classes, (n + 1) * classes), labels.subarray(n, n + 1));
      this.#right[label] = (this.#right[label] ?? 0) + right;
      this.#seen[label] = (this.#seen[label] ?? 0) + 1;
    });
  }

  result() {
    const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
    const [correct, samples] = [sum(this.#right), sum(this.#seen)];
    const share = (c: number): number => (this.#right[c] ?? 0) / Math.max(1, this.#seen[c] ?? 0);
    const perClass = Object.fromEntries(this.dataset.classes.map((name, c) => [name, share(c)]));
    return { accuracy: correct / samples, correct, samples, perClass };
  }
}

/** The same options in the terms of training, with their ranges checked. @throws UsageError */
function evaluationConfig(options: EvaluateOptions): TrainConfig {
  return resolveConfig({
    model: options.model,
    data: options.data,
    run: '',
    scheme: options.scheme ?? 'head',
    blocks: options.blocks ?? 0,
    batch: options.batch ?? 8,
    threads: options.threads ?? defaults.threads,
    products: options.products ?? defaults.products,
    imageSize: options.imageSize ?? null,
    limit: options.limit ?? null,
    preprocessing: options.preprocessing ?? null,
    head: 'keep',
    budgetBytes: Number.MAX_SAFE_INTEGER,
  });
}

async function onEngine(config: TrainConfig, tally: Tally): Promise<void> {
  const { model, graph, plan } = await prepareTraining(config, null);
  const prefix = extractPrefix(model.file, graph, plan.values.cut);
  const preprocessing = config.preprocessing ?? model.preprocessing;
  await using engine = await WorkerEngine.create(plan, {
    parameters: planParameters(graph, plan),
    prefix,
    products: productModels(),
    preprocessing,
  });
  const indices = allIndices(tally.dataset.samples);
  await measureAccuracy(engine, tally.dataset, indices, null, (logits, labels) => tally.add(logits, labels));
}

async function inOnnxruntime(
  path: string,
  size: number,
  { scale, bias }: Preprocessing,
  options: EvaluateOptions,
  tally: Tally,
): Promise<void> {
  const { InferenceSession, Tensor } = await import('onnxruntime-node');
  const { sessionOptions } = await import('../engine/cpu/session-options.ts');
  const session = await InferenceSession.create(path, sessionOptions(options.threads ?? 2));
  const [input = ''] = session.inputNames;
  const [output = ''] = session.outputNames;
  const pixels = size * size;
  const planar = new Float32Array(3 * pixels);
  for await (const { images, labels, count } of batches(tally.dataset, allIndices(tally.dataset.samples), {
    batch: options.batch ?? 8,
    seed: 0,
    epoch: 0,
    shuffle: false,
  })) {
    // One image at a time: exported files may have a fixed batch of 1.
    for (let n = 0; n < count; n++) {
      for (let i = 0; i < 3 * pixels; i++) {
        const channel = i % 3;
        const value = (images[n * 3 * pixels + i] ?? 0) * (scale[channel] ?? 1) + (bias[channel] ?? 0);
        planar[channel * pixels + Math.floor(i / 3)] = value;
      }
      const result = await session.run({ [input]: new Tensor('float32', planar, [1, 3, size, size]) });
      tally.add(result[output]?.data as Float32Array, labels.subarray(n, n + 1));
    }
  }
  await session.release();
}
