/** @file What edgeshift's side of a comparison is told and what it says. */
import type { SchemeName } from '../../runtime/index.ts';
import { resolveConfig, type TrainConfig } from '../../runtime/train/options.ts';

/** So small that nobody's loss diverges on random images, even where weights are drawn: not what a step's time depends on. */
export const LEARNING_RATE = 1e-10;
export const MOMENTUM = 0.9;

/** One training step, as every contender is told it. */
export interface StepServerOptions {
  /** ONNX file. */
  readonly model: string;
  readonly scheme: SchemeName;
  readonly blocks: number;
  readonly batch: number;
  readonly size: number;
  readonly threads: number;
  readonly classes: number;
  /** Features are computed once and given in place of the images. */
  readonly cached: boolean;
}

/** What it says when it is ready. */
export interface StepServerReady {
  readonly trainableParameters: number;
  /** Tensors of the ONNX file that learn, and the layers that the new head replaces (empty: the last one). */
  readonly learnt: readonly string[];
  readonly drop: readonly string[];
  /** Images that are in memory together: the batch, unless its arena would be larger than WebAssembly allows. */
  readonly microBatch: number;
  readonly plannedTotalBytes: number;
  readonly arenaBytes: number;
}

/** The run that a step belongs to: SGD with momentum, and no limit on memory. */
export function stepConfig(options: StepServerOptions): TrainConfig {
  const { model, scheme, blocks, batch, size, threads } = options;
  return resolveConfig({
    ...{ model, scheme, blocks, batch, threads, data: '', run: '' },
    imageSize: size,
    microBatch: batch,
    optimizer: 'sgd',
    budgetBytes: Number.MAX_SAFE_INTEGER,
  });
}
