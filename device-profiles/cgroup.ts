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
const noLimitBytes = 2 ** 60;

const version2Mounts = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified'];

/** Reads the limits of the calling process from the tree below `root`. */
export async function readCgroupLimits(root: string): Promise<CgroupLimits> {
  const groups = parseGroups((await read(root, '/proc/self/cgroup')) ?? '');
  const memory: CgroupLimit[] = [];
  const cpu: CgroupLimit[] = [];
  for (const { controllers, path } of groups) {
    if (controllers.length === 0) {
      for (const folder of version2Mounts.flatMap((mount) => ancestors(mount, path))) {
        memory.push(...(await readNumber(root, `${folder}/memory.max`)));
        memory.push(...(await readNumber(root, `${folder}/memory.high`)));
        cpu.push(...(await readCpuMax(root, `${folder}/cpu.max`)));
      }
    }
    if (controllers.includes('memory')) {
      for (const folder of ancestors('/sys/fs/cgroup/memory', path)) {
        memory.push(...(await readNumber(root, `${folder}/memory.limit_in_bytes`)));
      }
    }
    if (controllers.includes('cpu')) {
      for (const folder of [
        ...ancestors('/sys/fs/cgroup/cpu', path),
        ...ancestors('/sys/fs/cgroup/cpu,cpuacct', path),
      ]) {
        cpu.push(...(await readCpuQuota(root, folder)));
      }
    }
  }
  return { memoryBytes: smallest(memory.filter(({ value }) => value < noLimitBytes)), cpuCores: smallest(cpu) };
}

/** Lines of /proc/self/cgroup: `hierarchy:controllers:path`; version 2 has no controllers. */
function parseGroups(text: string): { controllers: string[]; path: string }[] {
  return text
    .split('\n')
    .map((line) => /^\d+:([^:]*):(.*)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, controllers = '', path = '/']) => ({ controllers: controllers.split(',').filter(Boolean), path }));
}

/** The group's folder and those above it, down to the mount itself; `..` of a foreign namespace stays at the mount. */
function ancestors(mount: string, path: string): string[] {
  const parts = posix.normalize(`/${path}`).split('/').filter(Boolean);
  return Array.from({ length: parts.length + 1 }, (_, up) => posix.join(mount, ...parts.slice(0, parts.length - up)));
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
