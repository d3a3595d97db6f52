/** @file Whether anybody watches a command. Nothing of the page is loaded where nobody does. */
import type { Flags } from '../cli/flags.ts';
import type { ProfileEmitter } from '../profiler/emit.ts';
import type { Live } from './live.ts';
import type { RunKind } from './tick.ts';

/**
 * Null where nobody watches: no page is asked for, and no profiler has one.
 * @param say told where the page is
 * @throws UsageError, DataError (the port is taken)
 */
export async function openLive(
  kind: RunKind,
  flags: Flags,
  profile: ProfileEmitter | null,
  say: (text: string) => void,
): Promise<Live | null> {
  const told = profile?.isLive === true ? profile : null;
  if (told === null && flags.dashboard === undefined && flags.dashboardHost === undefined) return null;
  const [{ Live }, { dashboardOptions }] = await Promise.all([import('./live.ts'), import('./options.ts')]);
  return Live.open(kind, dashboardOptions(flags), told, say);
}
