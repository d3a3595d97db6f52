/** @file Writes corrupted copies of a data set as image folders, `<corruption>/<severity>/<class>/<image>.png`. */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import type { Sharp } from 'sharp';
import { z } from 'zod';
import { diskError, writeAtomically } from '../../delta/atomic-file.ts';
import { DataError, EdgeshiftError } from '../../errors.ts';
import { type Dataset, type DatasetOptions, openDataset } from '../../train/data/dataset.ts';
import { isFolder, listImageFolder, type Skipped } from '../../train/data/folder.ts';
import { findIdx, type IdxFiles, readIdx } from '../../train/data/idx.ts';
import { checkSide, corruptImages } from './corrupt.ts';
import type { CorruptionName } from './names.ts';
import { tableFor } from './tables.ts';

/** What a folder of sets says of each of them. */
const setSchema = z.object({
  corruption: z.string(),
  severity: z.number(),
  seed: z.number(),
  images: z.number(),
  imageSize: z.number(),
  /** Which published table, and the row taken from it. */
  table: z.string(),
  parameters: z.unknown(),
  note: z.string().optional(),
});
const noticeSchema = z.object({
  classes: z.array(z.string()),
  sets: z.array(setSchema),
  versions: z.record(z.string(), z.string()),
});

export type CorruptedSet = z.infer<typeof setSchema>;

/** Contents of `corruptions.json`. */
export type CorruptionNotice = z.infer<typeof noticeSchema>;

const noticeName = 'corruptions.json';

export const frostNote =
  "textures are procedural, not the benchmark's photographs: errors under frost are not comparable with published ones";

export interface CorruptFolderOptions
  extends Pick<DatasetOptions, 'split' | 'limit' | 'fit' | 'strict' | 'onProgress'> {
  /** Image folder or folder of idx files. */
  readonly data: string;
  /** Made if missing. */
  readonly out: string;
  readonly corruptions: readonly CorruptionName[];
  readonly severities: readonly number[];
  readonly seed: number;
  /** Side of the images in pixels. Default: that of the idx files, or the shorter one of the folder's first image. */
  readonly imageSize?: number;
  /** Write into a folder that is not empty: sets of the same name are replaced, others stay. Default false. */
  readonly force?: boolean;
  readonly onSet?: (set: CorruptedSet, millis: number) => void;
}

export interface CorruptFolderResult extends CorruptionNotice {
  readonly skipped: readonly Skipped[];
}

/**
 * Corrupts a data set. Each set is noted in `corruptions.json` once all of its images are there; one that could not be finished is
 * removed. An image's index, which keys its random numbers, is its position in the data set.
 *
 * @throws DataError if the data cannot be read, `out` is not empty (without `force`), or writing fails
 */
export async function corruptFolder(options: CorruptFolderOptions): Promise<CorruptFolderResult> {
  const { data, out, corruptions, severities, seed, imageSize, force = false, onSet } = options;
  await checkOut(out, force);
  const split = options.split ?? 'test';
  const idx = (await isFolder(data)) ? await findIdx(data, split) : null;
  const side = imageSize ?? (idx ? await idxSide(idx) : await folderSide(data, options.split));
  checkSide(side);
  const { dataset, skipped } = await openDataset(data, { ...options, imageSize: side, ...(idx && { split }) });
  await using images = dataset;
  const names = fileNames(images, idx !== null);
  let notice: CorruptionNotice = {
    classes: [...images.classes],
    sets: (await readNotice(out))?.sets ?? [],
    versions: await versions(),
  };
  const { name: table, parameters } = tableFor(side);
  for (const corruption of corruptions) {
    for (const severity of severities) {
      const started = performance.now();
      const others = notice.sets.filter((set) => set.corruption !== corruption || set.severity !== severity);
      const set: CorruptedSet = {
        corruption,
        severity,
        seed,
        images: images.samples,
        imageSize: side,
        table,
        parameters: parameters[corruption][severity - 1],
        ...(corruption === 'frost' && { note: frostNote }),
      };
      // A set that is about to be replaced is no longer vouched for.
      if (others.length < notice.sets.length) await writeNotice(out, { ...notice, sets: others });
      await writeSet(images, join(out, corruption, `${severity}`), names, set);
      notice = { ...notice, sets: [...others, set] };
      await writeNotice(out, notice);
      onSet?.(set, performance.now() - started);
    }
  }
  return { ...notice, skipped };
}

async function checkOut(out: string, force: boolean): Promise<void> {
  const found = await readdir(out).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return [];
    throw diskError(out, cause);
  });
  if (found.length === 0 || force) return;
  throw new DataError(
    `${out}: expected an empty or a new folder but found ${found.length} entries, such as "${found[0]}"\n` +
      'Hint: name another folder, or replace its sets of the same name with --force.',
    { out, found: found.length },
  );
}

async function readNotice(out: string): Promise<CorruptionNotice | null> {
  const path = join(out, noticeName);
  const text = await readFile(path, 'utf8').catch(() => null);
  if (text === null) return null;
  try {
    return noticeSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new DataError(
      `${path}: expected the notice of corrupted sets but cannot read it\nHint: remove the file, or name another folder.`,
      { path },
      { cause },
    );
  }
}

function writeNotice(out: string, notice: CorruptionNotice): Promise<void> {
  return writeAtomically(join(out, noticeName), [Buffer.from(`${JSON.stringify(notice, null, 2)}\n`)]);
}

/** The shorter side of an idx file's images in pixels. */
async function idxSide({ images }: IdxFiles): Promise<number> {
  const { shape } = await readIdx(images, 3, 1);
  return Math.min(shape[1] as number, shape[2] as number);
}

/** The shorter side of a folder's first image in pixels. */
async function folderSide(data: string, split: string | undefined): Promise<number> {
  const { paths } = await listImageFolder(split === undefined ? data : join(data, split), null, null);
  const { default: sharp } = await import('sharp');
  const path = paths[0] as string;
  const { autoOrient } = await sharp(path)
    .metadata()
    .catch((cause: Error) => {
      throw new DataError(
        `${path}: cannot tell the side of the images from it (${cause.message})\nHint: give --image-size.`,
        { path },
        { cause },
      );
    });
  return Math.min(autoOrient.width, autoOrient.height);
}

/** `<class>/<name>.png` of every sample: the name of its file, or its number in the idx file. */
function fileNames(dataset: Dataset, isIdx: boolean): readonly string[] {
  const taken = new Set<string>();
  return Array.from({ length: dataset.samples }, (_, sample) => {
    const file = dataset.name(sample);
    const stem = isIdx ? `${sample}`.padStart(5, '0') : basename(file, extname(file));
    const folder = dataset.classes[dataset.label(sample)] as string;
    const plain = join(folder, `${stem}.png`);
    // Two files may differ in their extension only.
    const name = taken.has(plain) ? join(folder, `${basename(file)}.png`) : plain;
    taken.add(name);
    return name;
  });
}

/** Images read, corrupted and written before the next are read. */
const chunkImages = 64;

async function writeSet(dataset: Dataset, folder: string, names: readonly string[], set: CorruptedSet): Promise<void> {
  const { default: sharp } = await import('sharp');
  const imageBytes = dataset.imageSize ** 2 * 3;
  const raw = { width: dataset.imageSize, height: dataset.imageSize, channels: 3 } as const;
  await rm(folder, { recursive: true, force: true });
  try {
    const used = new Set(names.map((name) => join(folder, name, '..')));
    for (const path of used) await mkdir(path, { recursive: true });
    for (let start = 0; start < dataset.samples; start += chunkImages) {
      const count = Math.min(chunkImages, dataset.samples - start);
      const images = new Uint8Array(count * imageBytes);
      for (let i = 0; i < count; i++)
        await dataset.read(start + i, images.subarray(i * imageBytes, (i + 1) * imageBytes));
      const { corruption, severity, seed } = set;
      const made = await corruptImages(images, dataset.imageSize, { corruption, severity, seed, firstIndex: start });
      const files = Array.from({ length: count }, (_, i): [string, Sharp] => [
        join(folder, names[start + i] as string),
        sharp(made.subarray(i * imageBytes, (i + 1) * imageBytes), { raw }).png(),
      ]);
      await Promise.all(files.map(([path, image]) => image.toFile(path)));
    }
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error instanceof EdgeshiftError ? error : diskError(folder, error);
  }
}

/** What the bytes of JPEGs and PNGs depend on beside this code. */
async function versions(): Promise<Record<string, string>> {
  const { default: sharp } = await import('sharp');
  const { sharp: own, vips, mozjpeg } = sharp.versions;
  const known = { node: process.versions.node, sharp: own, vips, jpeg: mozjpeg };
  return Object.fromEntries(Object.entries(known).filter((entry): entry is [string, string] => entry[1] !== undefined));
}
