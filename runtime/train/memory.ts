/** @file What the process holds, as the kernel counts it. */
import { readFile } from 'node:fs/promises';

/** Peak resident set of this process in bytes (VmHWM; getrusage where there is no /proc). */
export async function peakRssBytes(): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '');
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
  return 1024 * Number(kibibytes ?? process.resourceUsage().maxRSS);
}
