/** @file Where the benchmarks find the package, its ready-made model and a place for their files. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureMobileNetV2, readMobileNetV2Manifest } from '../../models/mobilenet-v2/build.ts';

/** The checkout, seen from the compiled file in dist/tools/bench. */
export const root = fileURLToPath(new URL('../../../', import.meta.url));

const cache = join(root, '.cache');

/** Rendered data sets, shared with the demo and the tests. */
export const datasetCache = join(cache, 'datasets');

/** Run folders of the benchmarks. */
export const benchFolder = join(cache, 'bench');

/** The network of 32 px for Fashion-MNIST, in the repository. */
export const fmnistModel = join(root, 'models', 'fmnist-wrn16-2', 'model.onnx');

/** A compiled program of this folder. */
export const program = (name: string): string => fileURLToPath(new URL(`./${name}.js`, import.meta.url));

export interface BenchModel {
  readonly path: string;
  /** ONNX nodes that a new head replaces. */
  readonly drop: readonly string[];
}

/** The ready-made MobileNetV2, built first where it is missing. */
export async function benchModel(): Promise<BenchModel> {
  const { dropLayers } = await readMobileNetV2Manifest();
  return { path: await ensureMobileNetV2(join(cache, 'models')), drop: dropLayers };
}
