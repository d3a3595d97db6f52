/** @file The strictest limit that this machine grants. */
import type { LimitKind } from '../record.ts';
import { holdCgroupV1 } from './cgroup-v1.ts';
import { holdCgroupV2 } from './cgroup-v2.ts';
import { type Holder, type LimitWanted, Refused, type TakeHold } from './limit.ts';
import { holdSystemdScope } from './systemd-scope.ts';
import { holdWatchdog } from './watchdog.ts';

export const limitKinds = ['cgroup v2', 'cgroup v1', 'systemd scope', 'watchdog'] as const satisfies LimitKind[];
export type HeldKind = (typeof limitKinds)[number];

const kinds: Readonly<Record<HeldKind, TakeHold>> = {
  'cgroup v2': holdCgroupV2,
  'cgroup v1': holdCgroupV1,
  'systemd scope': holdSystemdScope,
  watchdog: holdWatchdog,
};

export interface Chosen {
  readonly holder: Holder;
  /** `kind: why not`, of the kinds tried before. */
  readonly refused: readonly string[];
}

/** The first kind that can be had, in the order of `limitKinds`; the last one always can. */
export async function chooseLimit(
  wanted: LimitWanted,
  root: string,
  among: readonly HeldKind[] = limitKinds,
): Promise<Chosen> {
  const refused: string[] = [];
  if (wanted.memoryBytes === null && wanted.cpus === null) return { holder: unheld, refused };
  for (const kind of among) {
    try {
      return { holder: await kinds[kind](wanted, root), refused };
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      refused.push(`${kind}: ${error.message}`);
    }
  }
  throw new Refused(refused.join('\n'));
}

const unheld: Holder = {
  kind: 'none',
  cpus: null,
  wrap: (command) => command,
  started: async () => null,
  oomKills: () => null,
  [Symbol.asyncDispose]: async () => undefined,
};
