/** @file One ONNX node with its attributes by type and default. */
import type { AttributeProto, NodeProto, TensorProto } from './proto.ts';

export class OnnxNode {
  readonly op: string;
  readonly domain: string;
  /** The node's own name, or one made from its op and first output. */
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly output: string;
  readonly #attributes: ReadonlyMap<string, AttributeProto>;

  constructor(proto: NodeProto, resolve: (tensor: string) => string) {
    this.op = proto.opType;
    this.domain = proto.domain === 'ai.onnx' ? '' : proto.domain;
    this.outputs = proto.output.filter((name) => name !== '');
    this.output = this.outputs[0] ?? '';
    this.name = proto.name !== '' ? proto.name : `${proto.opType}_${this.output}`;
    this.inputs = proto.input.map(resolve);
    this.#attributes = new Map(proto.attribute.map((attribute) => [attribute.name, attribute]));
  }

  integer(name: string, fallback: number): number {
    const attribute = this.#attributes.get(name);
    return attribute ? Number(attribute.i) : fallback;
  }

  float(name: string, fallback: number): number {
    return this.#attributes.get(name)?.f ?? fallback;
  }

  integers(name: string, fallback: number[]): number[] {
    const attribute = this.#attributes.get(name);
    return attribute ? attribute.ints.map(Number) : fallback;
  }

  text(name: string, fallback: string): string {
    const attribute = this.#attributes.get(name);
    return attribute ? new TextDecoder().decode(attribute.s) : fallback;
  }

  tensor(name: string): TensorProto | undefined {
    return this.#attributes.get(name)?.t;
  }
}
