/** @file A file of a bundle, wherever its bytes come from. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError } from '../../../runtime/errors.ts';

export interface BundleFile {
  /** Inside of the bundle, with slashes. */
  readonly path: string;
  readonly mode: '644' | '755';
  /** Path of the file that has its bytes, or the bytes. */
  readonly content: string | Uint8Array;
}

/** What the bundle says of each file. */
export interface HashedFile {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly mode: '644' | '755';
}

export const textFile = (path: string, text: string, mode: BundleFile['mode'] = '644'): BundleFile => ({
  ...{ path, mode },
  content: new TextEncoder().encode(text),
});

/** Names that no shell, `sha256sum -c` or tar reads as anything but themselves. */
const PLAIN_PATH = /^[A-Za-z0-9_@+=,.~-]+(\/[A-Za-z0-9_@+=,.~-]+)*$/;

export const isPlainPath = (path: string): boolean =>
  PLAIN_PATH.test(path) && !path.split('/').some((part) => part === '.' || part === '..' || part.startsWith('-'));

/**
 * The files in the order of their paths, by UTF-16 code units, in which a bundle holds them.
 * @throws DataError if a name is not plain, or there twice
 */
export function inOrder(files: readonly BundleFile[]): readonly BundleFile[] {
  const sorted = files.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  for (const [at, { path }] of sorted.entries()) {
    if (!isPlainPath(path)) {
      throw new DataError(
        `${JSON.stringify(path)} cannot stand in a bundle: expected letters, digits and _@+=,.~- between slashes, no - first\n` +
          'Hint: give the file another name',
        { path },
      );
    }
    if (path === sorted[at + 1]?.path) throw new DataError(`the bundle would hold "${path}" twice`, { path });
  }
  return sorted;
}

/** @throws DataError if it cannot be read */
export async function bytesOf({ content }: BundleFile): Promise<Uint8Array> {
  if (typeof content !== 'string') return content;
  return readFile(content).catch((cause: unknown) => {
    throw new DataError(`cannot read "${content}": ${(cause as Error).message}`, { path: content }, { cause });
  });
}

export async function hashed(file: BundleFile): Promise<HashedFile> {
  const bytes = await bytesOf(file);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return { path: file.path, bytes: bytes.length, sha256, mode: file.mode };
}

/** Paths of a folder's files, seen from it. @throws DataError for what is neither file nor folder, such as a link */
export async function filesBelow(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const found = await Promise.all(
    entries.map(async (entry): Promise<readonly string[]> => {
      if (entry.isFile()) return [entry.name];
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return (await filesBelow(path)).map((name) => `${entry.name}/${name}`);
      throw new DataError(`"${path}" is neither a file nor a folder, and a bundle holds nothing else`, { path });
    }),
  );
  return found.flat();
}
