/** @file Memory limits of the service, from what its plan takes. */
import { reserveBytes } from '../../../runtime/governor/policy.ts';

const MIB = 2 ** 20;

export interface ServiceMemory {
  /** What the plan takes, and what runs beside it. */
  readonly planBytes: number;
  /** The kernel slows the service down and takes its cached files above this (`MemoryHigh`). */
  readonly highBytes: number;
  /** The kernel kills it above this (`MemoryMax`). */
  readonly maxBytes: number;
}

/** What the governor leaves alone: this many of its reserves below the limit (governor/policy.ts). */
const CALM_RESERVES = 3;

/** Of the high limit: for pages that come before the kernel has taken others. */
const MAX_SHARE = 1 / 8;

/**
 * The smallest limit under which the governor stays calm while the service holds all that was planned, since the governor takes the
 * high limit for the one that counts; and above it an eighth more before anything is killed. Both in whole MiB.
 */
export function serviceMemory(planBytes: number): ServiceMemory {
  let highBytes = wholeMib(planBytes);
  while (highBytes - CALM_RESERVES * reserveOf(highBytes) < planBytes) highBytes += MIB;
  return { planBytes, highBytes, maxBytes: wholeMib(highBytes * (1 + MAX_SHARE)) };
}

const wholeMib = (bytes: number): number => Math.ceil(bytes / MIB) * MIB;

/** What the governor wants to be left of a limit. */
const reserveOf = (limitBytes: number): number =>
  reserveBytes({
    ...{ atMillis: 0, availableBytes: null, pressure: null, ownBytes: 0 },
    group: { usedBytes: 0, limitBytes, shared: false },
  });
