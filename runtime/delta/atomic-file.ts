/** @file Files that are there whole or not at all. */
import { type FileHandle, open, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
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
    throw cause instanceof EdgeshiftError ? cause : diskError(path, cause);
  }
}

/** What the system said when it refused to write. */
export function diskError(path: string, cause: unknown): DataError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const full = (cause as { code?: string }).code === 'ENOSPC';
  const hint = full ? '\nHint: the disk is full; what was there before is unchanged' : '';
  return new DataError(`cannot write "${path}": ${reason}${hint}`, { path }, { cause });
}

/** Removes what killed processes left of `writeAtomically` in a folder that nobody writes to now. */
export async function removeTemporaries(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => [] as string[]);
  for (const name of names) if (/\.\d+\.tmp$/.test(name)) await rm(join(folder, name), { force: true });
}

/**
 * Writes all bytes at a place of a file and gives their number. A single call of the system may write fewer, as on a disk
 * that is nearly full.
 */
export async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<number> {
  let done = 0;
  while (done < bytes.length) {
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
  return done;
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
