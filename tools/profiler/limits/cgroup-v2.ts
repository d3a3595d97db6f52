/**
 * @file Control groups of version 2. A group may have limited groups below it only if its controllers are delegated
 * (cgroup.subtree_control) and it holds no processes itself; so the new group is made below this process's own group where that is
 * possible, else beside it. Files and rules as in the Linux admin guide, cgroup-v2.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ancestors, parseGroups, parseMounts } from '../../../device-profiles/cgroup.ts';
import { delegate } from './delegate.ts';
import { enterCommand, proveEntry } from './enter.ts';
import { type ControlGroup, type Holder, type LimitWanted, orRefused, Refused } from './limit.ts';
import { readOomKills } from './oom-kills.ts';
import { makeGroup, removeGroup } from './own-groups.ts';

/** The kernel's default period; quotas are parts of it. */
const PERIOD_MICROS = 100_000;

/** Holds a command in a group below this process's own or beside it. @throws Refused */
export async function holdCgroupV2(wanted: LimitWanted, root: string): Promise<Holder> {
  const controllers = [
    ...(wanted.memoryBytes === null ? [] : ['memory']),
    ...(wanted.cpus === null ? [] : ['cpu']),
  ] as const;
  const { parent, restore } = await findParent(root, controllers);
  let folder: string | null = null;
  try {
    const group = await orRefused(`no group can be made in ${parent}`, () => makeGroup(parent));
    folder = group;
    await orRefused(`the limits of ${group}`, () => writeLimits(group, wanted));
    const procs = [join(group, 'cgroup.procs')];
    proveEntry(procs);
    const counted: ControlGroup | null = wanted.memoryBytes === null ? null : { version: 2, folder: group };
    return {
      kind: 'cgroup v2',
      cpus: wanted.cpus,
      wrap: (command) => enterCommand(procs, command),
      started: async () => counted,
      oomKills: () => counted && readOomKills(counted),
      [Symbol.asyncDispose]: async () => {
        await removeGroup(group);
        await restore();
      },
    };
  } catch (error) {
    if (folder !== null) await removeGroup(folder);
    await restore();
    throw error;
  }
}

async function writeLimits(folder: string, { memoryBytes, cpus }: LimitWanted): Promise<void> {
  if (memoryBytes !== null) {
    await writeFile(join(folder, 'memory.max'), `${memoryBytes}`);
    // Absent where the kernel was built without swap.
    await writeFile(join(folder, 'memory.swap.max'), '0', { flag: 'r+' }).catch(() => undefined);
  }
  if (cpus !== null) await writeFile(join(folder, 'cpu.max'), `${Math.round(cpus * PERIOD_MICROS)} ${PERIOD_MICROS}`);
}

interface Parent {
  readonly parent: string;
  /** Undoes what made it one. */
  restore(): Promise<void>;
}

/** The nearest group at or above this process's own that may have groups with these controllers. @throws Refused */
async function findParent(root: string, controllers: readonly string[]): Promise<Parent> {
  const path = parseGroups(await text(join(root, '/proc/self/cgroup'))).find(
    (group) => group.controllers.length === 0,
  )?.path;
  const mount = parseMounts(await text(join(root, '/proc/self/mountinfo'))).find(
    (mounted) => mounted.controllers.length === 0,
  );
  if (path === undefined || mount === undefined) throw new Refused('no hierarchy of version 2 is mounted');
  const [own = mount.point, ...above] = ancestors(mount, path).map((folder) => join(root, folder));
  await requireControllers(own, controllers);
  const reasons: string[] = [];
  for (const folder of [own, ...above]) {
    const delegated = words(await text(join(folder, 'cgroup.subtree_control')));
    if (controllers.every((name) => delegated.includes(name))) {
      return { parent: folder, restore: async () => undefined };
    }
    if (folder === own) {
      try {
        return { parent: own, restore: await delegate(own, controllers) };
      } catch (error) {
        reasons.push((error as Error).message);
      }
    }
    // Beside a limited group the command would escape that limit.
    if (await isLimited(folder)) {
      reasons.push(`${folder} is limited itself and does not delegate ${controllers.join(' and ')}`);
      break;
    }
  }
  throw new Refused([...reasons, 'no group above delegates more'].join('; '));
}

/** @throws Refused */
async function requireControllers(folder: string, controllers: readonly string[]): Promise<void> {
  const there = words(await text(join(folder, 'cgroup.controllers')));
  const missing = controllers.filter((name) => !there.includes(name));
  if (missing.length > 0) throw new Refused(`${folder} has no controller of ${missing.join(' and ')}`);
}

async function isLimited(folder: string): Promise<boolean> {
  const limits = await Promise.all(['memory.max', 'memory.high', 'cpu.max'].map((file) => text(join(folder, file))));
  return limits.some((limit) => /^\d/.test(limit));
}

const text = (file: string): Promise<string> => readFile(file, 'utf8').catch(() => '');
const words = (line: string): readonly string[] => line.trim().split(/\s+/);
