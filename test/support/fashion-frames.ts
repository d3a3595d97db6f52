/** @file Fashion-MNIST as a camera would show it to models/fmnist-wrn16-2: the first test images, clean or under noise. */
import { fileURLToPath } from 'node:url';
import { fashionMnistFiles, fashionMnistFolder } from '../../models/datasets/fashion-mnist.ts';
import { corruptImages } from '../../runtime/adapt/corruptions/corrupt.ts';
import type { CorruptionName } from '../../runtime/adapt/corruptions/names.ts';
import { readIdx } from '../../runtime/train/data/idx.ts';

export const fashionModel = fileURLToPath(new URL('../../../models/fmnist-wrn16-2/model.onnx', import.meta.url));
/** Null where Debian's package dataset-fashion-mnist is missing. */
export const fashionFolder = fashionMnistFolder();
/** Side in pixels, and bytes of a frame (u8 RGB, channels-last). */
export const SIDE = 32;
export const FRAME_BYTES = 3 * SIDE * SIDE;

export interface Frames {
  readonly images: Uint8Array;
  readonly labels: Uint8Array;
}

/** 28 px padded by 2, as the model wants them. */
export async function cleanFrames(count: number): Promise<Frames> {
  const pixels = await readIdx(`${fashionFolder}/${fashionMnistFiles.testImages}`, 3, count);
  const labels = await readIdx(`${fashionFolder}/${fashionMnistFiles.testLabels}`, 1, count);
  const images = new Uint8Array(count * FRAME_BYTES);
  for (let n = 0; n < count; n++) {
    for (let i = 0; i < 784; i++) {
      const at = ((Math.floor(i / 28) + 2) * SIDE + (i % 28) + 2) * 3;
      images.fill(pixels.data[n * 784 + i] ?? 0, n * FRAME_BYTES + at, n * FRAME_BYTES + at + 3);
    }
  }
  return { images, labels: labels.data.slice(0, count) };
}

/** Under a corruption of severity 5; of the default nothing is measured elsewhere. */
export const noisyFrames = async (
  { images, labels }: Frames,
  corruption: CorruptionName = 'speckle_noise',
): Promise<Frames> => ({
  images: await corruptImages(images, SIDE, { corruption, severity: 5, seed: 1 }),
  labels,
});
