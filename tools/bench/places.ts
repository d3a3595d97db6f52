/** @file Where the benchmarks find the package, its ready-made model and a place for their files. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fashionMnistFolder } from '../../models/datasets/fashion-mnist.ts';
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

/** Where Fashion-MNIST is; null, and said so, where it is not. */
export function fashionMnistOrSkip(): string | null {
  const folder = fashionMnistFolder();
  if (folder === null) {
    console.log(
      'skipped: Fashion-MNIST is not on this machine.\n' +
        'Hint: Debian: apt-get install dataset-fashion-mnist; or set EDGESHIFT_FASHION_MNIST to the folder of its idx.gz files.',
    );
  }
  return folder;
}

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
