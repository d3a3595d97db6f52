/** @file Corrupted copies of a data set for a benchmark: to learn on, to test on, and a few that are set aside. */
import { mkdir, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { corruptFolder } from '../../runtime/adapt/corruptions/corrupt-folder.ts';
import type { CorruptionName } from '../../runtime/adapt/corruptions/names.ts';

/** Folders of images by corruption. */
export interface CorruptedImages {
  readonly train: (corruption: CorruptionName) => string;
  readonly test: (corruption: CorruptionName) => string;
  /** A few of each corruption together, which no delta is learnt on. */
  readonly labelled: string;
}

export interface CorruptedOptions {
  readonly corruptions: readonly CorruptionName[];
  readonly severity: number;
  /** Training images, and as many test images, of each corruption. */
  readonly limit: number;
  /** Images of each corruption that are set aside from those for training. */
  readonly labelled: number;
}

/** Corrupts training and test images of a folder of idx files. */
export async function corruptedImages(
  data: string,
  folder: string,
  { corruptions, severity, limit, labelled }: CorruptedOptions,
): Promise<CorruptedImages> {
  const out = { train: join(folder, 'train'), test: join(folder, 'test'), labelled: join(folder, 'labelled') };
  for (const split of ['train', 'test'] as const) {
    await corruptFolder({ ...{ data, split, corruptions, limit, seed: 1 }, out: out[split], severities: [severity] });
  }
  const at = (part: string) => (corruption: CorruptionName) => join(part, corruption, String(severity));
  for (const corruption of corruptions) {
    const classes = await readdir(at(out.train)(corruption));
    for (const name of classes) {
      const files = (await readdir(join(at(out.train)(corruption), name))).sort();
      await mkdir(join(out.labelled, name), { recursive: true });
      for (const file of files.slice(0, Math.ceil(labelled / classes.length))) {
        const target = join(out.labelled, name, `${corruption}-${file}`);
        await rename(join(at(out.train)(corruption), name, file), target);
      }
    }
  }
  return { train: at(out.train), test: at(out.test), labelled: out.labelled };
}
