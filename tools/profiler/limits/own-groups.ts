/**
 * @file Control groups made by this program: named by the process that made them, so that those of a killed process can be told
 * from those in use.
 */
import { readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { statField } from '../probes/process-stat.ts';
import { kill } from './kill.ts';

const NAME = /^edgeshift-(\d+)-(\d+)-\d+$/;

/** How long killed processes may take to leave a group. */
const LEAVE_MILLIS = 2000;
const POLL_MILLIS = 10;

let made = 0;

/** Makes a group below another one, and removes what killed processes left there. */
export async function makeGroup(parent: string): Promise<string> {
  await removeStale(parent);
  const folder = join(parent, `edgeshift-${process.pid}-${startTicks(process.pid)}-${made++}`);
  await mkdir(folder);
  return folder;
}

/** Kills what is left inside and removes the group; false if it could not be removed, which the next start tries again. */
export async function removeGroup(folder: string): Promise<boolean> {
  for (const end = performance.now() + LEAVE_MILLIS; ; await delay(POLL_MILLIS)) {
    const processes = await processesOf(folder);
    // A process of another namespace shows as 0: it is none of ours.
    if (processes.includes(0)) return false;
    for (const pid of processes) if (pid !== process.pid) kill(pid);
    try {
      await rmdir(folder);
      return true;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return true;
      if (code !== 'EBUSY' || performance.now() > end) return false;
    }
  }
}

/** Removes groups whose makers are gone, with the commands that outlived them. */
async function removeStale(parent: string): Promise<void> {
  const names = await readdir(parent).catch((): string[] => []);
  for (const name of names) {
    const [, pid, ticks] = NAME.exec(name) ?? [];
    if (pid !== undefined && startTicks(Number(pid)) !== Number(ticks)) await removeGroup(join(parent, name));
  }
}

/** Processes of a group; none where it does not exist. */
export async function processesOf(folder: string): Promise<number[]> {
  const text = await readFile(join(folder, 'cgroup.procs'), 'utf8').catch(() => '');
  return text.split('\n').filter(Boolean).map(Number);
}

/** When a process started, in clock ticks since boot: tells it from a later one of the same number. Null: there is none. */
function startTicks(pid: number): number | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return statField(text, 22);
  } catch {
    return null;
  }
}
