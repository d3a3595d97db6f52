/** @file What a rule may ask of the file and do to the graph while a model is read. */
import { noActivation } from '../../kernels/activation.ts';
import { kernelOf } from '../../kernels/index.ts';
import { toGraphLayout } from '../../runtime/graph/axes.ts';
import type { Attributes, Node, Parameter, Shape } from '../../runtime/graph/graph.ts';
import { type Constants, originOf } from './constants.ts';
import type { FileIndex } from './file-index.ts';
import type { OnnxNode } from './onnx-node.ts';
import { ShapeArithmetic } from './shape-arithmetic.ts';
import { checkWeights, floatData, isFloat } from './tensor-data.ts';

export class ImportContext {
  readonly shapes = new Map<string, Shape>();
  readonly parameters = new Map<string, Parameter>();
  readonly nodes: Node[] = [];
  readonly synthetic = new Set<string>();
  readonly arithmetic: ShapeArithmetic;
  readonly constants: Constants;
  readonly #index: FileIndex;
  readonly #channelsLast: ReadonlySet<string>;
  readonly #renamed = new Map<string, string>();
  readonly #padding = new Map<string, readonly number[]>();
  readonly #names = new Set<string>();

  /** @param channelsLast tensors of the file that are [N, H, W, C] */
  constructor(constants: Constants, index: FileIndex, channelsLast: ReadonlySet<string>) {
    this.constants = constants;
    this.#index = index;
    this.#channelsLast = channelsLast;
    this.arithmetic = new ShapeArithmetic(
      (name) => this.integers(name),
      (name) => this.onnxDims(name),
    );
  }

  /** Shape of an activation of one image, channels last; undefined for constants and unknown shapes. */
  shape(tensor: string): Shape | undefined {
    return this.shapes.get(this.resolve(tensor));
  }

  /** Whether the file holds the tensor with its channels last; a vector is the same in both. */
  isChannelsLast(tensor: string): boolean {
    return this.#channelsLast.has(tensor);
  }

  /** Dims of an activation as the file has them; NaN for the batch. */
  onnxDims(tensor: string): readonly number[] | undefined {
    const shape = this.shape(tensor);
    if (shape?.length !== 3 || this.isChannelsLast(tensor)) return shape && [Number.NaN, ...shape];
    const [height = 0, width = 0, channels = 0] = shape;
    return [Number.NaN, channels, height, width];
  }

  /** Axis of the channels in the file's tensor: of all but maps the last one, as in a sequence `[N, T, C]`. */
  channelAxis(tensor: string): number {
    const rank = this.shape(tensor)?.length ?? 1;
    return rank === 3 && !this.isChannelsLast(tensor) ? 1 : Math.max(1, rank);
  }

  /** Dims of a constant; undefined if the tensor is none. */
  dims(tensor: string): readonly number[] | undefined {
    return this.constants.get(tensor)?.dims;
  }

  /** Value of a constant of one element. */
  scalar(tensor: string): number | undefined {
    return this.constants.scalar(tensor);
  }

  floats(tensor: string): Float32Array | undefined {
    return this.constants.floats(tensor);
  }

  /** True for a boolean constant that is false. */
  isFalse(tensor: string): boolean {
    return this.constants.isFalse(tensor);
  }

  integers(tensor: string): number[] | undefined {
    return this.constants.integers(tensor);
  }

  /** Value of a computed shape; the batch counts as -1. */
  vector(tensor: string): readonly number[] | undefined {
    return this.arithmetic.value(tensor)?.map((value) => (Number.isNaN(value) ? -1 : value));
  }

  /** True if a constant broadcasts along the channels of an activation and along no other axis. */
  isAlongChannels(constant: string, tensor: string): boolean {
    const dims = this.dims(constant);
    const rank = 1 + (this.shape(tensor)?.length ?? 1);
    const axis = this.channelAxis(tensor);
    // Axes align at the end.
    return dims?.every((extent, i) => extent === 1 || i + rank - dims.length === axis) === true && dims.length <= rank;
  }

  /**
   * Makes a constant a parameter in graph layout.
   * @param permutation axis of the constant for each graph axis; null: it is a vector whatever axes of extent 1 it has
   * @returns its name; undefined if it is no constant of that size or another node reads it in another layout
   */
  parameter(tensor: string, permutation: readonly number[] | null, shape: Shape): string | undefined {
    const constant = this.constants.get(tensor);
    if (!constant || !isFloat(constant.tensor)) return undefined;
    const { name, dims } = constant;
    const order = permutation ?? dims.map((_, axis) => axis);
    const product = (extents: readonly number[]): number => extents.reduce((count, extent) => count * extent, 1);
    if (product(dims) !== product(shape) || order.length !== dims.length) return undefined;
    const origin = originOf(constant, order);
    const known = this.parameters.get(name);
    if (known) {
      const same =
        String(known.origin.permutation) === String(origin.permutation) && String(known.shape) === `${shape}`;
      return same ? name : undefined;
    }
    checkWeights(constant.tensor);
    // Decoded when somebody needs the values: most callers plan, print or export and never do.
    const data = (): Float32Array => toGraphLayout(floatData(constant.tensor), origin);
    this.parameters.set(name, { name, shape, origin, data });
    return name;
  }

  /** Makes values that the file does not hold as such a parameter; only for roles that never train. */
  derived(name: string, values: Float32Array): string {
    const shape = [values.length];
    const origin = { tensor: null, shape, permutation: [0] };
    this.parameters.set(name, { name, shape, origin, data: () => values });
    return name;
  }

  /** Adds a node; its output takes the ONNX node's output name. */
  emit(
    op: string,
    from: OnnxNode,
    inputs: readonly string[],
    parameters: Readonly<Record<string, string>>,
    attributes: Attributes,
    output = from.output,
    suffix = '',
  ): undefined {
    const resolved = inputs.map((input) => this.resolve(input));
    const node: Node = {
      ...{ op, inputs: resolved, parameters, output, attributes },
      name: this.unique(`${from.name}${suffix}`),
    };
    const shapes = Object.fromEntries(
      Object.entries(parameters).map(([role, name]) => [role, this.parameters.get(name)?.shape ?? []]),
    );
    const inputShapes = resolved.map((input) => this.shapes.get(input) ?? []);
    const shape = kernelOf(node)?.shape(node, inputShapes, shapes);
    if (shape) this.shapes.set(output, shape);
    this.nodes.push(node);
    return undefined;
  }

  /** A linear node and, if there is one, its bias as an Affine of its own. */
  emitWithBias(
    op: string,
    from: OnnxNode,
    inputs: readonly string[],
    parameters: Readonly<Record<string, string>>,
    bias: string | null,
    attributes: Attributes,
  ): undefined {
    if (bias === null) return this.emit(op, from, inputs, parameters, attributes);
    const product = `${from.output} before bias`;
    this.synthetic.add(product);
    this.emit(op, from, inputs, parameters, attributes, product);
    const plain = { epsilon: 0, ...noActivation };
    return this.emit('Affine', from, [product], { shift: bias }, plain, from.output, ' bias');
  }

  /** The node changes nothing: its output is another name of its input. */
  rename(node: OnnxNode, input: string): undefined {
    this.#renamed.set(node.output, this.resolve(input));
    return undefined;
  }

  /** The node only adds zeros around its input; whoever reads it takes them as pads of its own. */
  pad(node: OnnxNode, input: string, pads: readonly number[]): undefined {
    this.rename(node, input);
    this.#padding.set(node.output, pads);
    return undefined;
  }

  /** Zeros around a tensor, `[top, left, bottom, right]`, that a Pad below would add. */
  padding(tensor: string): readonly number[] {
    return this.#padding.get(tensor) ?? [0, 0, 0, 0];
  }

  /** Ops that read a tensor of the file. */
  readersOf(tensor: string): readonly string[] {
    return this.#index.readers(tensor).map(({ opType }) => opType);
  }

  /** True if a node reads the tensor or the file gives it out. */
  isRead(tensor: string): boolean {
    return this.#index.readers(tensor).length > 0 || this.#index.isOutput(tensor);
  }

  resolve(tensor: string): string {
    return this.#renamed.get(tensor) ?? tensor;
  }

  unique(name: string): string {
    let unique = name;
    for (let copy = 2; this.#names.has(unique); copy++) unique = `${name} (${copy})`;
    this.#names.add(unique);
    return unique;
  }
}
