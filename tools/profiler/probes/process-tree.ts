/** @file A process and all that descend from it. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { statField } from './process-stat.ts';

/** Numbers of the processes, the root first; empty if it is gone. */
export function processTree(root: string, pid: number): number[] {
  const folder = join(root, 'proc');
  const children =
    childrenOf(folder, pid) === null ? fromParents(folder) : (parent: number) => childrenOf(folder, parent);
  const found: number[] = [];
  const visit = (process: number): void => {
    found.push(process);
    for (const child of children(process) ?? []) visit(child);
  };
  if (read(join(folder, `${pid}`, 'stat')) !== null) visit(pid);
  return found;
}

/** Each thread lists the processes it has started; null where the kernel was built without (CONFIG_PROC_CHILDREN). */
function childrenOf(folder: string, pid: number): number[] | null {
  const tasks = join(folder, `${pid}`, 'task');
  const lists = names(tasks).map((thread) => read(join(tasks, thread, 'children')));
  if (lists.length > 0 && lists.every((list) => list === null)) return null;
  return lists.flatMap((list) => (list ?? '').split(' ').filter(Boolean).map(Number));
}

/** From the parents that all processes of the system name. */
function fromParents(folder: string): (parent: number) => readonly number[] {
  const children = new Map<number, number[]>();
  for (const name of names(folder)) {
    if (!/^\d+$/.test(name)) continue;
    const stat = read(join(folder, name, 'stat')) ?? '';
    const parent = statField(stat, 4);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  return (parent) => children.get(parent) ?? [];
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return null;
  }
}
