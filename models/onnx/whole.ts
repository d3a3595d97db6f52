/** @file The whole network as one ONNX model, written again whenever values in it have changed. */
import { learntTensor } from '../../runtime/delta/delta.ts';
import { type Graph, parameterOf } from '../../runtime/graph/graph.ts';
import { outside } from './external-data.ts';
import type { ModelFile } from './model-file.ts';
import { cutOut } from './prefix.ts';
import { makeTensor, type TensorProto } from './proto.ts';

export interface WholeNetwork {
  /** Parameters of the graph whose values may change. */
  readonly changing: readonly string[];
  /**
   * ONNX bytes from the image to the logits, to be opened beside the model file, which holds what does not change.
   * @param read values of a changing parameter, in graph layout
   */
  encode(read: (parameter: string) => Float32Array): Promise<Uint8Array>;
}

/** Holds nothing of the file but its nodes and small tensors. Null where the file lacks a changing tensor, as of a meta network. */
export function wholeNetwork(file: ModelFile, graph: Graph, changing: readonly string[]): WholeNetwork | null {
  const { initializer, encode } = cutOut(file, graph, graph.output);
  const own = new Map<string, TensorProto>(initializer.map((tensor) => [tensor.name, tensor]));
  const learnt = changing.map((name) => {
    const { origin } = parameterOf(graph, name);
    return { name, origin };
  });
  if (learnt.some(({ origin }) => !own.has(origin.tensor ?? ''))) return null;
  const replaced = new Set(learnt.map(({ origin }) => origin.tensor));
  const kept = initializer.filter(({ name }) => !replaced.has(name)).map(apart);
  return {
    changing,
    encode: async (read) => {
      const values = learnt.map(async (parameter) => {
        const tensor = learntTensor(parameter, async (name) => read(name));
        return makeTensor(tensor.name, tensor.shape, await tensor.read());
      });
      return encode([...kept, ...(await Promise.all(values))]);
    },
  };
}

/** The tensor outside of the file's bytes in memory, which could not be freed else. */
function apart(tensor: TensorProto): TensorProto {
  const referring = outside(tensor);
  return { ...referring, rawData: referring.rawData.slice() };
}
