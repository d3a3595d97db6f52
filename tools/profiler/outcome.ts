/** @file How a profiled command ended, and whether memory was the reason. */
import type { Ended } from './launched.ts';
import type { Holder } from './limits/limit.ts';
import type { Outcome } from './record.ts';

/** What V8 says when JavaScript's own heap is full; it takes its limit from that of the process. */
const HEAP_FULL = /JavaScript heap out of memory|Reached heap limit/;

interface Circumstances {
  readonly holder: Pick<Holder, 'kind' | 'oomKills'>;
  /** It was asked to end, or killed for taking too long. */
  readonly wasStopped: boolean;
  readonly errorText: string;
}

export function outcomeOf(ended: Ended, circumstances: Circumstances): Outcome {
  const { exitCode } = ended;
  const oomKills = circumstances.holder.oomKills();
  const status = statusOf(ended, circumstances, oomKills);
  return { status, ...ended, oomKills, errorText: exitCode === 0 ? '' : circumstances.errorText };
}

function statusOf(
  { exitCode, signal }: Ended,
  { holder, wasStopped, errorText }: Circumstances,
  oomKills: number | null,
): Outcome['status'] {
  if (exitCode === 0) return wasStopped ? 'interrupted' : 'finished';
  if ((oomKills ?? 0) > 0 || HEAP_FULL.test(errorText)) return 'out of memory';
  if (wasStopped) return 'interrupted';
  // The group of a scope may be gone before it could be asked; the kernel's own kill is then all there is to see.
  return holder.kind === 'systemd scope' && signal === 'SIGKILL' ? 'out of memory' : 'failed';
}
