/** @file `edgeshift deploy logs`: the log of a board's service, as it is. */
import { UsageError } from '../../../runtime/errors.ts';
import { Board, BoardError } from '../../deploy/host/board.ts';
import { chosenHosts, sshOptions } from '../deploy-host-flags.ts';
import { countFlag, type Flags } from '../flags.ts';

export async function run(names: readonly string[], flags: Flags): Promise<number> {
  const [host, ...others] = await chosenHosts(names, flags);
  if (host === undefined || others.length > 0) throw new UsageError('logs are those of one host');
  await using board = await Board.open(host, sshOptions(flags));
  const child = board.start('logs', [`${countFlag(flags, 'lines', 0) ?? 100}`, flags.follow === true ? 'yes' : 'no']);
  child.stdin.end();
  child.stdout.pipe(process.stdout);
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  let isStopped = false;
  const stop = () => {
    isStopped = true;
    child.kill();
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
  const code = await new Promise<number>((resolve) => child.on('close', (ended) => resolve(ended ?? 255)));
  process.off('SIGINT', stop).off('SIGTERM', stop);
  if (code === 0 || isStopped) return 0;
  throw new BoardError(host, 'logs', { code, stderr });
}
