/**
 * @file Lists an image folder, `folder/class/image.jpg`: classes, files and labels, and what is wrong with them.
 */

import type { Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError, UsageError } from '../../errors.ts';

/** A file that was left out, and why. */
export interface Skipped {
  readonly path: string;
  readonly reason: string;
}

export interface ImageFolder {
  readonly classes: readonly string[];
  /** Class by class, each in the order of the file names. */
  readonly paths: readonly string[];
  /** Class of each path. */
  readonly labels: Int32Array;
  readonly skipped: readonly Skipped[];
}

const imageName = /\.(jpe?g|png|webp)$/i;
const imageNameText = '.jpg, .jpeg, .png or .webp';

/**
 * Lists the images of every class folder, sorted by name, so that the order is the same on every file system.
 *
 * Hidden entries (a leading dot) and files beside the class folders are not looked at.
 *
 * @param classes Folders to take, in label order; null takes all, sorted, or in `order` if that has the same names.
 * @param limit At most this many images, the same number of every class as far as they reach.
 * @throws DataError for a missing folder, a class without images, fewer than two classes, or no images.
 */
export async function listImageFolder(
  folder: string,
  classes: readonly string[] | null,
  limit: number | null,
  order: readonly string[] = [],
): Promise<ImageFolder> {
  const found = (await entries(folder)).filter(({ directory }) => directory).map(({ name }) => name);
  if (found.length === 0) {
    throw new DataError(
      `${folder}: expected one folder a class but found none\nHint: images belong in ${folder}/<class>/<image>.jpg.`,
      { folder },
    );
  }
  const isSame = order.length === found.length && order.every((name) => found.includes(name));
  const wanted = classes ?? (isSame ? order : found);
  const missing = wanted.filter((name) => !found.includes(name));
  if (missing.length > 0) {
    throw new DataError(`${folder}: expected a folder for ${missing.join(', ')} but found ${found.join(', ')}`, {
      folder,
      missing,
      found,
    });
  }
  if (wanted.length < 2) {
    throw new DataError(
      `${folder}: expected at least two classes but found one, "${wanted[0]}"\n` +
        'Hint: a classifier needs something to tell apart; add a folder, for instance of other things.',
      { folder, classes: wanted },
    );
  }
  const skipped: Skipped[] = found
    .filter((name) => !wanted.includes(name))
    .map((name) => ({ path: join(folder, name), reason: `class "${name}" is not among those asked for` }));
  const members: string[][] = [];
  for (const name of wanted) {
    const images: string[] = [];
    for (const entry of await entries(join(folder, name))) {
      const path = join(folder, name, entry.name);
      if (entry.directory) skipped.push({ path, reason: 'a folder inside a class' });
      else if (imageName.test(entry.name)) images.push(path);
      else skipped.push({ path, reason: `not an image (${imageNameText})` });
    }
    members.push(images);
  }
  checkClasses(folder, wanted, members);
  const taken = limit === null ? members : takeEvenly(members, limit);
  return {
    classes: wanted,
    paths: taken.flat(),
    labels: Int32Array.from(taken.flatMap((images, label) => images.map(() => label))),
    skipped,
  };
}

function checkClasses(folder: string, classes: readonly string[], members: readonly (readonly string[])[]): void {
  const empty = classes.filter((_, label) => members[label]?.length === 0);
  if (empty.length === classes.length) {
    throw new DataError(
      `${folder}: no images (${imageNameText}) in any of its folders: ${classes.join(', ')}\n` +
        `Hint: images belong in ${folder}/<class>/<image>.jpg; name the folder that holds the classes.`,
      { folder, classes },
    );
  }
  if (empty.length > 0) {
    throw new DataError(
      `${folder}: ${empty.length === 1 ? 'class' : 'classes'} without an image (${imageNameText}): ${empty.join(', ')}\n` +
        'Hint: add images or remove the folder.',
      { folder, classes: empty },
    );
  }
}

/** Takes one more of each class in turn until the limit is reached, so that a small limit stays balanced. */
function takeEvenly(members: readonly (readonly string[])[], limit: number): string[][] {
  if (limit < members.length) {
    throw new UsageError(`limit: expected at least one image for each of ${members.length} classes but got ${limit}`, {
      limit,
      classes: members.length,
    });
  }
  const counts = members.map(() => 0);
  let left = limit;
  for (let grown = true; grown && left > 0; ) {
    grown = false;
    members.forEach((images, label) => {
      const count = counts[label] as number;
      if (left > 0 && count < images.length) {
        counts[label] = count + 1;
        left -= 1;
        grown = true;
      }
    });
  }
  return members.map((images, label) => images.slice(0, counts[label]));
}

/** Entries of a folder sorted by code unit, links followed, hidden ones left out. */
async function entries(folder: string): Promise<{ name: string; directory: boolean }[]> {
  const all: Dirent[] = await readdir(folder, { withFileTypes: true }).catch((cause: Error) => {
    throw new DataError(`${folder}: cannot be listed (${cause.message})`, { folder }, { cause });
  });
  const visible = all.filter(({ name }) => !name.startsWith('.'));
  const known = await Promise.all(
    visible.map(async (entry) => ({
      name: entry.name,
      directory: entry.isSymbolicLink() ? await isFolder(join(folder, entry.name)) : entry.isDirectory(),
    })),
  );
  return known.sort((one, other) => (one.name < other.name ? -1 : 1));
}

/** False also for a link to nowhere, which then is listed as a file and found unreadable. */
export async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
