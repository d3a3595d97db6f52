/** @file Values put into a file in memory, in whichever way it holds the tensor. */
import { elements } from '../../runtime/graph/graph.ts';
import { type AttributeProto, type GraphProto, type TensorProto, tensorDims } from './proto.ts';
import { setFloatData } from './tensor-data.ts';

export class FileValues {
  readonly #tensors: ReadonlyMap<string, TensorProto>;
  /** Constant nodes that hold their values as a list, by the tensor they make. */
  readonly #lists: ReadonlyMap<string, AttributeProto>;

  constructor({ initializer, node }: Pick<GraphProto, 'initializer' | 'node'>) {
    const constants = node.filter(({ opType }) => opType === 'Constant');
    // A Constant node's tensor is known by the node's output, whatever its own name is.
    const inNodes = constants.flatMap(({ output, attribute }) => {
      const [value] = attribute.flatMap(({ t }) => (t ? [t] : []));
      return value ? [[output[0] ?? '', value] as const] : [];
    });
    this.#tensors = new Map([...initializer.map((tensor) => [tensor.name, tensor] as const), ...inNodes]);
    this.#lists = new Map(
      constants.flatMap(({ output, attribute }) => {
        const list = attribute.find(({ name }) => name === 'value_floats');
        return list ? [[output[0] ?? '', list] as const] : [];
      }),
    );
  }

  /** Values in the file's own layout. @returns the tensor's shape where it has another number of values, null if it is not there */
  place(name: string, data: Float32Array): 'placed' | readonly number[] | null {
    const list = this.#lists.get(name);
    if (list?.floats.length === data.length) {
      list.floats = [...data];
      return 'placed';
    }
    const tensor = this.#tensors.get(name);
    if (!tensor) return null;
    const dims = tensorDims(tensor);
    if (elements(dims) !== data.length) return dims;
    setFloatData(tensor, data);
    return 'placed';
  }
}
