/** @file What the governor did, for people. */
import type { GovernorAction, GovernorCounts, GovernorEvent } from '../../runtime/governor/governor.ts';

const did: Readonly<Record<GovernorAction, string>> = {
  trim: 'collected garbage',
  shrink: 'going on with',
  pause: 'paused until there is room',
  resume: 'going on again',
  grow: 'back up to',
};

/** `memory: 9.0 MiB of 256.0 MiB left in the control group: paused until there is room`. */
export function governorLine({ action, reason, plan }: GovernorEvent): string {
  return `memory: ${reason}: ${did[action]}${plan === null ? '' : ` ${action === 'resume' ? 'with ' : ''}${plan}`}`;
}

const counted: Readonly<Record<GovernorAction, string>> = {
  trim: 'garbage collected',
  shrink: 'smaller plan',
  pause: 'paused',
  resume: 'resumed',
  grow: 'larger plan',
};

/** What was done at all, such as `paused 2 times, resumed 2 times`; null if nothing was. */
export function governorCountsText(counts: GovernorCounts | null): string | null {
  const done = Object.entries(counts ?? {}).filter(([, times]) => times > 0) as [GovernorAction, number][];
  if (done.length === 0) return null;
  return done.map(([action, times]) => `${counted[action]} ${times} ${times === 1 ? 'time' : 'times'}`).join(', ');
}
