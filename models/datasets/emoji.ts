/**
 * @file Renders the emoji task into image folders: `<split>/<class>/<style>-<hexcode>.png`, white background.
 */
import { randomUUID } from 'node:crypto';
import { access, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import { DataError } from '../../runtime/errors.ts';
import { type EmojiIcon, type EmojiStyle, loadEmojiCatalog, sourceStyles } from './emoji-catalog.ts';
import { type EmojiSplit, splitEmoji } from './emoji-split.ts';

export interface EmojiOptions {
  /** Height and width of the images in pixels; 96 by default. */
  readonly size?: number;
  /** Styles to render every held-out id in, for adaptation streams; none by default. */
  readonly streams?: readonly EmojiStyle[];
  /** Emoji ids to train on, each in the four source styles; 381 by default. */
  readonly trainIds?: number;
  /** Held-out ids, one test image each, the source styles taking turns; 260 by default. */
  readonly testIds?: number;
}

export interface EmojiFolders {
  readonly train: string;
  readonly test: string;
  /** One folder for each style asked for. */
  readonly streams: Readonly<Partial<Record<EmojiStyle, string>>>;
}

interface Picture {
  readonly path: string;
  readonly svg: string;
}

/** Changes whenever the same options would give other images, so that an older cache is rendered again. */
const renderingVersion = 1;
/** Enough pictures in flight to keep two cores busy without holding many decoded images. */
const picturesInFlight = 4;

/**
 * Gives the emoji folders under `cacheFolder`, rendering what is missing.
 *
 * A folder is complete or absent; the same options give the same images.
 *
 * @throws DataError where an icon package is missing, an option is out of range, or a folder cannot be written.
 */
export async function ensureEmoji(cacheFolder: string, options: EmojiOptions = {}): Promise<EmojiFolders> {
  const { size = 96, streams = [], trainIds = 381, testIds = 260 } = options;
  for (const [name, value] of Object.entries({ size, trainIds, testIds })) {
    if (!Number.isInteger(value) || value < 1) {
      throw new DataError(`Emoji: ${name} must be a whole number of at least 1, found ${value}.`, { [name]: value });
    }
  }
  const isDefault = trainIds === 381 && testIds === 260;
  const root = join(cacheFolder, isDefault ? `emoji-${size}` : `emoji-${size}-${trainIds}x${testIds}`);
  const stamp = JSON.stringify({ renderingVersion, size, trainIds, testIds });

  let split: EmojiSplit | undefined;
  const lazySplit = (): EmojiSplit => {
    split ??= splitEmoji(loadEmojiCatalog(), trainIds, testIds);
    return split;
  };
  if ((await readStamp(root)) !== stamp) {
    await renderFolder(root, [...trainPictures(lazySplit()), ...testPictures(lazySplit())], size, stamp);
  }
  const streamFolders: Partial<Record<EmojiStyle, string>> = {};
  for (const style of streams) {
    const folder = join(root, 'streams', style);
    streamFolders[style] = folder;
    if (await exists(folder)) continue;
    const pictures = lazySplit().test.map((icon) => picture(icon, style, ''));
    await renderFolder(folder, pictures, size, null);
  }
  return { train: join(root, 'train'), test: join(root, 'test'), streams: streamFolders };
}

function picture(icon: EmojiIcon, style: EmojiStyle, split: string): Picture {
  return { path: join(split, icon.className, `${style}-${icon.hexcode}.png`), svg: icon.svg[style] };
}

function trainPictures(split: EmojiSplit): Picture[] {
  return split.train.flatMap((icon) => sourceStyles.map((style) => picture(icon, style, 'train')));
}

function testPictures(split: EmojiSplit): Picture[] {
  return split.test.map((icon, index) => picture(icon, sourceStyles[index % sourceStyles.length] ?? 'noto', 'test'));
}

/** Renders into a temporary folder beside `folder` and renames it, so that a half-rendered folder is never seen. */
async function renderFolder(
  folder: string,
  pictures: readonly Picture[],
  size: number,
  stamp: string | null,
): Promise<void> {
  sharp.cache(false);
  const temporary = `${folder}.${randomUUID()}.tmp`;
  try {
    const folders = new Set(pictures.map(({ path }) => dirname(join(temporary, path))));
    for (const each of folders) await mkdir(each, { recursive: true });
    const queue = pictures.values();
    const worker = async (): Promise<void> => {
      for (const { path, svg } of queue) await renderPicture(svg, size, join(temporary, path));
    };
    // Settled, not all: nobody may still be writing when the temporary folder is removed.
    const results = await Promise.allSettled(Array.from({ length: picturesInFlight }, worker));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
    if (stamp !== null) await writeFile(join(temporary, 'stamp.json'), stamp);
    // Whatever is there now is an older rendering, unless another process finished the same one meanwhile.
    if (stamp !== null && (await readStamp(folder)) === stamp) {
      await rm(temporary, { recursive: true, force: true });
      return;
    }
    await rm(folder, { recursive: true, force: true });
    await rename(temporary, folder);
  } catch (cause) {
    // What went wrong first is what the user needs to hear.
    await rm(temporary, { recursive: true, force: true }).catch(() => {});
    const taken = cause instanceof Error && 'code' in cause && (cause.code === 'ENOTEMPTY' || cause.code === 'EEXIST');
    // Another process rendered the same images meanwhile.
    if (taken) return;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DataError(`${folder}: the emoji cannot be rendered (${reason}).`, { folder }, { cause });
  }
}

async function renderPicture(svg: string, size: number, path: string): Promise<void> {
  const [, drawn = '0'] = /height="([\d.]+)"/.exec(svg) ?? [];
  // The density makes librsvg draw at the wanted size, instead of scaling pixels afterwards.
  const density = Math.min(Math.max((72 * size) / Number(drawn), 1), 2400);
  await sharp(Buffer.from(svg), { density })
    .resize(size, size, { fit: 'contain', background: 'white' })
    .flatten({ background: 'white' })
    .toColourspace('srgb')
    .png()
    .toFile(path);
}

async function readStamp(folder: string): Promise<string | null> {
  return await readFile(join(folder, 'stamp.json'), 'utf8').catch(() => null);
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
