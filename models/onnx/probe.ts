/** @file Shapes the file does not tell, asked from onnxruntime by running one grey image. */
import '../../runtime/engine/no-telemetry.ts';
import { ModelError } from '../../runtime/errors.ts';
import type { Shape } from '../../runtime/graph/graph.ts';
import { inlined, inlinedNode } from './external-data.ts';
import { imageInput } from './image-input.ts';
import type { ModelFile } from './model-file.ts';
import { ancestors, usedInitializers } from './prefix.ts';
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
  const nodes = source.node.filter((node) => needed.has(node));
  const model = makeModel({
    ...file.proto,
    graph: makeGraph({
      name: 'probe',
      node: nodes.map(inlinedNode),
      initializer: usedInitializers(source, nodes).map(inlined),
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
    const more = tensors.length > 1 ? ` and ${tensors.length - 1} tensors above it` : '';
    throw new ModelError(
      `model "${file.path}": the shape of "${tensors[0]}"${more} is not in the file, and onnxruntime, asked for it, cannot ` +
        `run the model so far: ${cause instanceof Error ? cause.message : cause}\n` +
        'Hint: export the model with shapes, such as with onnx.shape_inference.infer_shapes, and with standard ops only',
      { path: file.path, tensors },
      { cause },
    );
  }
}
