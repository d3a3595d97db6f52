/** @file Processes killed for memory, as a control group counts them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ControlGroup } from './limit.ts';

/** Null where the group is gone or its kernel does not count (version 1 before Linux 4.13). */
export function readOomKills({ version, folder }: ControlGroup): number | null {
  try {
    const text = readFileSync(join(folder, version === 2 ? 'memory.events' : 'memory.oom_control'), 'utf8');
    const count = /^oom_kill (\d+)$/m.exec(text)?.[1];
    return count === undefined ? null : Number(count);
  } catch {
    return null;
  }
}
