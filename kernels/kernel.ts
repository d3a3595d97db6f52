/**
 * @file The contract of a kernel: what an op means, what it costs and what it keeps. One file per op implements it.
 *
 * Everything here is pure. `forward` and `backward` are the definition of the op in plain float64 loops: the reference
 * engine runs them and the tests hold every fast engine to them. Shapes are of one image; arrays hold `batch` images.
 */
import type { Attributes, Node, Shape } from '../runtime/graph/graph.ts';

/** Which gradients somebody wants of a node; rules build nothing else. */
export interface Wants {
  /** One entry per activation input. */
  readonly inputs: readonly boolean[];
  /** Roles of the parameters that train. */
  readonly parameters: ReadonlySet<string>;
}

/**
 * What must outlive the forward pass for the backward pass to run.
 * `input` and `output` keep a float tensor that exists anyway; `own` is a buffer of its own, such as a packed mask.
 */
export type Save =
  | { readonly kind: 'input'; readonly index: number }
  | { readonly kind: 'output' }
  | {
      readonly kind: 'own';
      readonly name: string;
      readonly bytesPerImage: number;
      /** Values of one image in the reference engine's unpacked array. */
      readonly elementsPerImage: number;
    };

/** Shapes a kernel needs to know to price itself. */
export interface NodeShapes {
  readonly inputs: readonly Shape[];
  readonly output: Shape;
  readonly parameters: Readonly<Record<string, Shape>>;
}

/** Scratch bytes of a step: a number, or so many for each image of the micro-batch but never more than the most of use. */
export type Workspace = number | { readonly bytesPerImage: number; readonly mostBytes: number };

/** Bytes of a workspace for so many images. */
export function workspaceBytes(workspace: Workspace, images: number): number {
  return typeof workspace === 'number' ? workspace : Math.min(images * workspace.bytesPerImage, workspace.mostBytes);
}

/**
 * `training`: the forward pass of a step; `again`: the same once more, recomputed for the backward pass; `inference`:
 * prediction. Only ops with batch statistics tell them apart.
 */
export type ForwardMode = 'training' | 'again' | 'inference';

/** Float64 operands of the reference forward. `saved` holds a float64 array for every `own` save. */
export interface ForwardOperands<A extends Attributes = Attributes> {
  readonly batch: number;
  readonly attributes: A;
  readonly shapes: NodeShapes;
  readonly inputs: readonly Float64Array[];
  /** Constants, but for running statistics while `mode` is `training`. */
  readonly parameters: Readonly<Record<string, Float64Array>>;
  readonly mode: ForwardMode;
  /** Written. */
  readonly output: Float64Array;
  /** Written; a mask element is 0 or 1 here, whatever its packing elsewhere. Empty when nothing is kept. */
  readonly saved: Readonly<Record<string, Float64Array>>;
}

/** Float64 operands of the reference backward: `=` into `dInputs`, `+=` into `dParameters`. */
export interface BackwardOperands<A extends Attributes = Attributes> {
  readonly batch: number;
  readonly attributes: A;
  readonly shapes: NodeShapes;
  readonly dOutput: Float64Array;
  /** Forward inputs; present at the indices the rule declared in `saves`. */
  readonly inputs: readonly (Float64Array | undefined)[];
  readonly output: Float64Array | undefined;
  readonly saved: Readonly<Record<string, Float64Array>>;
  readonly parameters: Readonly<Record<string, Float64Array>>;
  /** Null where the gradient is not wanted. */
  readonly dInputs: readonly (Float64Array | null)[];
  /** Only wanted roles are present. */
  readonly dParameters: Readonly<Record<string, Float64Array>>;
}

/** A differentiable op's rule. */
export interface BackwardRule<A extends Attributes = Attributes> {
  /** What it keeps, given what is wanted. Parameters are never listed: they are there anyway. */
  saves(node: Node<A>, shapes: NodeShapes, wants: Wants): readonly Save[];
  /** Indices of inputs whose gradient *is* the output's gradient: nothing is computed, the buffer is shared. */
  readonly passThrough?: readonly number[];
  /** True if the gradient of input 0 may overwrite that of the output. */
  readonly inPlace?: boolean;
  apply(operands: BackwardOperands<A>): void;
}

/** One deterministic example for the gradient tests; arrays are drawn by the test from the shapes. */
export interface KernelSample<A extends Attributes = Attributes> {
  readonly title: string;
  readonly attributes: A;
  readonly inputs: readonly Shape[];
  readonly parameters: Readonly<Record<string, Shape>>;
  /** Parameters that must stay positive, such as a variance. */
  readonly positive?: readonly string[];
}

/** An op: shape rule, cost, forward, backward and samples, in this order in its file. */
export interface Kernel<A extends Attributes = Attributes> {
  readonly op: string;
  /** Roles that can be trained. Other roles (statistics) are constants. */
  readonly trainable: readonly string[];
  /** Indices of inputs that count as constants: no gradient ever flows to them. */
  readonly constants?: readonly number[];
  /** Roles that training moves without a gradient: running statistics. */
  readonly running?: readonly string[];
  /** Output shape; throws `ShapeError`. */
  shape(node: Node<A>, inputs: readonly Shape[], parameters: Readonly<Record<string, Shape>>): Shape;
  /** Floating-point operations of the forward pass for one image, a multiply-add counted as two. */
  flops(shapes: NodeShapes, attributes: A): number;
  /**
   * Those of the backward pass; absent: the forward count for each gradient that is wanted, which is exact for products
   * (dx and dw cost as much as y).
   */
  backwardFlops?(shapes: NodeShapes, attributes: A, wants: Wants): number;
  /** True if the output may take the memory of input 0 when nobody else needs that. */
  readonly inPlace?: boolean;
  /** Scratch memory of one step; kernels that want more for a batch work in chunks. */
  workspace?(shapes: NodeShapes, attributes: A, pass: 'forward' | 'backward', wants: Wants): Workspace;
  /**
   * Ways to keep what its backward needs, the exact one first, as values of the attribute `save`; absent: there is one.
   * They change no output.
   */
  alternatives?(attributes: A): readonly string[];
  forward(operands: ForwardOperands<A>): void;
  /** The rule, or the reason why there is none. */
  readonly backward: BackwardRule<A> | { readonly none: string };
  readonly samples: readonly KernelSample<A>[];
}
