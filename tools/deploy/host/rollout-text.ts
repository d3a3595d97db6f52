/** @file The report of a rollout for people. */
import { bytesText } from '../../../runtime/plan/bytes-text.ts';
import { textTable } from '../../cli/text-table.ts';
import type { HostOutcome, RolloutReport } from './rollout.ts';

export function rolloutText({ release, stopped, hosts }: RolloutReport): string {
  const rows = hosts.map(({ host, result, reason, sentBytes, millis }) => [
    host.name,
    result,
    bytesText(sentBytes),
    `${(millis / 1000).toFixed(1)} s`,
    reason?.replaceAll(/\s*\n\s*/g, '; ') ?? '',
  ]);
  const table = textTable([['host', 'result', 'sent', 'time', 'why'], ...rows], [2, 3]);
  return `release ${release}\n${table}${stopped === null ? '' : `stopped: ${stopped}\n`}`;
}

/** The same as plain data: hosts by what is known of them before, then what became of them. */
export const rolloutJson = ({ hosts, ...report }: RolloutReport): object => ({
  ...report,
  hosts: hosts.map(({ host, millis, ...outcome }: HostOutcome) => ({
    ...{ host: host.destination, port: host.port, root: host.root },
    ...outcome,
    millis: Math.round(millis),
  })),
});
