/** @file `edgeshift inspect`: a model as edgeshift sees it. */

import { openModel } from '../../../models/onnx/open-model.ts';
import { preprocessingNamed } from '../../../models/onnx/preprocessing.ts';
import { findBlocks } from '../../../runtime/graph/blocks.ts';
import { elements } from '../../../runtime/graph/graph.ts';
import { printGraph } from '../../../runtime/graph/print.ts';
import { type Flags, given, numberFlag, textFlag } from '../flags.ts';

export async function run([path = '']: readonly string[], flags: Flags): Promise<number> {
  const model = await openModel(path, given({ imageSize: numberFlag(flags, 'imageSize') }));
  const { graph, file } = model;
  const normalize = textFlag(flags, 'normalize');
  if (flags.json !== true) {
    process.stdout.write(printGraph(graph));
    return 0;
  }
  const opaque = graph.nodes.filter(({ op }) => op === 'Opaque');
  console.log(
    JSON.stringify({
      model: { name: file.name, sha256: file.sha256, opset: file.opset, imageSize: model.imageSize },
      preprocessing: normalize === undefined ? model.preprocessing : preprocessingNamed(normalize),
      dropLayers: model.dropLayers,
      parameters: [...graph.parameters.values()].reduce((sum, { shape }) => sum + elements(shape), 0),
      blocks: findBlocks(graph),
      nodes: graph.nodes.map((node) => ({ ...node, shape: graph.shapes.get(node.output) ?? null })),
      frozenOnly: opaque.map(({ name, attributes }) => ({ name, ...attributes })),
    }),
  );
  return 0;
}
