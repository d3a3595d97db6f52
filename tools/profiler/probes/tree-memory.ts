/** @file Resident memory of a process and its descendants. */
import { join } from 'node:path';
import { PolledFile } from '../../../device-profiles/probes/polled-file.ts';
import { kibibytes, type ProcessBytes, parseStatus } from '../../../device-profiles/probes/process-status.ts';
import { processTree } from './process-tree.ts';

export class TreeMemory {
  readonly #root: string;
  readonly #pid: number;
  readonly #files = new Map<number, PolledFile>();
  #peakBytes = 0;

  /** @param root folder that holds `proc` */
  constructor(root: string, pid: number) {
    this.#root = root;
    this.#pid = pid;
    this.search();
  }

  /** Processes as of the last search. */
  processes(): readonly number[] {
    return [...this.#files.keys()];
  }

  /** Looks for processes that were started or ended. */
  search(): void {
    const found = new Set(processTree(this.#root, this.#pid));
    for (const [pid, file] of this.#files) {
      if (found.has(pid)) continue;
      file.close();
      this.#files.delete(pid);
    }
    for (const pid of found) {
      const file = this.#files.has(pid) ? null : PolledFile.open(join(this.#root, `proc/${pid}/status`));
      if (file !== null) this.#files.set(pid, file);
    }
  }

  /** Sums over the processes; pages that several share count for each. */
  read(): ProcessBytes {
    let [rssBytes, anonymousBytes, fileBytes] = [0, 0, 0];
    for (const [pid, file] of this.#files) {
      const status = parseStatus(file.text());
      if (pid === this.#pid) this.#peakBytes = Math.max(this.#peakBytes, status.peakBytes);
      rssBytes += status.rssBytes;
      anonymousBytes += status.anonymousBytes;
      fileBytes += status.fileBytes;
    }
    return { rssBytes, anonymousBytes, fileBytes };
  }

  /** VmHWM of the first process, as of the last read. */
  get peakBytes(): number {
    return this.#peakBytes;
  }

  /**
   * Proportional set size: a page that n processes share counts for a part in n. The kernel walks all pages for it, some
   * milliseconds for 200 MB. Null where it does not tell (before Linux 4.14) or this user may not know.
   */
  pssBytes(): number | null {
    let sum: number | null = null;
    for (const pid of this.#files.keys()) {
      const file = PolledFile.open(join(this.#root, `proc/${pid}/smaps_rollup`));
      const pss = kibibytes(file?.text() ?? '', 'Pss');
      file?.close();
      if (pss !== null) sum = (sum ?? 0) + pss;
    }
    return sum;
  }

  close(): void {
    for (const file of this.#files.values()) file.close();
    this.#files.clear();
  }
}
