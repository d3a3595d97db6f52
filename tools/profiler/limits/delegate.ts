/**
 * @file Hands controllers of a version 2 group down to groups below it. All but the root group must hold no processes then; where
 * this process is the only one, it moves into a group below for as long.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Refused } from './limit.ts';
import { makeGroup, processesOf, removeGroup } from './own-groups.ts';

/** Gives what undoes it. @throws Refused */
export async function delegate(folder: string, controllers: readonly string[]): Promise<() => Promise<void>> {
  const control = join(folder, 'cgroup.subtree_control');
  const write = (sign: string): Promise<void> =>
    writeFile(control, controllers.map((name) => `${sign}${name}`).join(' '), { flag: 'r+' });
  const withdraw = (): Promise<void> => write('-').catch(() => undefined);
  try {
    await write('+');
    return withdraw;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== 'EBUSY') throw new Refused(`${control} cannot be written: ${code}`, { cause });
  }
  const others = (await processesOf(folder)).filter((pid) => pid !== process.pid);
  if (others.length > 0) throw new Refused(`${folder} holds ${others.length} other processes and cannot delegate`);
  const back = await moveBelow(folder);
  try {
    await write('+');
  } catch (cause) {
    await back();
    throw new Refused(`${control} cannot be written: ${(cause as NodeJS.ErrnoException).code}`, { cause });
  }
  return async () => {
    await withdraw();
    await back();
  };
}

/** Moves this process into a group of its own; gives the way back. */
async function moveBelow(folder: string): Promise<() => Promise<void>> {
  try {
    const leaf = await makeGroup(folder);
    const back = async (): Promise<void> => {
      await writeFile(join(folder, 'cgroup.procs'), `${process.pid}`);
      await removeGroup(leaf);
    };
    await writeFile(join(leaf, 'cgroup.procs'), `${process.pid}`);
    return back;
  } catch (cause) {
    throw new Refused(`no group can be made in ${folder}: ${(cause as NodeJS.ErrnoException).code}`, { cause });
  }
}
