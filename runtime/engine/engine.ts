/**
 * @file The narrow interface between training and whatever executes a Plan. Every engine runs the same Plan; nothing
 * outside runtime/engine knows how.
 */
import type { ProductModels } from '../../models/onnx/products.ts';
import type { WholeNetwork } from '../../models/onnx/whole.ts';
import type { Plan } from '../plan/plan.ts';
import type { InputSlots } from './input-slots.ts';

/** How pixels become the network's input: value = pixel * scale + bias, per channel, pixel 0 to 255. */
export interface Preprocessing {
  readonly scale: readonly number[];
  readonly bias: readonly number[];
}

/** Up to `plan.batch` images (u8, RGB, channels-last), or their features at the cut. */
export interface EngineInput {
  readonly count: number;
  readonly images?: Uint8Array;
  readonly features?: Float32Array;
}

/** Learning rates by group and the rest of what an optimizer's step needs. */
export interface Update {
  readonly learningRate: Readonly<Record<'head' | 'weights' | 'norms', number>>;
  /** SGD's momentum. */
  readonly momentum: number;
  readonly weightDecay: number;
  /** Number of this step, from 1: Adam's bias correction. */
  readonly step: number;
}

export interface StepResult {
  /** Mean loss of the batch. */
  readonly loss: number;
  /** Images classified rightly before the update. */
  readonly correct: number;
  readonly prefixMillis: number;
  readonly suffixMillis: number;
}

export interface EngineStatistics {
  readonly arenaBytes: number;
  /** Highest byte any step has touched. */
  readonly highWaterBytes: number;
  /** Where the time went since the engine was made. */
  readonly millis: EngineMillis;
}

/** Milliseconds by stage. */
export interface EngineMillis {
  /** Pixels to features, or features into the arena. */
  readonly prefix: number;
  /** Of the plan's steps, in their order. */
  readonly steps: readonly number[];
  /** Clearing the gradients and updating the parameters. */
  readonly optimizer: number;
}

/** Kinds of forward passes (`Engine.forward`). */
export type ForwardPass = 'inference' | 'training' | 'held';

/** What every engine needs besides the plan. */
export interface EngineModel {
  /** Values of every parameter the plan's suffix reads, by name. */
  readonly parameters: ReadonlyMap<string, Float32Array>;
  /** ONNX bytes of the frozen prefix; null where the plan has none, as without onnxruntime. */
  readonly prefix: Uint8Array | null;
  /** Folder of the file that the prefix's weights are read from; absent: the prefix holds them. */
  readonly prefixFolder?: string;
  /** What onnxruntime multiplies with; unused where the plan's products are SIMD kernels. */
  readonly products: ProductModels;
  readonly preprocessing: Preprocessing;
  /** For `Engine.fuse`; default none. */
  readonly whole?: WholeNetwork;
}

export interface Engine extends AsyncDisposable {
  readonly plan: Plan;
  /**
   * Where an engine in another thread reads inputs without a copy. A slot may be filled while the engine works on the other;
   * any other array goes through the first one, which nobody may be filling then. Absent where every array is read in place.
   */
  readonly inputs?: InputSlots;
  /** Values of a pinned buffer: a parameter, its gradient or an optimizer state. */
  read(buffer: string): Promise<Float32Array>;
  write(buffer: string, values: Float32Array): Promise<void>;
  /** Features at the cut, for the cache; written to `into` if it is given, such as the room beside the images in their slot. */
  features(images: Uint8Array, count: number, into?: Float32Array): Promise<Float32Array>;
  /**
   * Logits, `count` rows. With `inference` (default) nothing is changed. With `training` norms follow their statistics as in a
   * step, running ones move, and what `backward` needs is kept; at most a micro-batch then. `held` is `training` with running
   * statistics that stay where they are.
   */
  forward(input: EngineInput, mode?: ForwardPass): Promise<Float32Array>;
  /**
   * Adds to the gradients what follows from the gradient of the last training forward's logits, as many rows as that had. Only
   * of a plan whose objective is `logits`.
   * @param dLocal gradient of every image's local losses (TrainingGraph); default 0
   */
  backward(dLogits: Float32Array, dLocal?: number): Promise<void>;
  /** One optimizer step along the gradients, which are zero afterwards. */
  update(update: Update): Promise<void>;
  /** Mean gradients of a batch, left in the gradient buffers; nothing is updated but running statistics. */
  gradients(input: EngineInput, labels: Int32Array): Promise<StepResult>;
  /**
   * One training step: forward, backward, update. The gradients are gone afterwards.
   * @throws ExecutionError if the loss is not finite; the parameters are then as they were
   */
  step(input: EngineInput, labels: Int32Array, update: Update): Promise<StepResult>;
  statistics(): Promise<EngineStatistics>;
  /**
   * Lets predictions (`forward` in mode `inference`) go through one fused session of the whole network, wherever its values are
   * what they are now, or ends that. Absent where the engine has no such thing.
   */
  fuse?(wanted: boolean): Promise<void>;
  /** Whether the next prediction goes through it. */
  readonly fused?: boolean;
}
