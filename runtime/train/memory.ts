/** @file What the process holds, as the kernel counts it, and giving back what it does not need. */
import { readFile } from 'node:fs/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Peak resident set of this process in bytes (VmHWM; getrusage where there is no /proc). */
export async function peakRssBytes(): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '');
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
  return 1024 * Number(kibibytes ?? process.resourceUsage().maxRSS);
}

/**
 * Collects garbage now. V8 does not see how large the model's bytes are that hang on dead objects, and would keep them
 * beside the arena for long.
 */
export function releaseGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}
