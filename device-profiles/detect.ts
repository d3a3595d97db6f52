/**
 * @file Reads a profile from the running system: board, power mode, cores, memory and the limits of the container.
 *
 * Everything comes from files below `root`, so that a test can lay out another machine. Bandwidth and arithmetic rates
 * are left out: they cannot be read, only measured.
 */

import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { ProfileError } from '../runtime/errors.ts';
import { readCgroupLimits } from './cgroup.ts';
import type { DeviceProfile, Figure } from './schema.ts';

/** Arm's part numbers of the cores found on the usual boards (MIDR_EL1, implementer 0x41). */
const armParts: Readonly<Record<string, string>> = {
  '0xd03': 'Cortex-A53',
  '0xd05': 'Cortex-A55',
  '0xd07': 'Cortex-A57',
  '0xd08': 'Cortex-A72',
  '0xd0b': 'Cortex-A76',
  '0xd42': 'Cortex-A78AE',
};

/**
 * Describes the machine as it is now.
 *
 * `limits.memoryBytes` is the smaller of MemAvailable and the tightest cgroup limit. What the process's group uses
 * already is not subtracted: most of it is page cache, which gives way.
 *
 * @param root Folder that holds `proc`, `sys`, `etc` and `var`.
 * @throws ProfileError if /proc/meminfo cannot be read (not Linux).
 */
export async function detectDevice(root = '/'): Promise<DeviceProfile> {
  const [memory, cpu, board, powerMode, cgroup] = await Promise.all([
    readMemory(root),
    readCpu(root),
    readBoard(root),
    readPowerMode(root),
    readCgroupLimits(root),
  ]);
  const available = read('MemAvailable of /proc/meminfo', memory.availableBytes);
  const limited = cgroup.memoryBytes;
  const capped = limited !== null && limited.value < available.value ? read(limited.file, limited.value) : available;
  const usableBytes = Math.min(memory.totalBytes, limited?.value ?? Number.POSITIVE_INFINITY);
  const quota = cgroup.cpuCores;
  const threads =
    quota !== null && quota.value < cpu.cores.value
      ? read(`${quota.file}, rounded up`, Math.max(1, Math.ceil(quota.value)))
      : cpu.cores;
  return {
    name: 'this-machine',
    title: board.title || cpu.model,
    modules: board.modules,
    powerMode,
    cpu,
    memoryTotalBytes: read('MemTotal of /proc/meminfo, what Linux sees', memory.totalBytes),
    memoryUsableBytes: read(
      limited !== null && limited.value < memory.totalBytes ? limited.file : 'MemTotal of /proc/meminfo',
      usableBytes,
    ),
    limits: { memoryBytes: capped, threads },
    sources: { live: `read from the running system${board.release && `, Jetson Linux ${board.release}`}` },
  };
}

function read(what: string, value: number): Figure {
  return { value, kind: 'measured', source: `live: ${what}` };
}

async function readMemory(root: string): Promise<{ totalBytes: number; availableBytes: number }> {
  const text = await readText(root, '/proc/meminfo');
  const field = (name: string) => {
    const match = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text);
    return match ? Number(match[1]) * 1024 : null;
  };
  const totalBytes = field('MemTotal');
  // Kernels before 3.14 have no MemAvailable; what is free then is the careful answer.
  const availableBytes = field('MemAvailable') ?? field('MemFree');
  if (totalBytes === null || availableBytes === null) {
    throw new ProfileError(
      'this-machine: expected MemTotal and MemAvailable in /proc/meminfo but found none\n' +
        'Hint: live detection needs Linux; name a device profile instead.',
      { file: '/proc/meminfo' },
    );
  }
  return { totalBytes, availableBytes };
}

async function readCpu(root: string): Promise<DeviceProfile['cpu']> {
  const text = await readText(root, '/proc/cpuinfo');
  const listed = text.match(/^processor\s*:/gm)?.length ?? 0;
  // availableParallelism knows the affinity mask of this process; it says nothing about a tree laid out by a test.
  const cores = root === '/' ? availableParallelism() : Math.max(1, listed);
  const part = /^CPU part\s*:\s*(\S+)/m.exec(text)?.[1] ?? '';
  const model = /^model name\s*:\s*(.+)$/m.exec(text)?.[1]?.trim();
  const kilohertz = Number.parseInt(await readText(root, '/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq'), 10);
  const megahertz = Number(/^cpu MHz\s*:\s*([\d.]+)/m.exec(text)?.[1]);
  const clock =
    kilohertz > 0
      ? read('cpufreq/cpuinfo_max_freq of cpu0', kilohertz / 1000)
      : megahertz > 0
        ? read('"cpu MHz" of /proc/cpuinfo, at this moment', megahertz)
        : null;
  return {
    model: armParts[part] ?? model ?? 'unknown',
    architecture: process.arch,
    cores: read(root === '/' ? 'cores this process may run on' : 'processors in /proc/cpuinfo', cores),
    ...(clock && { clockMegahertz: clock }),
  };
}

/** Board name and ids from the device tree (NUL-terminated strings) and the release of Jetson Linux. */
async function readBoard(root: string): Promise<{ title: string; modules: string[]; release: string }> {
  const title = (await readText(root, '/proc/device-tree/model')).split('\0')[0]?.trim() ?? '';
  const compatible = (await readText(root, '/proc/device-tree/compatible')).split('\0').filter(Boolean);
  const match = /R(\d+) \(release\), REVISION: ([\d.]+)/.exec(await readText(root, '/etc/nv_tegra_release'));
  return { title, modules: compatible, release: match ? `${match[1]}.${match[2]}` : '' };
}

/** The mode nvpmodel last set; its name and watts stand in the board's own configuration. */
async function readPowerMode(root: string): Promise<DeviceProfile['powerMode']> {
  const status = /pmode:(\d+)/.exec(await readText(root, '/var/lib/nvpmodel/status'));
  if (!status) return { name: 'default' };
  const id = Number(status[1]);
  const modes = (await readText(root, '/etc/nvpmodel.conf')).matchAll(/<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>/g);
  const name = [...modes].find((mode) => Number(mode[1]) === id)?.[2] ?? `mode ${id}`;
  const watts = Number(/(\d+)W/.exec(name)?.[1]);
  return { name, id, ...(watts > 0 && { watts: read('name of the mode in /etc/nvpmodel.conf', watts) }) };
}

/** Text of a file, or nothing where the system does not have it. */
async function readText(root: string, path: string): Promise<string> {
  try {
    return await readFile(join(root, path), 'utf8');
  } catch {
    return '';
  }
}
