/**
 * @file The last resort: looks at the resident memory of the command's processes now and then, and kills them once it is too much.
 * No limit in the kernel's sense: what is allocated and given back between two looks is never seen, and pages that several of the
 * processes share count for each.
 */
import { TreeMemory } from '../probes/tree-memory.ts';
import { kill } from './kill.ts';
import type { Holder, LimitWanted } from './limit.ts';

/** Between two looks. Memory is filled at some GB a second, so that the cap may be passed by some 50 MB unseen. */
const LOOK_MILLIS = 20;
/** Looks between two searches for new processes. */
const SEARCH_LOOKS = 25;

/** Holds memory alone; there is nothing that could slow a process down to a quota. */
export async function holdWatchdog({ memoryBytes }: LimitWanted, root: string): Promise<Holder> {
  let kills = 0;
  let watching: { stop(): void } | null = null;
  return {
    kind: 'watchdog',
    cpus: null,
    wrap: (command) => command,
    started: async (pid) => {
      if (memoryBytes !== null) {
        watching = watch(pid, memoryBytes, root, (killed) => {
          kills += killed;
        });
      }
      return null;
    },
    oomKills: () => kills,
    [Symbol.asyncDispose]: async () => watching?.stop(),
  };
}

function watch(pid: number, capBytes: number, root: string, onKill: (count: number) => void): { stop(): void } {
  const memory = new TreeMemory(root, pid);
  let looks = 0;
  const timer = setInterval(() => {
    if (looks++ % SEARCH_LOOKS === 0) memory.search();
    if (memory.read().rssBytes <= capBytes) return;
    memory.search();
    // A process that is gone already has freed its memory: only those that are killed here count.
    onKill(memory.processes().filter(kill).length);
  }, LOOK_MILLIS);
  return {
    stop: () => {
      clearInterval(timer);
      memory.close();
    },
  };
}
