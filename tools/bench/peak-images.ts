/** @file Images made on the spot, as a user's folder of photographs has them: larger than the network reads, JPEG, two classes. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { Random } from '../../runtime/train/random.ts';

/** Pixels; neither side is what any network reads. */
const WIDTH = 320;
const HEIGHT = 240;

/** Draws `<folder>/{train,test}/{dark,bright}/<n>.jpg` with so many images of each class; the same bytes for the same seed. */
export async function drawImages(
  folder: string,
  { train, test, seed }: { readonly train: number; readonly test: number; readonly seed: number },
): Promise<void> {
  for (const [part, count] of Object.entries({ train, test })) {
    for (const [label, name] of ['dark', 'bright'].entries()) {
      const place = join(folder, part, name);
      await mkdir(place, { recursive: true });
      for (let n = 0; n < count; n++)
        await drawImage(join(place, `${n}.jpg`), label, new Random(seed, label, count, n));
    }
  }
}

/** Noise in the lower or the upper half of the range. */
async function drawImage(path: string, label: number, random: Random): Promise<void> {
  const pixels = Uint8Array.from({ length: 3 * WIDTH * HEIGHT }, () => 128 * label + random.integer(0, 127));
  await sharp(pixels, { raw: { width: WIDTH, height: HEIGHT, channels: 3 } })
    .jpeg()
    .toFile(path);
}
