/** @file Learnt values of tensors that stopped learning, in the model they are frozen in: its graph, and the file the prefix is cut from. */

import { FileValues } from '../../models/onnx/file-values.ts';
import type { Model } from '../../models/onnx/open-model.ts';
import { readTensors } from '../delta/safetensors.ts';
import { ExecutionError } from '../errors.ts';
import { toFileLayout } from '../graph/axes.ts';
import type { Graph } from '../graph/graph.ts';

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
  const inFile = file.proto.graph && new FileValues(file.proto.graph);
  for (const name of names) {
    const parameter = parameters.get(name);
    const values = tensors.get(name)?.data;
    if (!parameter || !values) throw new ExecutionError(`checkpoint "${checkpoint}" lacks "${name}"`, { name });
    parameters.set(name, { ...parameter, data: () => values.slice() });
    // A new head is in no file, and never below what trains.
    const { origin } = parameter;
    if (origin.tensor === null || inFile?.place(origin.tensor, toFileLayout(values, origin)) === 'placed') continue;
    throw new ExecutionError(`the model's file has no "${origin.tensor}" of ${values.length} values`, { ...origin });
  }
  return { ...graph, parameters };
}
