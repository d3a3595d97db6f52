/** @file The model with its external data, and what it learnt before. */
import { basename, dirname, join, normalize } from 'node:path';
import { type ModelFile, weightTensors } from '../../../models/onnx/model-file.ts';
import { DataLocation } from '../../../models/onnx/proto.ts';
import type { BundleFile } from './bundle-file.ts';

/** Where the delta lies in a bundle. */
export const DELTA_PATH = 'model/delta.safetensors';

/** Where a model lies in a bundle. */
export const modelPath = (model: string): string => `model/${basename(model)}`;

/** Files keep their places beside the model, by which it names them. */
export function modelFiles({ path, proto }: ModelFile, delta: string | undefined): BundleFile[] {
  const outside = weightTensors(proto)
    .filter(({ dataLocation }) => dataLocation === DataLocation.EXTERNAL)
    .flatMap(({ externalData }) => externalData.flatMap(({ key, value }) => (key === 'location' ? [value] : [])))
    .map((location) => normalize(location));
  return [
    { path: modelPath(path), mode: '644', content: path },
    ...[...new Set(outside)].map(
      (location): BundleFile => ({
        path: `model/${location}`,
        mode: '644',
        content: join(dirname(path), location),
      }),
    ),
    ...(delta === undefined ? [] : [{ path: DELTA_PATH, mode: '644', content: delta } as const]),
  ];
}
