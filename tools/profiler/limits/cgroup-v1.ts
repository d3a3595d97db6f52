/**
 * @file Control groups of version 1: memory and CPU are two hierarchies with a group in each. Files as in the Linux admin guide,
 * cgroup-v1/memory, and scheduler/sched-bwc.
 */
import { access, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ancestors, parseGroups, parseMounts } from '../../../device-profiles/cgroup.ts';
import { enterCommand, proveEntry } from './enter.ts';
import { type ControlGroup, type Holder, type LimitWanted, orRefused, Refused } from './limit.ts';
import { readOomKills } from './oom-kills.ts';
import { makeGroup, removeGroup } from './own-groups.ts';

/** The kernel's default period; quotas are parts of it. */
const PERIOD_MICROS = 100_000;

/** Holds a command in groups below this process's own. @throws Refused */
export async function holdCgroupV1(wanted: LimitWanted, root: string): Promise<Holder> {
  const groups: string[] = [];
  try {
    const memory = wanted.memoryBytes === null ? null : await memoryGroup(root, wanted.memoryBytes, groups);
    const cpus = wanted.cpus === null ? null : await cpuGroup(root, wanted.cpus, groups);
    const procs = groups.map((group) => join(group, 'cgroup.procs'));
    proveEntry(procs);
    return {
      kind: 'cgroup v1',
      cpus,
      wrap: (command) => enterCommand(procs, command),
      started: async () => memory,
      oomKills: () => memory && readOomKills(memory),
      [Symbol.asyncDispose]: () => removeAll(groups),
    };
  } catch (error) {
    await removeAll(groups);
    throw error;
  }
}

async function removeAll(groups: readonly string[]): Promise<void> {
  for (const group of groups) await removeGroup(group);
}

async function memoryGroup(root: string, bytes: number, groups: string[]): Promise<ControlGroup> {
  const folder = await ownGroup(root, 'memory', groups);
  await orRefused(`${folder}/memory.limit_in_bytes`, async () => {
    await writeFile(join(folder, 'memory.limit_in_bytes'), `${bytes}`);
    // Absent where the kernel does not count swap; then it must have none for the limit to mean memory.
    const withSwap = join(folder, 'memory.memsw.limit_in_bytes');
    if (await exists(withSwap)) await writeFile(withSwap, `${bytes}`);
  });
  return { version: 1, folder };
}

/** Null where the CPU hierarchy cannot be had but memory is limited, which is worth having alone. @throws Refused */
async function cpuGroup(root: string, cpus: number, groups: string[]): Promise<number | null> {
  const isAlone = groups.length === 0;
  try {
    const folder = await ownGroup(root, 'cpu', groups);
    await writeFile(join(folder, 'cpu.cfs_period_us'), `${PERIOD_MICROS}`);
    await writeFile(join(folder, 'cpu.cfs_quota_us'), `${Math.round(cpus * PERIOD_MICROS)}`);
    return cpus;
  } catch (error) {
    if (isAlone) throw error instanceof Refused ? error : new Refused(String(error), { cause: error });
    return null;
  }
}

/** A new group below the one that this process is in. */
async function ownGroup(root: string, controller: string, groups: string[]): Promise<string> {
  const [own, mounts] = await Promise.all(
    ['/proc/self/cgroup', '/proc/self/mountinfo'].map((file) => readFile(join(root, file), 'utf8').catch(() => '')),
  );
  const path = parseGroups(own ?? '').find(({ controllers }) => controllers.includes(controller))?.path;
  const mount = parseMounts(mounts ?? '').find(({ controllers }) => controllers.includes(controller));
  if (path === undefined || mount === undefined) throw new Refused(`no ${controller} hierarchy is mounted`);
  const parent = join(root, ancestors(mount, path)[0] ?? mount.point);
  const folder = await orRefused(`no group can be made in ${parent}`, () => makeGroup(parent));
  groups.push(folder);
  return folder;
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
