/** @file What a control group counts: memory of all its processes and the files cached in its name. */
import { join } from 'node:path';
import { noLimitBytes } from '../cgroup.ts';
import { PolledFile } from './polled-file.ts';
import type { Found } from './probe.ts';

/** Folder of a control group that counts memory. */
export interface ControlGroup {
  readonly version: 1 | 2;
  readonly folder: string;
}

/** Names of the files, and of the fields of memory.stat: of version 1 those that count groups below, too. */
const names = {
  1: {
    ...{
      usage: 'memory.usage_in_bytes',
      peak: 'memory.max_usage_in_bytes',
      cache: 'total_cache',
      shared: 'total_shmem',
    },
    limits: ['memory.limit_in_bytes'],
  },
  2: {
    ...{ usage: 'memory.current', peak: 'memory.peak', cache: 'file', shared: 'shmem' },
    limits: ['memory.max', 'memory.high'],
  },
} as const;

export class GroupMemory {
  readonly #version: 1 | 2;
  readonly #usage: PolledFile;
  readonly #stat: PolledFile | null;
  readonly #peak: PolledFile | null;
  readonly #limits: readonly (PolledFile | null)[];
  #highest = 0;

  private constructor({ version, folder }: ControlGroup, usage: PolledFile) {
    this.#version = version;
    this.#usage = usage;
    this.#stat = PolledFile.open(join(folder, 'memory.stat'));
    this.#peak = PolledFile.open(join(folder, names[version].peak));
    this.#limits = names[version].limits.map((name) => PolledFile.open(join(folder, name)));
  }

  static open(group: ControlGroup | null): Found<GroupMemory> {
    if (group === null) return { missing: 'no control group counts the memory of this command' };
    const file = join(group.folder, names[group.version].usage);
    const usage = PolledFile.open(file);
    return usage === null ? { missing: `${file} cannot be read` } : { probe: new GroupMemory(group, usage) };
  }

  /** Usage in bytes; null once the group is gone. */
  read(): number | null {
    const usageBytes = this.#usage.number();
    if (usageBytes !== null) this.#highest = Math.max(this.#highest, usageBytes, this.#peak?.number() ?? 0);
    return usageBytes;
  }

  /** Part of the usage that gives way: files cached in the group's name. */
  pageCacheBytes(): number | null {
    const { cache, shared } = names[this.#version];
    const stat = this.#stat?.text() ?? '';
    const cached = field(stat, cache);
    // Memory that processes share without a file is counted as cache, too.
    return cached === null ? null : cached - (field(stat, shared) ?? 0);
  }

  /** The group's own limit in bytes; null where it has none. */
  limitBytes(): number | null {
    const limits = this.#limits.flatMap((file) => file?.number() ?? []).filter((bytes) => bytes < noLimitBytes);
    return limits.length === 0 ? null : Math.min(...limits);
  }

  /** The kernel's own high water mark where it keeps one (version 2: from Linux 5.19), else the highest that was read. */
  get peakBytes(): number {
    return this.#highest;
  }

  close(): void {
    for (const file of [this.#usage, this.#stat, this.#peak, ...this.#limits]) file?.close();
  }
}

/** A line `name 123`. */
function field(text: string, name: string): number | null {
  const digits = new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1];
  return digits === undefined ? null : Number(digits);
}
