/** @file Files that are there whole or not at all. */
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DataError, EdgeshiftError } from '../errors.ts';

/**
 * Writes a file so that a crash or a full disk leaves the old one or the new one, never a part: temporary file beside
 * it, fsync, rename, fsync of the folder.
 * @throws DataError if it cannot be written; the temporary file is removed
 */
export async function writeAtomically(
  path: string,
  write: readonly Uint8Array[] | ((file: FileHandle) => Promise<void>),
): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    const file = await open(temporary, 'w');
    try {
      if (typeof write === 'function') await write(file);
      else for (const part of write) await file.writeFile(part);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (cause) {
    await rm(temporary, { force: true });
    if (cause instanceof EdgeshiftError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    const full = (cause as { code?: string }).code === 'ENOSPC';
    throw new DataError(
      `cannot write "${path}": ${reason}${full ? '\nHint: the disk is full; what was there before is unchanged' : ''}`,
      { path },
      { cause },
    );
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } catch {
    // Some file systems cannot sync a folder; the rename itself is atomic all the same.
  } finally {
    await handle.close();
  }
}
