/** @file Small image folders for training tests: coloured noise that a network tells apart after a few steps. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { Random } from '../../runtime/train/random.ts';

const colours = [
  [200, 60, 60],
  [60, 200, 60],
  [60, 60, 200],
  [200, 200, 60],
] as const;

/** Side of the images in the folders. */
const SIDE = 40;

/** Writes `folder/class-<c>/<i>.png`; classes differ by colour. Gives the folder. */
export async function toyImages(folder: string, { classes = 3, perClass = 12, seed = 5 } = {}): Promise<string> {
  for (let c = 0; c < classes; c++) {
    const path = join(folder, `class-${c}`);
    await mkdir(path, { recursive: true });
    for (let i = 0; i < perClass; i++) await writeFile(join(path, `${i}.png`), await toyImage(c, seed * 1000 + i));
  }
  return folder;
}

/** One PNG of a class. */
export function toyImage(label: number, seed: number): Promise<Buffer> {
  const random = new Random(seed, label);
  const colour = colours[label % colours.length] ?? colours[0];
  const pixels = Buffer.from(
    Uint8Array.from({ length: SIDE * SIDE * 3 }, (_, k) => (colour[k % 3] ?? 0) + random.integer(-50, 50)),
  );
  return sharp(pixels, { raw: { width: SIDE, height: SIDE, channels: 3 } })
    .png()
    .toBuffer();
}
