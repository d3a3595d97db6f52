/** @file The real MobileNetV2 for tests, from one cache folder that all test files share. */
import { fileURLToPath } from 'node:url';
import { ensureMobileNetV2 } from '../../models/mobilenet-v2/build.ts';
import { importGraph } from '../../models/onnx/import.ts';
import { type ModelFile, readModelFile } from '../../models/onnx/model-file.ts';
import type { Graph } from '../../runtime/graph/graph.ts';
import { replaceHead } from '../../runtime/graph/head.ts';

/** The package's cache, seen from the compiled file in dist/test/support. */
const CACHE = fileURLToPath(new URL('../../../.cache/models', import.meta.url));

let file: Promise<ModelFile> | undefined;

export function mobileNetFile(): Promise<ModelFile> {
  file ??= ensureMobileNetV2(CACHE).then(readModelFile);
  return file;
}

/** MobileNetV2 with a new head on its features. */
export async function mobileNet(imageSize: number, classes = 10): Promise<Graph> {
  const { graph } = importGraph(await mobileNetFile(), imageSize);
  return replaceHead(graph, { classes, drop: ['dense_1', 'dense_2', 'dense_3'], seed: 1 });
}
