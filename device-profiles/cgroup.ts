/**
 * @file Limits that control groups put on this process: the smallest over the group and all its ancestors.
 *
 * A limit binds every group below it, so reading the process's own group alone would miss that of a slice or pod above.
 * Inside a container the own path may not exist below the mount; walking up ends at the mount's root, which is then the
 * container's group. Sources: Linux admin guide, cgroup-v2 (memory.max, memory.high, cpu.max) and cgroup-v1 memory.
 */

import { readFile } from 'node:fs/promises';
import { join, posix } from 'node:path';

export interface CgroupLimit {
  readonly value: number;
  /** File that holds it, seen from the root. */
  readonly file: string;
}

export interface CgroupLimits {
  readonly memoryBytes: CgroupLimit | null;
  /** CPU time in cores; may be a fraction. */
  readonly cpuCores: CgroupLimit | null;
}

/** Version 1 says "no limit" with the largest page-aligned number; nothing near it is a real limit. */
export const noLimitBytes = 2 ** 60;

/** A mounted hierarchy: version 2 has no controllers. */
export interface Mount {
  readonly controllers: readonly string[];
  /** Group that stands at the mount point; `/` unless a container has only its own part mounted. */
  readonly group: string;
  readonly point: string;
}

/** Where systems mount them, for the case that /proc/self/mountinfo cannot be read. */
const usualMounts: readonly Mount[] = [
  { controllers: [], group: '/', point: '/sys/fs/cgroup' },
  { controllers: [], group: '/', point: '/sys/fs/cgroup/unified' },
  { controllers: ['memory'], group: '/', point: '/sys/fs/cgroup/memory' },
  { controllers: ['cpu'], group: '/', point: '/sys/fs/cgroup/cpu' },
  { controllers: ['cpu', 'cpuacct'], group: '/', point: '/sys/fs/cgroup/cpu,cpuacct' },
];

/** Reads the limits of the calling process from the tree below `root`. */
export async function readCgroupLimits(root: string): Promise<CgroupLimits> {
  const groups = parseGroups((await read(root, '/proc/self/cgroup')) ?? '');
  const mounted = parseMounts((await read(root, '/proc/self/mountinfo')) ?? '');
  const mounts = mounted.length > 0 ? mounted : usualMounts;
  const memory: CgroupLimit[] = [];
  const cpu: CgroupLimit[] = [];
  for (const { controllers, path } of groups) {
    const folders = (wanted: string | null) =>
      mounts
        .filter((mount) => (wanted === null ? mount.controllers.length === 0 : mount.controllers.includes(wanted)))
        .flatMap((mount) => ancestors(mount, path));
    if (controllers.length === 0) {
      for (const folder of folders(null)) {
        memory.push(...(await readNumber(root, `${folder}/memory.max`)));
        memory.push(...(await readNumber(root, `${folder}/memory.high`)));
        cpu.push(...(await readCpuMax(root, `${folder}/cpu.max`)));
      }
    }
    if (controllers.includes('memory')) {
      for (const folder of folders('memory')) {
        memory.push(...(await readNumber(root, `${folder}/memory.limit_in_bytes`)));
      }
    }
    if (controllers.includes('cpu')) {
      for (const folder of folders('cpu')) cpu.push(...(await readCpuQuota(root, folder)));
    }
  }
  return { memoryBytes: smallest(memory.filter(({ value }) => value < noLimitBytes)), cpuCores: smallest(cpu) };
}

/** Lines of /proc/self/cgroup: `hierarchy:controllers:path`; version 2 has no controllers. */
export function parseGroups(text: string): { controllers: string[]; path: string }[] {
  return text
    .split('\n')
    .map((line) => /^\d+:([^:]*):(.*)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, controllers = '', path = '/']) => ({ controllers: controllers.split(',').filter(Boolean), path }));
}

/**
 * The cgroup lines of /proc/self/mountinfo: `id parent device root point options - type source superoptions`; a version 1
 * mount names its controllers among the last. Sources: Linux man page proc_pid_mountinfo(5).
 */
export function parseMounts(text: string): Mount[] {
  return text.split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , group = '/', point = ''] = before.split(' ');
    const [type, , options = ''] = after.split(' ');
    if (type === 'cgroup2') return [{ controllers: [], group, point }];
    // A version 1 mount always has words in it, so that it is never taken for version 2.
    return type === 'cgroup' ? [{ controllers: options.split(','), group, point }] : [];
  });
}

/**
 * The group's folder and those above it, down to the mount itself; `..` of a foreign namespace stays at the mount. Below a
 * mount that begins at some group, paths count from there.
 */
export function ancestors(mount: Mount, path: string): string[] {
  const whole = posix.normalize(`/${path}`);
  const inside = mount.group !== '/' && `${whole}/`.startsWith(`${mount.group}/`);
  const parts = (inside ? whole.slice(mount.group.length) : whole).split('/').filter(Boolean);
  return Array.from({ length: parts.length + 1 }, (_, up) =>
    posix.join(mount.point, ...parts.slice(0, parts.length - up)),
  );
}

async function readNumber(root: string, file: string): Promise<CgroupLimit[]> {
  const text = (await read(root, file))?.trim() ?? '';
  return /^\d+$/.test(text) ? [{ value: Number(text), file }] : [];
}

async function readCpuMax(root: string, file: string): Promise<CgroupLimit[]> {
  const match = /^(\d+) (\d+)/.exec((await read(root, file)) ?? '');
  return match ? [{ value: Number(match[1]) / Number(match[2]), file }] : [];
}

async function readCpuQuota(root: string, folder: string): Promise<CgroupLimit[]> {
  const [quota] = await readNumber(root, `${folder}/cpu.cfs_quota_us`);
  const [period] = await readNumber(root, `${folder}/cpu.cfs_period_us`);
  return quota && period ? [{ value: quota.value / period.value, file: quota.file }] : [];
}

function smallest(limits: readonly CgroupLimit[]): CgroupLimit | null {
  return limits.reduce<CgroupLimit | null>(
    (least, limit) => (least && least.value <= limit.value ? least : limit),
    null,
  );
}

async function read(root: string, file: string): Promise<string | null> {
  try {
    return await readFile(join(root, file), 'utf8');
  } catch {
    // Absent on most systems: each kernel, board and container lays out only a part of these files.
    return null;
  }
}
