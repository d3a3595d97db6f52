/** @file `edgeshift deploy pull`: what boards have learnt, into a folder of each. */
import { bytesText, parseBytes } from '../../../runtime/plan/bytes-text.ts';
import { everyHost } from '../../deploy/host/every-host.ts';
import { pull } from '../../deploy/host/pull.ts';
import { chosenHosts, sshOptions } from '../deploy-host-flags.ts';
import { type Flags, textFlag } from '../flags.ts';

export async function run(names: readonly string[], flags: Flags): Promise<number> {
  const options = {
    ssh: sshOptions(flags),
    out: textFlag(flags, 'out') ?? 'pulled',
    maxBytes: parseBytes('--max-size', textFlag(flags, 'maxSize') ?? '2GiB'),
    time: new Date(),
  };
  const results = await everyHost(await chosenHosts(names, flags), (host) => pull(host, options));
  for (const { host, value, error } of results) {
    const { host: _, ...pulled } = value ?? { host };
    if (flags.json === true) console.log(JSON.stringify({ host: host.name, ...pulled, error: error?.message ?? null }));
    else if (value !== null) {
      console.log(`${value.folder}: ${value.files.length} files of ${host.name}, ${bytesText(value.bytes)}`);
    }
    if (error !== null) console.error(`edgeshift: ${error.message}`);
  }
  return results.every(({ error }) => error === null) ? 0 : 1;
}
