/**
 * @file The little computations exporters write around Reshape (Shape, Gather, Unsqueeze, Concat ...), done on integers.
 *
 * The batch is unknown and stands as NaN, so that whatever is computed from it is unknown too.
 */
import type { OnnxNode } from './onnx-node.ts';
import { integerData, isInteger } from './tensor-data.ts';

export class ShapeArithmetic {
  readonly #values = new Map<string, readonly number[]>();
  readonly #constant: (tensor: string) => number[] | undefined;
  readonly #dims: (tensor: string) => readonly number[] | undefined;

  /** @param dims of an activation, in the file's order */
  constructor(
    constant: (tensor: string) => number[] | undefined,
    dims: (tensor: string) => readonly number[] | undefined,
  ) {
    this.#constant = constant;
    this.#dims = dims;
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
      return this.#dims(a)?.slice(node.integer('start', 0), node.has('end') ? node.integer('end', 0) : undefined);
    }
    const values = node.inputs.map((input) => this.value(input));
    const [first, second] = values;
    if (!first) return undefined;
    const binary = binaries[node.op];
    if (binary) return second && combine(first, second, binary);
    switch (node.op) {
      case 'Gather':
        return second?.map((index) => first.at(index) ?? 0);
      case 'Concat':
        return values.every((value) => value !== undefined) ? values.flat() : undefined;
      case 'Slice': {
        const start = this.value(b)?.[0] ?? node.integers('starts', [0])[0];
        const end = values[2]?.[0] ?? node.integers('ends', [first.length])[0];
        return (values[4]?.[0] ?? 1) === 1 ? first.slice(start, end) : undefined;
      }
      case 'ConstantOfShape': {
        const value = node.tensor('value');
        if (!value || !isInteger(value) || first.some(Number.isNaN)) return undefined;
        return new Array<number>(first.reduce((count, extent) => count * extent, 1)).fill(integerData(value)[0] ?? 0);
      }
      case 'ReduceProd':
        return [first.reduce((product, value) => product * value, 1)];
      case 'Cast':
      case 'Floor':
      case 'Identity':
      case 'Squeeze':
      case 'Unsqueeze':
        return first;
      default:
        return undefined;
    }
  }
}

const binaries: Readonly<Record<string, (a: number, b: number) => number>> = {
  Add: (a, b) => a + b,
  Sub: (a, b) => a - b,
  Mul: (a, b) => a * b,
  Div: (a, b) => Math.trunc(a / b),
};

/** Element by element; a single value goes with all of the other. */
function combine(a: readonly number[], b: readonly number[], f: (a: number, b: number) => number): readonly number[] {
  const length = Math.max(a.length, b.length);
  return Array.from({ length }, (_, i) => f(a[i] ?? a[0] ?? 0, b[i] ?? b[0] ?? 0));
}
