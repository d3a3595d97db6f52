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
import { parseCpuinfo, parseDeviceTreeStrings, parseMeminfo, parseNvpmodel, parseTegraRelease } from './proc-text.ts';
import type { DeviceProfile, Figure } from './schema.ts';

/** Name of the mode of a board that has none, or whose modes were not found. */
const noMode = 'default';

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
  const { totalBytes, availableBytes } = parseMeminfo(await readText(root, '/proc/meminfo'));
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
  const { processors, model, megahertz } = parseCpuinfo(await readText(root, '/proc/cpuinfo'));
  // availableParallelism knows the affinity mask of this process; it says nothing about a tree laid out by a test.
  const cores = root === '/' ? availableParallelism() : Math.max(1, processors);
  const kilohertz = Number.parseInt(await readText(root, '/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq'), 10);
  const clock =
    kilohertz > 0
      ? read('cpufreq/cpuinfo_max_freq of cpu0', kilohertz / 1000)
      : megahertz !== null
        ? read('"cpu MHz" of /proc/cpuinfo, at this moment', megahertz)
        : null;
  return {
    model: model || 'unknown',
    architecture: process.arch,
    cores: read(root === '/' ? 'cores this process may run on' : 'processors in /proc/cpuinfo', cores),
    ...(clock && { clockMegahertz: clock }),
  };
}

/** Board name and ids from the device tree, and the release of Jetson Linux. */
async function readBoard(root: string): Promise<{ title: string; modules: string[]; release: string }> {
  const [title = ''] = parseDeviceTreeStrings(await readText(root, '/proc/device-tree/model'));
  const modules = parseDeviceTreeStrings(await readText(root, '/proc/device-tree/compatible'));
  return { title, modules, release: parseTegraRelease(await readText(root, '/etc/nv_tegra_release')) ?? '' };
}

/** The mode nvpmodel last set; its name and watts stand in the board's own configuration. */
async function readPowerMode(root: string): Promise<DeviceProfile['powerMode']> {
  const [status, configuration] = await Promise.all(
    ['/var/lib/nvpmodel/status', '/etc/nvpmodel.conf'].map((file) => readText(root, file)),
  );
  const mode = parseNvpmodel(status ?? '', configuration ?? '');
  if (!mode) return { name: noMode };
  const { id, watts } = mode;
  const name = mode.name ?? `mode ${id}`;
  return { name, id, ...(watts !== null && { watts: read('name of the mode in /etc/nvpmodel.conf', watts) }) };
}

/**
 * The shipped profiles that the machine may be an instance of: same module, power mode of the same name, and a memory
 * that Linux may see this much of. More than one where a mode's name alone does not tell (before and after an update).
 */
export function alikeProfiles(machine: DeviceProfile, shipped: readonly DeviceProfile[]): DeviceProfile[] {
  const ids = machine.modules.join(' ');
  const seenBytes = machine.memoryTotalBytes.value;
  return shipped.filter(
    ({ modules, powerMode, memoryTotalBytes }) =>
      modules.some((id) => ids.includes(id)) &&
      [machine.powerMode.name, noMode].includes(powerMode.name) &&
      seenBytes <= memoryTotalBytes.value &&
      seenBytes > memoryTotalBytes.value * LEAST_SEEN,
  );
}

/** Linux sees at least this share of a module's memory; the sizes sold of one module differ by a factor of two. */
const LEAST_SEEN = 0.6;

/** Text of a file, or nothing where the system does not have it. */
async function readText(root: string, path: string): Promise<string> {
  try {
    return await readFile(join(root, path), 'utf8');
  } catch {
    return '';
  }
}
