/** @file Folders and attributes of /sys. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Paths of the entries of a folder whose names match, in the order of the numbers in them; none if there is no such folder. */
export function entries(folder: string, name: RegExp): string[] {
  try {
    return readdirSync(folder)
      .filter((entry) => name.test(entry))
      .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
      .map((entry) => join(folder, entry));
  } catch {
    return [];
  }
}

/** Text of a small file without spaces around it; null if it cannot be read. */
export function readLine(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return null;
  }
}
