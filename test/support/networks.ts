/** @file The networks of models/networks as graphs, in memory. */
import { fillWeights, readWeightless } from '../../models/networks/networks.ts';
import type { ModelFile } from '../../models/onnx/model-file.ts';
import { makeValueInfo } from '../../models/onnx/proto.ts';
import type { Graph } from '../../runtime/graph/graph.ts';
import { importModel, modelFile } from './onnx-models.ts';

/** A network whose input takes images of `size`, and whose output is the logits. */
export async function network(name: string, size: number): Promise<{ file: ModelFile; graph: Graph }> {
  const model = await readWeightless(name);
  fillWeights(model);
  const source = model.graph;
  const [input, output] = [source?.input[0]?.name ?? '', source?.output[0]?.name ?? ''];
  if (!source) throw new Error('no graph');
  source.input = [makeValueInfo(input, ['N', 3, size, size])];
  source.valueInfo = [];
  const graph = importModel(model);
  if (graph.output !== output) source.output = [makeValueInfo(graph.output, ['N', 'K'])];
  return { file: modelFile(model), graph };
}
