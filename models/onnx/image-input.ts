/** @file The one input a vision model has, and the size of the images it takes. */
import { ModelError } from '../../runtime/errors.ts';
import type { Shape } from '../../runtime/graph/graph.ts';
import type { ModelFile } from './model-file.ts';
import { DataType, declaredDims } from './proto.ts';

/** Height and width in pixels where neither the file nor the user says. */
export const DEFAULT_IMAGE_SIZE = 224;

/**
 * Finds the image input `[N, 3, H, W]`.
 * @throws ModelError if the model has other inputs than one square RGB image
 */
export function imageInput(file: ModelFile, imageSize?: number): { name: string; shape: Shape } {
  const graph = file.proto.graph;
  const weights = new Set(graph?.initializer.map(({ name }) => name));
  const inputs = (graph?.input ?? []).filter(({ name }) => !weights.has(name));
  const described = inputs.map(({ name, type }) => {
    const dims = declaredDims({ name, type } as (typeof inputs)[number]);
    return `"${name}" [${dims?.map((extent) => extent ?? '?').join(', ') ?? '?'}]`;
  });
  const [input] = inputs;
  const dims = input && declaredDims(input);
  const elemType = input?.type?.value.case === 'tensorType' ? input.type.value.value.elemType : 0;
  const channels = dims?.[1];
  if (inputs.length !== 1 || !input || dims?.length !== 4 || elemType !== DataType.FLOAT) {
    throw new ModelError(
      `model "${file.path}": expected one float32 image input [N, 3, H, W], found ${described.join(', ') || 'none'}`,
      { path: file.path },
    );
  }
  if (typeof channels === 'number' && channels !== 3) {
    throw new ModelError(`model "${file.path}": expected images of 3 channels (NCHW), found input ${described[0]}`, {
      path: file.path,
    });
  }
  const own = dims.slice(2).map((extent) => (typeof extent === 'number' ? extent : DEFAULT_IMAGE_SIZE));
  const [height = DEFAULT_IMAGE_SIZE, width = DEFAULT_IMAGE_SIZE] = imageSize ? [imageSize, imageSize] : own;
  if (height !== width) {
    throw new ModelError(
      `model "${file.path}": expected square images, found input ${described[0]}\n` +
        'Hint: if the network is fully convolutional, choose a square size with --image-size',
      { path: file.path },
    );
  }
  return { name: input.name, shape: [height, width, 3] };
}
