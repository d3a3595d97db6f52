/** @file Pressure stall information of memory. Source: Linux kernel documentation, accounting/psi. */
import { join } from 'node:path';
import type { ControlGroup } from './group-memory.ts';
import { PolledFile } from './polled-file.ts';
import type { Found } from './probe.ts';

/** Shares of the last ten seconds, 0 to 1. */
export interface PressureShares {
  readonly some: number;
  readonly full: number;
}

export class Pressure {
  /** Whether it is that of the command's group alone. */
  readonly isOwn: boolean;
  readonly #file: PolledFile;

  private constructor(file: PolledFile, isOwn: boolean) {
    this.#file = file;
    this.isOwn = isOwn;
  }

  /** The command's own where its group has version 2, else the whole system's. */
  static open(root: string, group: ControlGroup | null): Found<Pressure> {
    const own = group?.version === 2 ? PolledFile.open(join(group.folder, 'memory.pressure')) : null;
    const file = own ?? PolledFile.open(join(root, 'proc/pressure/memory'));
    return file === null
      ? { missing: 'the kernel tells no memory pressure (CONFIG_PSI, or psi=1 on its command line)' }
      : { probe: new Pressure(file, own !== null) };
  }

  /** Share of the last ten seconds in which some task waited for memory, 0 to 1. The kernel renews it every two seconds. */
  read(): number | null {
    return this.shares()?.some ?? null;
  }

  /** That, and the share in which all tasks that had something to do waited (0 on kernels that tell the first alone). */
  shares(): PressureShares | null {
    const text = this.#file.text();
    const [some, full] = ['some', 'full'].map((kind) => new RegExp(`^${kind} avg10=([\\d.]+)`, 'm').exec(text)?.[1]);
    return some === undefined ? null : { some: Number(some) / 100, full: Number(full ?? 0) / 100 };
  }

  close(): void {
    this.#file.close();
  }
}
