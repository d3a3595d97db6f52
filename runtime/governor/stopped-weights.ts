/** @file Learnt values of tensors that stopped learning, in the model they are frozen in: its graph, and the file the prefix is cut from. */

import { weightTensors } from '../../models/onnx/model-file.ts';
import type { Model } from '../../models/onnx/open-model.ts';
import { type ModelProto, tensorDims } from '../../models/onnx/proto.ts';
import { setFloatData } from '../../models/onnx/tensor-data.ts';
import { readTensors } from '../delta/safetensors.ts';
import { ExecutionError } from '../errors.ts';
import { toFileLayout } from '../graph/axes.ts';
import { elements, type Graph, type Parameter } from '../graph/graph.ts';

/**
 * The graph with values of a checkpoint in the place of the named parameters'. `model.file` is changed in memory.
 * @throws DeltaError if the checkpoint cannot be read, ExecutionError if it lacks one of them
 */
export async function withStopped(
  { file }: Pick<Model, 'file'>,
  graph: Graph,
  checkpoint: string,
  names: readonly string[],
): Promise<Graph> {
  if (names.length === 0) return graph;
  const { tensors } = await readTensors(checkpoint);
  const parameters = new Map(graph.parameters);
  for (const name of names) {
    const parameter = parameters.get(name);
    const values = tensors.get(name)?.data;
    if (!parameter || !values) throw new ExecutionError(`checkpoint "${checkpoint}" lacks "${name}"`, { name });
    parameters.set(name, { ...parameter, data: () => values.slice() });
    placeInFile(file.proto, parameter, values);
  }
  return { ...graph, parameters };
}

/** A new head is in no file, and never below what trains. */
function placeInFile(proto: ModelProto, { origin }: Parameter, values: Float32Array): void {
  if (origin.tensor === null) return;
  const data = toFileLayout(values, origin);
  const constant = proto.graph?.node.find(({ output }) => output[0] === origin.tensor);
  const list = constant?.attribute.find(({ name }) => name === 'value_floats');
  if (list) {
    list.floats = [...data];
    return;
  }
  const inside = constant?.attribute.flatMap(({ t }) => t ?? [])[0];
  const tensor = inside ?? weightTensors(proto).find(({ name }) => name === origin.tensor);
  if (tensor && elements(tensorDims(tensor)) === data.length) setFloatData(tensor, data);
  else throw new ExecutionError(`the model's file has no "${origin.tensor}" of ${data.length} values`, { ...origin });
}
