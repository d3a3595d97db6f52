/** @file Who shares a control group with this process. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ControlGroup } from './group-memory.ts';
import { PolledFile } from './polled-file.ts';

export class GroupMembers {
  readonly #processes: PolledFile;
  readonly #proc: string;
  #seen: string | null = null;
  #hasOthers = true;

  private constructor(processes: PolledFile, proc: string) {
    this.#processes = processes;
    this.#proc = proc;
  }

  /** Null if the group does not tell. @param root folder that holds `proc` */
  static open({ folder }: ControlGroup, root: string): GroupMembers | null {
    const processes = PolledFile.open(join(folder, 'cgroup.procs'));
    return processes && new GroupMembers(processes, join(root, 'proc'));
  }

  /** Whether a process is in it that neither started this one nor was started by it. Looked up anew when another one comes or goes. */
  hasOthers(): boolean {
    const text = this.#processes.text();
    if (text === this.#seen) return this.#hasOthers;
    this.#seen = text;
    const family = new Set([process.pid, ...(this.#ancestors(process.pid) ?? [])]);
    this.#hasOthers = text
      .split('\n')
      .filter(Boolean)
      .map(Number)
      .some((pid) => !family.has(pid) && this.#ancestors(pid)?.includes(process.pid) === false);
    return this.#hasOthers;
  }

  close(): void {
    this.#processes.close();
  }

  /** Null for a process that has ended since it was listed: it takes nothing any more. */
  #ancestors(pid: number): readonly number[] | null {
    const found: number[] = [];
    for (let at = pid; at > 0; found.push(at)) {
      const parent = this.#parent(at);
      if (parent === null) return null;
      if (parent === 0) break;
      at = parent;
    }
    return found;
  }

  /** 0 for the first process and for those of another namespace, which are listed as 0 themselves; null for one that has ended. */
  #parent(pid: number): number | null {
    try {
      const stat = readFileSync(join(this.#proc, `${pid}`, 'stat'), 'latin1');
      // Fields of proc_pid_stat(5); the name in the second may hold anything, even brackets.
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) || 0;
    } catch {
      return null;
    }
  }
}
