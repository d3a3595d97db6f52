/** @file A model as it goes into service: an ONNX file with what a delta learnt in its place, in memory alone. */
import { withDelta } from '../../runtime/delta/apply-to-graph.ts';
import { type Delta, requireBase } from '../../runtime/delta/delta.ts';
import { META } from '../../runtime/scheme/meta-networks.ts';
import { mergeLearnt } from './export.ts';
import { importWithProbes, type Model, type OpenModelOptions, openModel } from './open-model.ts';

/**
 * The file's own tensors take the delta's values, so that parts which are run as the file has them are those of the delta, too;
 * meta networks, which the file has not, are in the graph.
 * @throws ModelError, ShapeError, DeltaError if the delta belongs to another model or does not match it
 */
export async function openDeployed(
  path: string,
  delta: Delta,
  { imageSize = delta.imageSize, probes = true }: OpenModelOptions = {},
): Promise<Model> {
  const model = await openModel(path, { imageSize, probes });
  const { file } = model;
  requireBase(delta, file);
  mergeLearnt(file, model.graph, delta);
  const merged = await importWithProbes(file, imageSize, probes);
  const meta = new Map([...delta.tensors].filter(([name]) => name.startsWith(`${META}.`)));
  const graph = delta.metaParts ? withDelta(merged, { ...delta, tensors: meta }) : merged;
  return { ...model, graph, preprocessing: delta.preprocessing, classes: delta.classes };
}
