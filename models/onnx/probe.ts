/** @file Shapes the file does not tell, asked from onnxruntime by running one grey image. */
import '../../runtime/engine/no-telemetry.ts';
import { ModelError } from '../../runtime/errors.ts';
import type { Shape } from '../../runtime/graph/graph.ts';
import { imageInput } from './image-input.ts';
import type { ModelFile } from './model-file.ts';
import { ancestors } from './prefix.ts';
import { encodeModel, type GraphProto, makeGraph, makeModel, makeValueInfo } from './proto.ts';

/** Dims of the tensors, batch first, for one image of shape `[H, W, 3]`. */
export async function probeShapes(
  file: ModelFile,
  tensors: readonly string[],
  image: Shape,
): Promise<ReadonlyMap<string, readonly number[]>> {
  const { InferenceSession, Tensor } = await import('onnxruntime-node');
  const source = file.proto.graph as GraphProto;
  const needed = new Set(tensors.flatMap((tensor) => ancestors(source, tensor)));
  const [height = 0, width = 0] = image;
  const { name } = imageInput(file, height);
  const model = makeModel({
    ...file.proto,
    graph: makeGraph({
      name: 'probe',
      node: source.node.filter((node) => needed.has(node)),
      initializer: source.initializer,
      input: [makeValueInfo(name, [1, 3, height, width])],
      // A value without a type: onnxruntime infers it.
      output: tensors.map((tensor) => ({ name: tensor })),
    }),
  });
  try {
    const session = await InferenceSession.create(encodeModel(model), { logSeverityLevel: 3 });
    const pixels = new Tensor('float32', new Float32Array(3 * height * width).fill(0.5), [1, 3, height, width]);
    const results = await session.run({ [name]: pixels });
    await session.release();
    return new Map(tensors.map((tensor) => [tensor, results[tensor]?.dims ?? []]));
  } catch (cause) {
    throw new ModelError(
      `model "${file.path}": onnxruntime cannot run it up to ${tensors.map((tensor) => `"${tensor}"`).join(', ')}: ` +
        `${cause instanceof Error ? cause.message : cause}`,
      { path: file.path },
      { cause },
    );
  }
}
