/** @file Whole training runs of a tiny model on toy images, and what they leave behind. */
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeModel } from '../../models/onnx/proto.ts';
import { readTensors } from '../../runtime/delta/safetensors.ts';
import type { Progress } from '../../runtime/train/checkpoint.ts';
import { type Metrics, readMetrics } from '../../runtime/train/metrics.ts';
import type { TrainOptions } from '../../runtime/train/options.ts';
import { OnnxBuilder } from './onnx-models.ts';

/** Writes a network of two blocks that takes images of 16 px, with `classes` outputs. */
export async function tinyModel(path: string, classes = 5, seed = 4): Promise<string> {
  const b = new OnnxBuilder({ size: 16, seed });
  const stem = b.relu6('stem_relu', b.norm('stem_norm', b.conv('stem', 'image', 8, { kernel: 3, stride: 2 })));
  const one = block(b, 'one', stem, 8);
  b.head(block(b, 'two', b.add('one_sum', one, stem), 12), classes);
  await writeFile(path, encodeModel(b.model()));
  return path;
}

function block(b: OnnxBuilder, name: string, x: string, channels: number): string {
  const wide = b.relu6(`${name}_relu`, b.norm(`${name}_expand_norm`, b.conv(`${name}_expand`, x, 16)));
  const depth = b.conv(`${name}_depth`, wide, 16, { kernel: 3, depthwise: true });
  const inner = b.relu6(`${name}_depth_relu`, b.norm(`${name}_depth_norm`, depth));
  return b.norm(`${name}_norm`, b.conv(`${name}_project`, inner, channels));
}

/** What tiny runs have in common: 27 training and 9 validation images of 3 classes are 4 steps an epoch. */
export const tinyRun = {
  scheme: 'mobiletl',
  blocks: 1,
  device: 'jetson-nano-4gb',
  budgetBytes: 2 ** 30,
  batch: 8,
  epochs: 3,
  validation: 0.25,
  learningRate: { head: 0.05, weights: 0.02, norms: 0.05 },
} as const satisfies Partial<TrainOptions>;

/** The run's measurements without the times, which are its own. */
export async function trajectory(run: string): Promise<readonly Metrics[]> {
  const metrics = await readMetrics(join(run, 'metrics.jsonl'));
  return metrics.map((line) => (line.kind === 'step' ? { ...line, millis: 0 } : line));
}

export async function losses(run: string): Promise<readonly number[]> {
  const metrics = await readMetrics(join(run, 'metrics.jsonl'));
  return metrics.flatMap((line) => (line.kind === 'step' ? [line.loss] : []));
}

/** Every checkpoint in a run folder, read and checked; throws if one is unreadable. */
export async function readCheckpoints(
  run: string,
): Promise<readonly { readonly name: string; readonly progress: Progress }[]> {
  const folder = join(run, 'checkpoints');
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.safetensors')).sort();
  const read = async (name: string) => {
    const { metadata } = await readTensors(join(folder, name));
    return { name, progress: JSON.parse(metadata.progress ?? 'null') as Progress };
  };
  return Promise.all(names.map(read));
}
