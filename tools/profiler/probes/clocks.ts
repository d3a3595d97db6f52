/** @file Clocks of the cores, as cpufreq tells them. Source: Linux admin guide, pm/cpufreq. */
import { join } from 'node:path';
import { PolledFile } from '../../../device-profiles/probes/polled-file.ts';
import type { Found } from '../../../device-profiles/probes/probe.ts';
import { entries, readLine } from './sysfs.ts';

/** Cores that are clocked together. */
interface Policy {
  readonly file: PolledFile;
  readonly cores: number;
}

export class Clocks {
  readonly #policies: readonly Policy[];

  private constructor(policies: readonly Policy[]) {
    this.#policies = policies;
  }

  static open(root: string): Found<Clocks> {
    const folders = entries(join(root, 'sys/devices/system/cpu/cpufreq'), /^policy\d+$/);
    const policies = folders.flatMap((folder): Policy[] => {
      const file = PolledFile.open(join(folder, 'scaling_cur_freq'));
      const cores = (readLine(join(folder, 'affected_cpus')) ?? '').split(/\s+/).filter(Boolean).length;
      return file === null ? [] : [{ file, cores: Math.max(1, cores) }];
    });
    return policies.length > 0
      ? { probe: new Clocks(policies) }
      : { missing: 'the kernel tells no clocks of the cores (no cpufreq policy)' };
  }

  /** Mean over the cores, in MHz. */
  read(): number | null {
    let [sum, cores] = [0, 0];
    for (const policy of this.#policies) {
      const kilohertz = policy.file.number();
      if (kilohertz === null) continue;
      sum += policy.cores * kilohertz;
      cores += policy.cores;
    }
    return cores > 0 ? sum / cores / 1000 : null;
  }

  close(): void {
    for (const { file } of this.#policies) file.close();
  }
}
