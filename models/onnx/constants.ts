/**
 * @file The constants of a file: initializers, Constant nodes, and what shape-only ops make of them. A constant that was
 * transposed or reshaped is a view, so that what is learnt goes back to the tensor the file holds.
 */
import { toGraphLayout } from '../../runtime/graph/axes.ts';
import type { Origin } from '../../runtime/graph/graph.ts';
import { OnnxNode } from './onnx-node.ts';
import { DataType, type GraphProto, makeInt64Tensor, makeTensor, type TensorProto, tensorDims } from './proto.ts';
import { floatData, integerData, isFloat, isFloatType, isInteger } from './tensor-data.ts';

/** A constant tensor, seen through the shape ops that lie on it. */
export interface Constant {
  readonly tensor: TensorProto;
  /** Where the file holds it: an initializer's name or a Constant node's output. */
  readonly name: string;
  readonly dims: readonly number[];
  /** File axis of each axis; null where a shape op put in an axis of extent 1. */
  readonly axes: readonly (number | null)[];
}

export class Constants {
  readonly #all = new Map<string, Constant>();

  constructor(graph: GraphProto) {
    for (const tensor of graph.initializer) this.#add(tensor.name, tensor);
    for (const proto of graph.node) {
      const node = new OnnxNode(proto);
      if (node.op === 'Constant' && node.domain === '') {
        const tensor = constantOf(node);
        if (tensor) this.#add(node.output, tensor);
      } else {
        const view = this.#view(node);
        if (view) this.#all.set(node.output, view);
      }
    }
  }

  has(name: string): boolean {
    return this.#all.has(name);
  }

  get(name: string): Constant | undefined {
    return this.#all.get(name);
  }

  floats(name: string): Float32Array | undefined {
    const constant = this.#all.get(name);
    if (!constant || !isFloat(constant.tensor)) return undefined;
    const origin = originOf(
      constant,
      constant.dims.map((_, axis) => axis),
    );
    return toGraphLayout(floatData(constant.tensor), origin);
  }

  integers(name: string): number[] | undefined {
    const constant = this.#all.get(name);
    return constant && isInteger(constant.tensor) ? integerData(constant.tensor) : undefined;
  }

  /** The value of a constant of one element. */
  scalar(name: string): number | undefined {
    const constant = this.#all.get(name);
    if (constant?.dims.some((extent) => extent !== 1)) return undefined;
    return (this.floats(name) ?? this.integers(name))?.[0];
  }

  /** True for a constant whose every value is the boolean `false`. */
  isFalse(name: string): boolean {
    const tensor = this.#all.get(name)?.tensor;
    return tensor?.dataType === DataType.BOOL && [...tensor.rawData, ...tensor.int32Data].every((value) => value === 0);
  }

  #add(name: string, tensor: TensorProto): void {
    const dims = tensorDims(tensor);
    this.#all.set(name, { tensor, name, dims, axes: dims.map((_, axis) => axis) });
  }

  #view(node: OnnxNode): Constant | undefined {
    const [input = ''] = node.inputs;
    const base = this.#all.get(input);
    if (!base || node.domain !== '') return undefined;
    const { dims } = base;
    switch (node.op) {
      case 'Identity':
        return base;
      case 'Cast': {
        const to = node.integer('to', 0);
        if (isFloat(base.tensor)) return isFloatType(to) ? base : undefined;
        const value = this.scalar(input);
        if (value === undefined) return undefined;
        const tensor = isFloatType(to)
          ? makeTensor(node.output, dims, Float32Array.of(value))
          : makeInt64Tensor(node.output, dims, [value]);
        return { ...base, tensor };
      }
      case 'Transpose': {
        const order = node.integers('perm', dims.map((_, axis) => axis).reverse());
        return {
          ...base,
          dims: order.map((axis) => dims[axis] ?? 1),
          axes: order.map((axis) => base.axes[axis] ?? null),
        };
      }
      case 'Reshape':
      case 'Squeeze':
      case 'Unsqueeze':
        return isFloat(base.tensor) ? reshaped(base, this.#targetOf(node, dims)) : undefined;
      default:
        return undefined;
    }
  }

  #targetOf(node: OnnxNode, dims: readonly number[]): readonly number[] | undefined {
    const [, input = ''] = node.inputs;
    const second = this.integers(input);
    if (input !== '' && !second) return undefined;
    if (node.op === 'Reshape') {
      const target = second ?? (node.has('shape') ? node.integers('shape', []) : undefined);
      const count = dims.reduce((product, extent) => product * extent, 1);
      const fixed = target?.reduce((product, extent, i) => product * (extent > 0 ? extent : (dims[i] ?? 1)), 1) ?? 1;
      return target?.map((extent, i) => {
        if (extent === 0) return dims[i] ?? 1;
        return extent > 0 ? extent : count / (fixed / (dims[i] ?? 1));
      });
    }
    const axes = second ?? node.integers('axes', []);
    if (node.op === 'Squeeze') {
      const dropped = axes.map((axis) => (axis < 0 ? axis + dims.length : axis));
      return dims.filter((extent, axis) => extent !== 1 || (axes.length > 0 && !dropped.includes(axis)));
    }
    const rank = dims.length + axes.length;
    const added = new Set(axes.map((axis) => (axis < 0 ? axis + rank : axis)));
    const rest = [...dims];
    return Array.from({ length: rank }, (_, axis) => (added.has(axis) ? 1 : (rest.shift() ?? 1)));
  }
}

/** The same constant with other axes of extent 1; undefined if anything else changes. */
function reshaped(base: Constant, target: readonly number[] | undefined): Constant | undefined {
  const real = base.dims.flatMap((extent, axis) => (extent === 1 ? [] : [{ extent, axis: base.axes[axis] ?? null }]));
  const kept = target?.filter((extent) => extent !== 1);
  if (!target || String(kept) !== String(real.map(({ extent }) => extent))) return undefined;
  const axes = target.map((extent) => (extent === 1 ? null : (real.shift()?.axis ?? null)));
  return { ...base, dims: target, axes };
}

/** How a constant whose axes are taken in `order` lies in the file's tensor. */
export function originOf(constant: Constant, order: readonly number[]): Origin {
  const shape = tensorDims(constant.tensor);
  const taken = order.map((axis) => constant.axes[axis] ?? null).filter((axis) => axis !== null);
  // Axes that a view has dropped are of extent 1 and may stand anywhere.
  const dropped = shape.map((_, axis) => axis).filter((axis) => !taken.includes(axis));
  return { tensor: constant.name, shape, permutation: [...taken, ...dropped] };
}

/** The tensor of a Constant node, in whichever attribute it stands. */
function constantOf(node: OnnxNode): TensorProto | undefined {
  const tensor = node.tensor('value');
  if (tensor) return tensor;
  if (node.has('value_float')) return makeTensor(node.output, [], Float32Array.of(node.float('value_float', 0)));
  if (node.has('value_int')) return makeInt64Tensor(node.output, [], [node.integer('value_int', 0)]);
  const floats = node.floats('value_floats');
  if (floats) return makeTensor(node.output, [floats.length], Float32Array.from(floats));
  const integers = node.integers('value_ints', []);
  return node.has('value_ints') ? makeInt64Tensor(node.output, [integers.length], integers) : undefined;
}
