/** @file Memory of this process as it looks at itself: cheap enough for twice a second beside a training. */
import { GroupMemory } from '../../device-profiles/probes/group-memory.ts';
import { memoryGroups } from '../../device-profiles/probes/memory-groups.ts';
import { TreeMemory } from '../profiler/probes/tree-memory.ts';
import { type MemoryPart, optional } from './feed.ts';

/** Looks between two searches for processes that were started meanwhile. */
const SEARCH_EVERY = 4;

export class OwnMemory implements Disposable {
  /** Of the control group whose limit is the smallest over this process's group and those above; null: none has one. */
  readonly limitBytes: number | null;
  readonly #tree: TreeMemory;
  readonly #group: GroupMemory | null;
  #looks = 0;

  /** @param root folder that holds `proc` and `sys` */
  constructor(root = '/') {
    this.#tree = new TreeMemory(root, process.pid);
    this.#group = tightestGroup(root);
    this.limitBytes = this.#group?.limitBytes() ?? null;
  }

  look(): MemoryPart {
    if (this.#looks++ % SEARCH_EVERY === 0) this.#tree.search();
    const groupBytes = this.#group?.read() ?? undefined;
    const { rssBytes } = this.#tree.read();
    return { rssBytes, heapBytes: process.memoryUsage().heapUsed, ...optional('groupBytes', groupBytes) };
  }

  [Symbol.dispose](): void {
    this.#tree.close();
    this.#group?.close();
  }
}

/** Null where no group has a limit. */
function tightestGroup(root: string): GroupMemory | null {
  const opened = memoryGroups(root).flatMap((group) => {
    const found = GroupMemory.open(group);
    return 'probe' in found ? [found.probe] : [];
  });
  const limitOf = (group: GroupMemory): number => group.limitBytes() ?? Number.POSITIVE_INFINITY;
  const [tightest, ...others] = opened.sort((a, b) => limitOf(a) - limitOf(b));
  for (const group of others) group.close();
  if (tightest === undefined || Number.isFinite(limitOf(tightest))) return tightest ?? null;
  tightest.close();
  return null;
}
