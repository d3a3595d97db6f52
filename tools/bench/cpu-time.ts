/** @file How much processor time other processes took: on a shared machine a comparison needs rounds without them. */
import { readFile } from 'node:fs/promises';
import { statField } from '../profiler/probes/process-stat.ts';

/** The kernel counts in hundredths of a second, whatever the processor's clock. */
const TICKS_PER_SECOND = 100;

/** Seconds of all cores that were not idle, less those of the given processes; null where there is no /proc. */
export async function otherSeconds(pids: readonly (number | undefined)[]): Promise<number | null> {
  const machine = await readFile('/proc/stat', 'utf8').catch(() => null);
  if (machine === null) return null;
  // user, nice, system, idle, iowait, irq, softirq; guests are part of user.
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = (machine.split('\n', 1)[0] ?? '')
    .split(/\s+/)
    .slice(1)
    .map(Number);
  const own = await Promise.all(pids.map(processTicks));
  const ticks = user + nice + system + irq + softirq - own.reduce((sum, each) => sum + each, 0);
  return ticks / TICKS_PER_SECOND;
}

async function processTicks(pid: number | undefined): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // utime and stime.
  return text === '' ? 0 : statField(text, 14) + statField(text, 15);
}
