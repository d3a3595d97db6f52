/** @file Which classes are collected, and whether their names can be names of folders. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError, UsageError } from '../../errors.ts';
import { isFolder } from '../data/folder.ts';
import { findIdx } from '../data/idx.ts';

/** Longest name of a folder, in bytes. */
const MOST_BYTES = 255;
/** Names that a message shows. */
const SHOWN = 10;

/**
 * The classes of a collection, in the order of their numbers: those that are given, else the folders that are there, sorted,
 * else the model's own.
 *
 * @param given null: none were
 * @param own names of the model's classes, null if they are not known
 * @throws UsageError if there are fewer than two, or names that no folder of a data set can have
 * @throws DataError if the folder is none, or holds something that training would read in place of the classes
 */
export async function collectedClasses(
  folder: string,
  given: readonly string[] | null,
  own: readonly string[] | null,
): Promise<readonly string[]> {
  const found = await classFolders(folder);
  if (await findIdx(folder, 'train').catch(() => null)) {
    throw new DataError(`${folder}: holds idx files, which training would read instead of images; choose another one`, {
      folder,
    });
  }
  if (found.includes('train')) {
    throw new DataError(
      `${folder}: holds a part called "train", which training would read instead of what is collected\n` +
        `Hint: collect into ${join(folder, 'train')}, and train with --data ${folder}.`,
      { folder },
    );
  }
  const classes = given ?? (found.length > 0 ? found : (own ?? []));
  if (classes.length < 2) {
    const what = classes.length === 0 ? 'their names are not known' : `found one, "${classes[0]}"`;
    throw new UsageError(
      `${folder}: expected at least two classes to collect but ${what}\n` +
        'Hint: name all of them, such as --classes cat,dog.',
      { folder, classes },
    );
  }
  checkNames(classes);
  return classes;
}

/** Names of the folders in a folder, sorted by code unit, hidden ones left out; none if it is not there. */
async function classFolders(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return [];
    throw new DataError(`${folder}: expected a folder to collect into (${cause.message})`, { folder }, { cause });
  });
  const visible = names.filter((name) => !name.startsWith('.')).sort();
  const known = await Promise.all(visible.map((name) => isFolder(join(folder, name))));
  return visible.filter((_, n) => known[n]);
}

function checkNames(classes: readonly string[]): void {
  const faults = classes.flatMap((name, n) => {
    const fault = classes.indexOf(name) < n ? 'is there twice' : faultOf(name);
    return fault === null ? [] : [`${JSON.stringify(name)} ${fault}`];
  });
  if (faults.length === 0) return;
  const more = faults.length > SHOWN ? [`and ${faults.length - SHOWN} more`] : [];
  throw new UsageError(`classes: expected names of folders\n  ${[...faults.slice(0, SHOWN), ...more].join('\n  ')}`, {
    classes: faults,
  });
}

function faultOf(name: string): string | null {
  if (name === '') return 'is empty';
  if (/[/\0]/.test(name)) return 'has a slash or a NUL in it';
  if (name.startsWith('.')) return 'begins with a dot, which hides a folder';
  if (name === 'train') return 'is what the training part of a data set is called';
  return Buffer.byteLength(name) > MOST_BYTES ? `is longer than ${MOST_BYTES} bytes` : null;
}
