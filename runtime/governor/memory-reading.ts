/** @file How much memory is left, read from the kernel: limits of control groups, the machine, pressure, and this process's own share. */
import { join } from 'node:path';
import { GroupMembers } from '../../device-profiles/probes/group-members.ts';
import { GroupMemory } from '../../device-profiles/probes/group-memory.ts';
import { memoryGroups } from '../../device-profiles/probes/memory-groups.ts';
import { PolledFile } from '../../device-profiles/probes/polled-file.ts';
import { Pressure, type PressureShares } from '../../device-profiles/probes/pressure.ts';
import { parseStatus } from '../../device-profiles/probes/process-status.ts';
import { parseMeminfo } from '../../device-profiles/proc-text.ts';

/** One look; bytes, and milliseconds of a clock that nobody sets. */
export interface MemoryReading {
  readonly atMillis: number;
  /** The control group with the least left, the own one or one above; null where none has a limit. */
  readonly group: GroupUsage | null;
  /** MemAvailable; null where /proc/meminfo cannot be read. */
  readonly availableBytes: number | null;
  /** Of the own group where the kernel tells it (version 2), else of the whole system; null where it tells none. */
  readonly pressure: PressureShares | null;
  /** What this process holds and no file backs. */
  readonly ownBytes: number;
}

export interface GroupUsage {
  /** Without cached files, which give way. */
  readonly usedBytes: number;
  readonly limitBytes: number;
  /** Whether somebody else is in it, who may take memory at any moment; of groups above the own one that is taken for granted. */
  readonly shared: boolean;
}

/** Bytes until something is killed or thrashes; infinite where nothing tells. */
export function leftBytes({ group, availableBytes }: Pick<MemoryReading, 'group' | 'availableBytes'>): number {
  return Math.min(
    group ? group.limitBytes - group.usedBytes : Number.POSITIVE_INFINITY,
    availableBytes ?? Number.POSITIVE_INFINITY,
  );
}

/** Keeps the files open; a reading takes about 0.1 ms. */
export class MemoryReader {
  readonly #groups: readonly GroupMemory[];
  /** Of the own group. */
  readonly #members: GroupMembers | null;
  readonly #pressure: Pressure | null;
  readonly #memory: PolledFile | null;
  readonly #status: PolledFile | null;

  private constructor(root: string) {
    const groups = memoryGroups(root);
    const [own = null] = groups;
    const found = groups.map((group) => GroupMemory.open(group));
    this.#groups = found.flatMap((each) => ('probe' in each ? [each.probe] : []));
    this.#members = own && found[0] && 'probe' in found[0] ? GroupMembers.open(own, root) : null;
    const pressure = Pressure.open(root, own);
    this.#pressure = 'probe' in pressure ? pressure.probe : null;
    this.#memory = PolledFile.open(join(root, 'proc/meminfo'));
    this.#status = PolledFile.open(join(root, 'proc/self/status'));
  }

  /** Null where nothing tells how much memory is left. @param root folder that holds `proc` and `sys`; default `/` */
  static open(root = '/'): MemoryReader | null {
    const reader = new MemoryReader(root);
    if (Number.isFinite(leftBytes(reader.read()))) return reader;
    reader.close();
    return null;
  }

  read(): MemoryReading {
    return {
      atMillis: performance.now(),
      group: this.#tightest(),
      availableBytes: this.#memory ? parseMeminfo(this.#memory.text()).availableBytes : null,
      pressure: this.#pressure?.shares() ?? null,
      ownBytes: parseStatus(this.#status?.text() ?? '').anonymousBytes,
    };
  }

  close(): void {
    for (const file of [...this.#groups, this.#members, this.#pressure, this.#memory, this.#status]) file?.close();
  }

  #tightest(): GroupUsage | null {
    const limited = this.#groups.flatMap((group, above): GroupUsage[] => {
      const limitBytes = group.limitBytes();
      const usage = limitBytes === null ? null : group.read();
      if (limitBytes === null || usage === null) return [];
      const shared = above > 0 || this.#members?.hasOthers() !== false;
      return [{ limitBytes, usedBytes: usage - (group.pageCacheBytes() ?? 0), shared }];
    });
    const left = ({ limitBytes, usedBytes }: GroupUsage): number => limitBytes - usedBytes;
    return limited.reduce<GroupUsage | null>(
      (least, each) => (least && left(least) <= left(each) ? least : each),
      null,
    );
  }
}
