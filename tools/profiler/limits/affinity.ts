/** @file Fewer cores for a command, by util-linux's taskset. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Affinity {
  /** Cores that the command may run on; null: all that this process may. */
  readonly cores: number | null;
  wrap(command: readonly string[]): readonly string[];
  /** Why the cores are not as many as wanted; null if they are. */
  readonly missing: string | null;
}

const all = (missing: string | null): Affinity => ({ cores: null, wrap: (command) => command, missing });

/** The first `cores` of those that this process may run on. @param cores null: all of them */
export function affinity(cores: number | null, root: string): Affinity {
  if (cores === null) return all(null);
  const allowed = allowedCores(root);
  if (cores > allowed.length) return all(`${cores} cores: there are only ${allowed.length} here`);
  if (cores === allowed.length) return { ...all(null), cores };
  const list = allowed.slice(0, cores).join(',');
  const { status, error, stderr } = spawnSync('taskset', ['-c', list, 'true'], { encoding: 'utf8' });
  if (status !== 0) return all(`${cores} cores: taskset (util-linux): ${error?.message ?? stderr.trim()}`);
  return { cores, wrap: (command) => ['taskset', '-c', list, ...command], missing: null };
}

/** From `Cpus_allowed_list: 0-3,6` of proc_pid_status(5). */
export function allowedCores(root: string): number[] {
  const text = readFileSync(join(root, '/proc/self/status'), 'utf8');
  const ranges = (/^Cpus_allowed_list:\s*(\S+)$/m.exec(text)?.[1] ?? '').split(',');
  return ranges.filter(Boolean).flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, n) => first + n);
  });
}
