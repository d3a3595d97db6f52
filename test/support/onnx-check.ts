/** @file Holds what importGraph reads of a model to what onnxruntime runs. */
import type { ExecutionContext } from 'ava';
import { encodeModel, type ModelProto } from '../../models/onnx/proto.ts';
import type { Graph } from '../../runtime/graph/graph.ts';
import { Random } from '../../runtime/train/random.ts';
import { assertClose } from './compare.ts';
import { normals } from './draws.ts';
import { importModel, runOnnxruntime } from './onnx-models.ts';
import { referenceForward } from './reference-forward.ts';

const seed = 41;

/** Ops of a graph's nodes, in order, with spaces between. */
export const opsOf = (graph: Graph): string => graph.nodes.map(({ op }) => op).join(' ');

/** Imports the model, checks that every node was read, and compares the logits of two images with onnxruntime. */
export async function assertSame(
  t: ExecutionContext,
  model: ModelProto,
  expectedOps?: string,
  size = 16,
): Promise<Graph> {
  const graph = importModel(model, size);
  if (expectedOps !== undefined) t.is(opsOf(graph), expectedOps);
  const images = Float32Array.from(normals(new Random(seed), [2, size, size, 3]));
  const expected = await runOnnxruntime(encodeModel(model), images, [size, size, 3]);
  const { output } = referenceForward(graph, images, 2);
  assertClose(t, output, expected, { rtol: 1e-4, atol: 1e-5 }, `logits, seed ${seed}`);
  return graph;
}
