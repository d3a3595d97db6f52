/** @file Who makes and who reads each tensor of a file, and the refusal of files where that is not clear. */
import { ModelError } from '../../runtime/errors.ts';
import { outerReads } from './onnx-node.ts';
import type { GraphProto, NodeProto } from './proto.ts';

export class FileIndex {
  readonly #producers = new Map<string, NodeProto>();
  readonly #readers = new Map<string, NodeProto[]>();
  readonly #outputs: ReadonlySet<string>;

  /** @throws ModelError if two things have one name, or a node reads what nothing makes */
  constructor(path: string, graph: GraphProto) {
    this.#outputs = new Set(graph.output.map(({ name }) => name));
    const origins = new Map<string, string>();
    const declare = (name: string, what: string): void => {
      if (name === '') return;
      const other = origins.get(name);
      if (other !== undefined) throw duplicate(path, name, other, what);
      origins.set(name, what);
    };
    for (const { name } of graph.initializer) declare(name, 'an initializer');
    for (const { values } of graph.sparseInitializer) declare(values?.name ?? '', 'a sparse initializer');
    // Before IR version 4 initializers are listed as inputs too.
    for (const { name } of graph.input) if (!origins.has(name)) declare(name, 'an input');
    for (const node of graph.node) {
      for (const output of node.output) {
        declare(output, `an output of ${label(node)}`);
        this.#producers.set(output, node);
      }
    }
    for (const node of graph.node) {
      for (const input of new Set([...node.input, ...outerReads(node)])) {
        const list = this.#readers.get(input) ?? [];
        list.push(node);
        this.#readers.set(input, list);
      }
      const missing = node.input.findIndex((input) => input !== '' && !origins.has(input));
      if (missing >= 0) throw dangling(path, node, missing);
    }
  }

  producer(tensor: string): NodeProto | undefined {
    return this.#producers.get(tensor);
  }

  readers(tensor: string): readonly NodeProto[] {
    return this.#readers.get(tensor) ?? [];
  }

  /** True if the tensor is one of the file's outputs. */
  isOutput(tensor: string): boolean {
    return this.#outputs.has(tensor);
  }

  /** True if nobody but `nodes` sees the tensor. */
  isInside(tensor: string, nodes: ReadonlySet<NodeProto>): boolean {
    return !this.#outputs.has(tensor) && this.readers(tensor).every((reader) => nodes.has(reader));
  }
}

const label = ({ opType, name, output }: NodeProto): string => `${opType} "${name !== '' ? name : output[0]}"`;

function duplicate(path: string, name: string, first: string, second: string): ModelError {
  const both = first === second ? `${first} twice` : `${first} and ${second}`;
  return new ModelError(
    `model "${path}": the name "${name}" stands for ${both}: expected every tensor to have a name of its own\n` +
      'Hint: export the model again; tools that merge or edit models often leave such names',
    { path, tensor: name },
  );
}

const NORM_ROLES = ['input', 'scale', 'shift', 'mean', 'variance'];

function dangling(path: string, node: NodeProto, index: number): ModelError {
  const role = node.opType === 'BatchNormalization' ? NORM_ROLES[index] : undefined;
  const what = role ? `its ${role}` : `input ${index}`;
  return new ModelError(
    `model "${path}": ${label(node)}: ${what} is "${node.input[index]}", which the file does not hold\n` +
      'Hint: export the model again, with all its weights and statistics inside or beside it',
    { path, node: node.name, tensor: node.input[index] },
  );
}
