/** @file `edgeshift deploy rollback`: boards go back to the release that served before, a few at once. */
import { UsageError } from '../../../runtime/errors.ts';
import { Board } from '../../deploy/host/board.ts';
import { replied } from '../../deploy/host/board-report.ts';
import { everyHost } from '../../deploy/host/every-host.ts';
import { pushDefaults, stepText } from '../../deploy/host/push.ts';
import { chosenHosts, sshOptions } from '../deploy-host-flags.ts';
import { countFlag, type Flags, textFlag } from '../flags.ts';

export async function run(names: readonly string[], flags: Flags): Promise<number> {
  const [ssh, to] = [sshOptions(flags), textFlag(flags, 'to') ?? '-'];
  if (to !== '-' && !/^[0-9a-f]{16}$/.test(to)) {
    throw new UsageError(`--to must be the id of a release, 16 hexadecimal digits: ${JSON.stringify(to)}`);
  }
  const timeout = countFlag(flags, 'healthTimeout', 1) ?? pushDefaults.healthTimeout;
  const seconds = countFlag(flags, 'healthSeconds', 0) ?? pushDefaults.healthSeconds;
  const results = await everyHost(await chosenHosts(names, flags), async (host) => {
    await using board = await Board.open(host, ssh);
    await using hold = await board.hold();
    const onLine = (line: string) => {
      if (!line.startsWith('target=')) console.error(`${host.name}: ${stepText(line)}`);
    };
    const reply = await board.call('rollback', [hold.token, to, `${timeout}`, `${seconds}`], { onLine });
    return { release: replied(reply, 'target'), result: replied(reply, 'result') };
  });
  for (const { host, value, error } of results) {
    if (flags.json === true) console.log(JSON.stringify({ host: host.name, ...(value ?? { error: error?.message }) }));
    else if (value !== null) console.log(`${host.name}: ${value.release} serves`);
    if (error !== null) console.error(`edgeshift: ${error.message}`);
  }
  return results.every(({ error }) => error === null) ? 0 : 1;
}
