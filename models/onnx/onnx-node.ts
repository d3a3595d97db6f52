/** @file One ONNX node with its attributes by type and default. */
import type { AttributeProto, NodeProto, TensorProto } from './proto.ts';

export class OnnxNode {
  readonly op: string;
  readonly domain: string;
  /** The node's own name, or one made from its op and first output. */
  readonly name: string;
  readonly inputs: readonly string[];
  /** Tensors that the bodies of If, Loop and Scan read from outside. */
  readonly captured: readonly string[];
  /** As the file lists them; '' where an optional one is left out. */
  readonly slots: readonly string[];
  readonly outputs: readonly string[];
  readonly output: string;
  readonly #attributes: ReadonlyMap<string, AttributeProto>;

  constructor(proto: NodeProto) {
    this.op = proto.opType;
    this.domain = proto.domain === 'ai.onnx' ? '' : proto.domain;
    this.slots = proto.output;
    this.outputs = proto.output.filter((name) => name !== '');
    this.output = this.outputs[0] ?? '';
    this.name = proto.name !== '' ? proto.name : `${proto.opType}_${this.output}`;
    this.inputs = proto.input;
    this.captured = outerReads(proto);
    this.#attributes = new Map(proto.attribute.map((attribute) => [attribute.name, attribute]));
  }

  has(name: string): boolean {
    return this.#attributes.has(name);
  }

  integer(name: string, fallback: number): number {
    const attribute = this.#attributes.get(name);
    return attribute ? Number(attribute.i) : fallback;
  }

  float(name: string, fallback: number): number {
    return this.#attributes.get(name)?.f ?? fallback;
  }

  integers(name: string, fallback: readonly number[]): readonly number[] {
    const attribute = this.#attributes.get(name);
    return attribute ? attribute.ints.map(Number) : fallback;
  }

  floats(name: string): readonly number[] | undefined {
    return this.#attributes.get(name)?.floats;
  }

  text(name: string, fallback: string): string {
    const attribute = this.#attributes.get(name);
    return attribute ? new TextDecoder().decode(attribute.s) : fallback;
  }

  tensor(name: string): TensorProto | undefined {
    return this.#attributes.get(name)?.t;
  }
}

/** Tensors that the bodies of If, Loop and Scan read; those of their own among them. */
export function outerReads(node: NodeProto): string[] {
  return node.attribute.flatMap(({ g, graphs }) =>
    [...(g ? [g] : []), ...graphs].flatMap((body) => [
      ...body.node.flatMap((inner) => [...inner.input, ...outerReads(inner)]),
      ...body.output.map(({ name }) => name),
    ]),
  );
}
