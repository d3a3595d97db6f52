/** @file The control groups that count the memory of this process: its own and those above, in either version. */
import { accessSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ancestors, parseGroups, parseMounts } from '../cgroup.ts';
import type { ControlGroup } from './group-memory.ts';

/** The own group first. @param root folder that holds `proc` and `sys` */
export function memoryGroups(root: string): readonly ControlGroup[] {
  const groups = parseGroups(text(join(root, 'proc/self/cgroup')));
  const mounts = parseMounts(text(join(root, 'proc/self/mountinfo')));
  const found = ([version, usage]: readonly [1 | 2, string]): readonly ControlGroup[] => {
    const counts = (controllers: readonly string[]): boolean =>
      version === 2 ? controllers.length === 0 : controllers.includes('memory');
    const path = groups.find(({ controllers }) => counts(controllers))?.path;
    if (path === undefined) return [];
    return mounts
      .filter(({ controllers }) => counts(controllers))
      .flatMap((mount) => ancestors(mount, path))
      .map((folder) => ({ version, folder: join(root, folder) }))
      .filter(({ folder }) => exists(join(folder, usage)));
  };
  return (
    [
      [2, 'memory.current'],
      [1, 'memory.usage_in_bytes'],
    ] as const
  ).flatMap(found);
}

function text(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function exists(file: string): boolean {
  try {
    accessSync(file);
    return true;
  } catch {
    return false;
  }
}
