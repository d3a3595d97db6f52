/** @file Short real trainings of small models, and what the trained model says in edgeshift and in bare onnxruntime. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exportModel } from '../../models/onnx/export.ts';
import { type ModelFile, readModelFile } from '../../models/onnx/model-file.ts';
import { decodeModel, encodeModel, type ModelProto } from '../../models/onnx/proto.ts';
import { type Delta, learntTensor, readDelta, writeDelta } from '../../runtime/delta/delta.ts';
import { CpuEngine } from '../../runtime/engine/cpu/cpu-engine.ts';
import type { Preprocessing } from '../../runtime/engine/engine.ts';
import type { Plan } from '../../runtime/plan/plan.ts';
import { prepareModel } from '../../runtime/train/model-thread.ts';
import { resolveConfig, type TrainConfig } from '../../runtime/train/options.ts';
import { cyclicLabels, randomImages } from './draws.ts';
import { runOnnxruntime } from './onnx-models.ts';

export interface TrainedModel {
  readonly plan: Plan;
  readonly delta: Delta;
  readonly deltaPath: string;
  readonly base: ModelFile;
  readonly basePath: string;
  readonly exported: ModelProto;
  readonly exportedPath: string;
  /** Class probabilities of the same images by the engine that was trained, and by the exported file. */
  readonly own: Float32Array;
  readonly bare: Float32Array;
}

export interface ShortTraining {
  readonly config?: Partial<TrainConfig>;
  readonly classes?: readonly string[];
  readonly steps?: number;
  readonly seed?: number;
}

const PROBED = 6;

/** Trains a model for a few steps on noise and exports it, all by way of files in `folder`. */
export async function trainAndExport(
  folder: string,
  model: ModelProto | string,
  { config: changes = {}, classes = ['a', 'b', 'c'], steps = 6, seed = 3 }: ShortTraining = {},
): Promise<TrainedModel> {
  const basePath = typeof model === 'string' ? model : join(folder, 'base.onnx');
  if (typeof model !== 'string') await writeFile(basePath, encodeModel(model));
  const config = resolveConfig({
    ...{ model: basePath, data: '', run: '', batch: 6, budgetBytes: 2 ** 33, device: 'jetson-nano-4gb' },
    ...changes,
  });
  const prepared = await prepareModel({ config, classes, plan: null });
  const { plan } = prepared;
  const size = plan.model.imageSize;
  const { preprocessing } = prepared.engine;
  await using engine = await CpuEngine.create(plan, prepared.engine);
  const images = randomImages(seed, PROBED, size);
  const labels = cyclicLabels(PROBED, plan.classes);
  for (let step = 1; step <= steps; step++) {
    const learningRate = { head: 0.01, weights: 0.01, norms: 0.01 };
    await engine.step({ count: PROBED, images }, labels, { learningRate, momentum: 0.9, weightDecay: 0, step });
  }
  const logits = await engine.forward({ count: PROBED, images });
  const deltaPath = join(folder, 'delta.safetensors');
  const tensors = prepared.learnt.map((parameter) => learntTensor(parameter, (name) => engine.read(name)));
  await writeDelta(deltaPath, { ...prepared.delta, notes: {} }, tensors);
  const delta = await readDelta(deltaPath);
  const exportedPath = join(folder, 'exported.onnx');
  await exportModel(await readModelFile(basePath), delta, exportedPath);
  const bytes = await readFile(exportedPath);
  const exported = decodeModel(bytes);
  const output = await runOnnxruntime(bytes, normalized(images, preprocessing), [size, size, 3]);
  return {
    ...{ plan, delta, deltaPath, basePath, exported, exportedPath },
    base: await readModelFile(basePath),
    own: softmaxRows(logits, plan.classes),
    bare: hasSoftmax(exported) ? output : softmaxRows(output, plan.classes),
  };
}

/** What the network takes, channels-last. */
export function normalized(images: Uint8Array, { scale, bias }: Preprocessing): Float32Array {
  return Float32Array.from(images, (value, i) => value * (scale[i % 3] ?? 1) + (bias[i % 3] ?? 0));
}

/** Whether a softmax makes the file's output. */
export function hasSoftmax({ graph }: ModelProto): boolean {
  const output = graph?.output[0]?.name ?? '';
  return graph?.node.find((node) => node.output.includes(output))?.opType === 'Softmax';
}

export function softmaxRows(logits: Float32Array, classes: number): Float32Array {
  const out = new Float32Array(logits.length);
  for (let from = 0; from < logits.length; from += classes) {
    const row = logits.subarray(from, from + classes);
    const exponentials = row.map((value) => Math.exp(value - Math.max(...row)));
    const sum = exponentials.reduce((total, value) => total + value, 0);
    out.set(
      exponentials.map((value) => value / sum),
      from,
    );
  }
  return out;
}

/** Largest difference of two arrays; NaN if any value is. */
export function largestDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((largest, value, i) => {
    const difference = Math.abs(value - (b[i] ?? Number.NaN));
    return difference <= largest ? largest : difference;
  }, 0);
}
