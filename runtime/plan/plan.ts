/**
 * @file The Plan: everything decided before the first step, as data. It can be printed, saved, diffed and replayed, and
 * holds nothing that only one engine understands.
 */

import type { LocalSeed, Pass, TrainingStep } from '../autodiff/training-graph.ts';
import type { SchemeOptions } from '../scheme/options.ts';
import type { Savings } from './savings.ts';

/** `statistics` are running ones: they change, but have neither gradient nor optimizer state. */
export type BufferCategory =
  | 'frozenWeights'
  | 'trainableWeights'
  | 'statistics'
  | 'gradients'
  | 'optimizer'
  | 'saved'
  | 'workspace';

/** A named range of the arena. Values take `bytesPerImage` for each image of the micro-batch, others `bytes`. */
export interface PlannedBuffer {
  readonly name: string;
  readonly offset: number;
  /** Bytes at the full micro-batch. */
  readonly bytes: number;
  readonly bytesPerImage: number;
  readonly category: BufferCategory;
  /** First and last step (inclusive) at which it is alive; null for pinned buffers. */
  readonly alive: readonly [number, number] | null;
  /** Buffers of one storage share memory on purpose (in-place steps). */
  readonly storage: string;
  /** Holds the images of one slice (autodiff/slices.ts), not of the micro-batch. */
  readonly sliced?: true;
}

/** A run of pinned buffers that the optimizer treats alike: parameters, gradients and states lie in the same order. */
export interface ParameterSpan {
  readonly group: 'head' | 'weights' | 'norms';
  readonly bytes: number;
  readonly parameters: number;
  readonly gradients: number;
  /** Offsets of the optimizer's states: none, momentum, or first and second moment. */
  readonly states: readonly number[];
}

/** One thing the engine does; operands are buffer names. See autodiff's TrainingStep. */
export interface PlannedStep extends Omit<TrainingStep, 'pass' | 'inPlace' | 'workspace' | 'flops'> {
  readonly pass: 'prefix' | Pass;
  readonly workspace: string | null;
}

export interface PlannedBlock {
  readonly name: string;
  readonly role: 'block' | 'neck' | 'head';
  /** Names of the tensors that train. */
  readonly trains: readonly string[];
  /** Bytes kept for its backward pass, at the micro-batch. */
  readonly storedBytes: number;
  /** What plain fine-tuning of the same block keeps (accounting.ts). */
  readonly plainStoredBytes: number;
}

/** Predicted bytes of the whole process at its peak; they add up to `totalBytes`. */
export interface PlannedBytes {
  /** All frozen weights: those on the arena and those inside the prefix session. */
  readonly frozenWeights: number;
  /** With running statistics that change. */
  readonly trainableWeights: number;
  readonly gradients: number;
  readonly optimizer: number;
  /** Saved for backward. */
  readonly saved: number;
  /** Everything else on the arena: activations and gradients in passing, scratch, gaps. */
  readonly workspace: number;
  /** What running the prefix session takes besides its weights. */
  readonly prefixPeak: number;
  /**
   * Node, onnxruntime and its sessions before any model is loaded, the buffers of the data pipeline (images, and features that are
   * kept between epochs), and copies in passing of the largest trained tensor.
   */
  readonly base: number;
  /** What reading the model, moving parameters in or opening the prefix takes beyond the peak of training; 0 if it stays below. */
  readonly loading: number;
  /** What an adaptation method keeps besides: buffered frames, copies of the model; 0 in training. */
  readonly adaptation: number;
  /** What writing the exported model at the end takes beyond the others; 0 if it stays below. */
  readonly export: number;
}

export interface Plan {
  readonly version: 1;
  readonly model: {
    readonly name: string;
    readonly sha256: string;
    readonly imageSize: number;
    /** Size of the ONNX file. */
    readonly fileBytes: number;
  };
  readonly device: string;
  readonly budgetBytes: number;
  readonly fits: boolean;
  /** What the process is predicted to hold at its peak; compared with the budget. */
  readonly totalBytes: number;
  /** The arena's exact peak: the run's high water equals it to the byte. */
  readonly peakBytes: number;
  /** The arena's size: the peak in whole pages of 64 KiB. */
  readonly arenaBytes: number;
  readonly storedForBackwardBytes: number;
  readonly scheme: Required<SchemeOptions>;
  /** How what the backward pass reads is kept. */
  readonly savings: Savings;
  readonly classes: number;
  readonly labelSmoothing: number;
  readonly optimizer: OptimizerName;
  readonly batch: number;
  readonly microBatch: number;
  readonly threads: number;
  /** What multiplies matrices. */
  readonly products: ProductsName;
  /** Whether `totalBytes` counts two batches of features that are kept between epochs. */
  readonly cachesFeatures: boolean;
  readonly prefix: { readonly cut: string; readonly nodes: number; readonly batch: number };
  readonly trainableParameters: number;
  readonly bytes: PlannedBytes;
  readonly blocks: readonly PlannedBlock[];
  /** Of one training step over the whole batch; the prefix counts as forward. */
  readonly flops: { readonly forward: number; readonly backward: number };
  /** Predicted time of one training step over the whole batch; null where the device's rates are not known. */
  readonly time: PredictedTime | null;
  readonly values: {
    readonly cut: string;
    readonly logits: string;
    /** Null where the plan has no loss (TrainingGraph). */
    readonly labels: string | null;
    readonly loss: string | null;
    readonly seed: string;
    readonly local: readonly LocalSeed[];
  };
  readonly spans: readonly ParameterSpan[];
  readonly buffers: readonly PlannedBuffer[];
  readonly steps: readonly PlannedStep[];
}

/** A prediction from a roofline of two rates, not a measurement. Seconds. */
export interface PredictedTime {
  readonly prefixSeconds: number;
  readonly forwardSeconds: number;
  readonly backwardSeconds: number;
  /** The three together. */
  readonly stepSeconds: number;
  /** Where the rates come from. */
  readonly basis: string;
}

/** A device's rates for the roofline. */
export interface Rates {
  /** float32 operations a second that matrix products reach on all threads. */
  readonly flopsPerSecond: number;
  /** Bytes read plus bytes written a second by passes over memory. */
  readonly bytesPerSecond: number;
  /** How they are known, for reports: `calibrated on the device`, or which peaks were multiplied by which share. */
  readonly basis: string;
}

/**
 * What multiplies matrices. `onnxruntime` also runs the frozen part, as one session; with `simd` that library is never loaded, the
 * cut is the image, and everything runs on the arena.
 */
export const productsNames = ['onnxruntime', 'simd'] as const;
export type ProductsName = (typeof productsNames)[number];

export const optimizerNames = ['sgd', 'adam', 'adamw'] as const;
export type OptimizerName = (typeof optimizerNames)[number];

/** States an optimizer keeps for each parameter. SGD always has its momentum buffer. */
export const optimizerStates: Readonly<Record<OptimizerName, number>> = { sgd: 1, adam: 2, adamw: 2 };

export const gradientBuffer = (parameter: string): string => `gradient ${parameter}`;
export const stateBuffer = (parameter: string, state: number): string => `state ${state} ${parameter}`;

/** WebAssembly memory comes in pages of this many bytes. */
export const PAGE_BYTES = 65536;

/** What the process holds at most while it trains: the export at the end can wait for better times. */
export function runBytes({ totalBytes, bytes }: Pick<Plan, 'totalBytes' | 'bytes'>): number {
  return totalBytes - bytes.export;
}
