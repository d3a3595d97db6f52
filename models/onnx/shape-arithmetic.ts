/**
 * @file The little computations exporters write around Reshape (Shape, Gather, Unsqueeze, Concat ...), done on integers.
 *
 * The batch is unknown and stands as -1, as Reshape itself writes it.
 */
import type { Shape } from '../../runtime/graph/graph.ts';
import type { OnnxNode } from './onnx-node.ts';

export class ShapeArithmetic {
  readonly #values = new Map<string, readonly number[]>();
  readonly #constant: (tensor: string) => number[] | undefined;
  readonly #shape: (tensor: string) => Shape | undefined;

  constructor(constant: (tensor: string) => number[] | undefined, shape: (tensor: string) => Shape | undefined) {
    this.#constant = constant;
    this.#shape = shape;
  }

  /** Integers held by a tensor, constant or computed. */
  value(tensor: string): readonly number[] | undefined {
    return this.#values.get(tensor) ?? this.#constant(tensor);
  }

  /** Computes the node if it is one of these; true if it was. */
  read(node: OnnxNode): boolean {
    const result = this.#compute(node);
    if (!result) return false;
    this.#values.set(node.output, result);
    return true;
  }

  #compute(node: OnnxNode): readonly number[] | undefined {
    const [a = '', b = ''] = node.inputs;
    if (node.op === 'Shape') {
      const shape = this.#shape(a);
      if (!shape) return undefined;
      const [height, width, channels] = shape;
      return shape.length === 3 ? [-1, channels ?? 0, height ?? 0, width ?? 0] : [-1, ...shape];
    }
    const values = node.inputs.map((input) => this.value(input));
    const [first, second] = values;
    if (!first) return undefined;
    switch (node.op) {
      case 'Gather':
        return second?.map((index) => first.at(index) ?? 0);
      case 'Concat':
        return values.every((value) => value !== undefined) ? values.flat() : undefined;
      case 'Slice': {
        const start = this.value(b)?.[0] ?? node.integers('starts', [0])[0];
        const end = values[2]?.[0] ?? node.integers('ends', [first.length])[0];
        return first.slice(start, end);
      }
      case 'Mul':
        return second && first.map((value, i) => value * (second[i] ?? second[0] ?? 1));
      case 'Cast':
      case 'Identity':
      case 'Squeeze':
      case 'Unsqueeze':
        return first;
      default:
        return undefined;
    }
  }
}
