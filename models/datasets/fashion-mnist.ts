/**
 * @file Finds Fashion-MNIST where the Debian package dataset-fashion-mnist or the user has put it.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** The four files, as the data set names them. */
export const fashionMnistFiles = {
  trainImages: 'train-images-idx3-ubyte.gz',
  trainLabels: 'train-labels-idx1-ubyte.gz',
  testImages: 't10k-images-idx3-ubyte.gz',
  testLabels: 't10k-labels-idx1-ubyte.gz',
} as const;

/** Class names in the order of the labels 0 to 9. */
export const fashionMnistLabels = [
  't-shirt',
  'trouser',
  'pullover',
  'dress',
  'coat',
  'sandal',
  'shirt',
  'sneaker',
  'bag',
  'ankle-boot',
] as const;

const packagedFolder = '/usr/share/datasets/fashion-mnist';

/**
 * The folder that holds all four files: `EDGESHIFT_FASHION_MNIST` if set, else the Debian package's; null where one is
 * missing.
 */
export function fashionMnistFolder(environment: NodeJS.ProcessEnv = process.env): string | null {
  const folder = environment.EDGESHIFT_FASHION_MNIST || packagedFolder;
  return Object.values(fashionMnistFiles).every((file) => existsSync(join(folder, file))) ? folder : null;
}
