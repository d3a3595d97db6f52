/** @file The training graph: steps over named values, what autodiff gives and the planner lays out. */
import type { NodeShapes, Workspace } from '../../kernels/kernel.ts';
import type { Graph, Node, Shape } from '../graph/graph.ts';

/** A tensor of one image that some step writes and others read. */
export interface Value {
  readonly name: string;
  readonly bytesPerImage: number;
  readonly kind: 'activation' | 'gradient' | 'saved';
  /** Node whose backward needs it, if it must outlive the forward pass. */
  readonly savedBy?: string;
}

/**
 * - `forward`: the op; in a training step it also writes what it keeps.
 * - `compress`, `restore`: a kept tensor to 8-bit codes after its making, and back before a backward pass reads it.
 * - `recompute`: a forward step done again, because what it made was not kept.
 * - `backward`: the op's gradients. `accumulate`: the sum of gradients that flow into one tensor.
 */
export type Pass = 'forward' | 'compress' | 'recompute' | 'restore' | 'backward' | 'accumulate';

/** One thing to execute. Operands are value names; parameters are parameter names. */
export interface TrainingStep {
  readonly pass: Pass;
  readonly op: string;
  readonly node: string;
  readonly attributes: Node['attributes'];
  readonly shapes: NodeShapes;
  /** Forward: what it reads. Backward: the saved inputs, null where not needed. */
  readonly inputs: readonly (string | null)[];
  /** What it writes; in a backward pass the saved output, or null. */
  readonly output: string | null;
  readonly parameters: Readonly<Record<string, string>>;
  readonly saved: Readonly<Record<string, string>>;
  /** Values of one image in each of `saved`, unpacked. */
  readonly savedElements: Readonly<Record<string, number>>;
  readonly dOutput: string | null;
  readonly dInputs: readonly (string | null)[];
  /** Role -> parameter whose gradient is added to. */
  readonly dParameters: Readonly<Record<string, string>>;
  /** Operand pairs that may share memory if the first dies here. */
  readonly inPlace: { readonly from: string; readonly to: string } | null;
  readonly workspace: Workspace;
  readonly flops: number;
  /** Neighbouring steps with this mark run together, a few images at a time (slices.ts). */
  readonly sliced?: true;
}

export interface TrainingGraph {
  readonly graph: Graph;
  /** The one tensor that crosses the border from the frozen prefix; the image if there is no prefix. */
  readonly cut: string;
  /** Nodes below and above the cut. */
  readonly prefix: readonly Node[];
  readonly suffix: readonly Node[];
  readonly values: ReadonlyMap<string, Value>;
  /** Forward steps, then backward steps. */
  readonly steps: readonly TrainingStep[];
  readonly logits: string;
  /** Null where the loss is not part of the graph. */
  readonly labels: string | null;
  readonly loss: string | null;
  /** The cotangent that is filled in: dLoss of each image, 1 / batch for a mean; without a loss, that of the logits. */
  readonly seed: string;
  /** Local losses (graph.ts), whose gradients are filled in like `seed`; none where the loss is part of the graph. */
  readonly local: readonly LocalSeed[];
}

/** A local loss of each image and its cotangent. */
export interface LocalSeed {
  readonly loss: string;
  readonly seed: string;
}

/** A step with nothing in it, to be filled in: on one tensor of a shape, without parameters. */
export function emptyStep(pass: Pass, op: string, node: string, shape: Shape): TrainingStep {
  return {
    pass,
    op,
    node,
    attributes: {},
    shapes: { inputs: [shape], output: shape, parameters: {} },
    inputs: [],
    output: null,
    parameters: {},
    saved: {},
    savedElements: {},
    dOutput: null,
    dInputs: [],
    dParameters: {},
    inPlace: null,
    workspace: 0,
    flops: 0,
  };
}

export const gradientName = (tensor: string): string => `d ${tensor}`;

/** Bytes of one image's 8-bit codes: a byte a value in whole words, and a range for each 16 channels. */
export function codedBytes(shape: readonly number[]): number {
  const count = shape.reduce((product, extent) => product * extent, 1);
  return Math.ceil(count / 4) * 4 + 8 * Math.ceil((shape.at(-1) ?? 1) / CODE_GROUP);
}

/** Channels that share one range (kernels/simd/assembly/quantize.ts). */
export const CODE_GROUP = 16;
