/** @file What a method of test-time adaptation is: what must be planned for it, and what it does with the frames. */
import type { Graph } from '../graph/graph.ts';
import type { OptimizerName } from '../plan/plan.ts';
import type { Savings } from '../plan/savings.ts';
import type { SchemeOptions } from '../scheme/options.ts';
import type { LateLabel, Outcome } from './adapter.ts';
import type { GuardName } from './guards/names.ts';
import type { Learner } from './learner.ts';

/** What a method is told; every number has the method's own default (`Method.defaults`). */
export interface MethodSettings {
  /** Frames of one call at most. */
  readonly batch: number;
  readonly seed: number;
  /** The method's own numbers, such as `learningRate`; their names are its `defaults`' keys. */
  readonly numbers: Readonly<Record<string, number>>;
  /** Those that are on; methods of the literature have none. */
  readonly guards: ReadonlySet<GuardName>;
}

/** What must be planned. */
export interface MethodPlan {
  /** With meta networks and the like added; default: the model's own. */
  readonly graph?: Graph;
  readonly scheme: SchemeOptions;
  readonly optimizer: OptimizerName;
  /** Runs of nodes whose insides are computed again instead of kept; default none. */
  readonly computedAgain?: readonly (readonly string[])[];
  /** How tensors that the backward pass reads are kept (Savings); default `float`. */
  readonly tensors?: Savings['tensors'];
  /** Whether predictions are to be faster while nothing changes (`Learner.fuse`), at the cost of another copy of the model; default false. */
  readonly fuses?: boolean;
  /** Frames of one pass. */
  readonly microBatch: number;
}

/** Sizes that decide what a method keeps outside of the arena, in bytes but for the classes. */
export interface StateSizes {
  /** What trains. */
  readonly trained: number;
  /** What trains, and running statistics. */
  readonly changing: number;
  /** One frame, u8. */
  readonly frame: number;
  /** Their number. */
  readonly classes: number;
}

/** A method at work on one model. */
export interface Running {
  /** Predicts the frames in their order and adapts to them. */
  observe(images: Uint8Array, count: number): Promise<Outcome>;
  /** Learns from frames whose labels have arrived; absent: the method has no use for them. */
  teach?(labelled: readonly LateLabel[]): Promise<void>;
  /** Forgets everything; the learner has been taken back to the deployed model. */
  reset(): void;
  /** What it remembers besides the model, to be continued elsewhere. */
  save(): Readonly<Record<string, Float32Array>>;
  load(state: Readonly<Record<string, Float32Array>>): void;
}

export interface Method {
  /** Its numbers with their defaults; what each means stands in the method's file. */
  readonly defaults: Readonly<Record<string, number>>;
  plan(graph: Graph, settings: MethodSettings): MethodPlan;
  /** Bytes kept outside of the arena besides one copy of what changes, for the way back. */
  stateBytes(sizes: StateSizes, settings: MethodSettings): number;
  start(learner: Learner, settings: MethodSettings): Running | Promise<Running>;
  /** What images of the source give, such as an anchor's weights, as part of the state; absent: the method takes none. */
  fromSource?(learner: Learner, images: Uint8Array, count: number): Promise<Readonly<Record<string, Float32Array>>>;
}
