/** @file Updates a fleet, wave by wave. */

import type { Host } from './host.ts';
import {
  decide,
  type HostOutcome,
  planRollout,
  type RolloutOptions,
  type RolloutReport,
  rolloutReport,
} from './rollout.ts';

export interface RolloutRun extends RolloutOptions {
  readonly release: string;
  /** Never throws: a failure is an outcome. */
  readonly push: (host: Host) => Promise<HostOutcome>;
  /** No further wave begins once it is aborted. */
  readonly signal?: AbortSignal;
}

export async function runRollout(hosts: readonly Host[], run: RolloutRun): Promise<RolloutReport> {
  const plan = planRollout(hosts, run);
  const outcomes: (readonly HostOutcome[])[] = [];
  for (;;) {
    const decision = decide(plan, outcomes);
    if (decision.kind === 'done') return rolloutReport(run.release, plan, outcomes, null);
    const stopped = run.signal?.aborted === true ? 'interrupted' : decision.kind === 'stop' ? decision.reason : null;
    if (decision.kind === 'stop' || stopped !== null) return rolloutReport(run.release, plan, outcomes, stopped);
    outcomes.push(await Promise.all(decision.wave.hosts.map(run.push)));
  }
}
