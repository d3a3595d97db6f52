/** @file `edgeshift deploy status`: what serves on each board. */
import { bytesText } from '../../../runtime/plan/bytes-text.ts';
import { Board } from '../../deploy/host/board.ts';
import { type BoardStatus, boardStatus } from '../../deploy/host/board-report.ts';
import { everyHost } from '../../deploy/host/every-host.ts';
import { chosenHosts, sshOptions } from '../deploy-host-flags.ts';
import type { Flags } from '../flags.ts';

export async function run(names: readonly string[], flags: Flags): Promise<number> {
  const ssh = sshOptions(flags);
  const results = await everyHost(await chosenHosts(names, flags), async (host) => {
    await using board = await Board.open(host, ssh);
    return boardStatus(await board.call('status'));
  });
  for (const { host, value, error } of results) {
    if (flags.json === true) console.log(JSON.stringify({ host: host.name, ...(value ?? { error: error?.message }) }));
    else if (value !== null) process.stdout.write(statusText(host.name, value));
    if (error !== null) console.error(`edgeshift: ${error.message}`);
  }
  return results.every(({ error }) => error === null) ? 0 : 1;
}

function statusText(name: string, status: BoardStatus): string {
  const { service, current, serving } = status;
  const state = typeof service?.state === 'string' ? service.state : 'unknown';
  const lines = [
    `${name}: ${serving === null ? 'nothing serves' : `${serving} serves, ${state}`}`,
    `current ${current ?? 'none'}, before it ${status.former ?? 'none'}, by ${status.manager}`,
    `frames ${service?.frames ?? '-'}, updates ${service?.updates ?? '-'}, since ${service?.startedAt ?? '-'}`,
    `${status.releases.length} releases, ${bytesText(status.freeBytes)} free`,
    ...(status.holder === null ? [] : [`locked by ${status.holder}`]),
    ...(status.pending === null ? [] : ['a switch was not confirmed; the next push undoes it']),
    ...(service?.error ? [`error: ${service.error}`] : []),
    ...status.history.map((line) => `  ${line}`),
  ];
  return `${lines.join('\n  ')}\n`;
}
