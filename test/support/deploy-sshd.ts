/** @file A real sshd on the loopback, with keys, configuration and a user's home of its own. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';

const SSHD = '/usr/sbin/sshd';

/** One sshd listens on 16 sockets at most. */
const MAX_PORTS = 10;

export interface Sshd {
  /** Configuration for `ssh -F`: the hosts `board`, `board1`, `board2` ... */
  readonly config: string;
  readonly port: number;
  /** Home of the user who logs in. */
  readonly home: string;
  /** A configuration whose `board` listens elsewhere, such as behind a proxy. */
  configFor(port: number): Promise<string>;
  /** Gives a folder to the user who logs in. */
  give(folder: string): Promise<void>;
  stop(): void;
}

/** Why there can be no sshd here; null if there can. */
export const noSshd = (): string | null =>
  existsSync(SSHD) ? null : 'skipped: there is no sshd here (Debian package openssh-server)';

interface Account {
  readonly name: string;
  readonly home: string;
  readonly ids: { readonly uid: number; readonly gid: number } | null;
}

/**
 * Started by root it lets in a user without privileges who exists for nobody but this sshd: it has a mount namespace of
 * its own, in which /etc/passwd has one line more. Started by anybody else it lets in nobody but them.
 * @param folder where its files go, and the home
 * @param hosts names for it, over ten ports
 */
export async function startSshd(folder: string, hosts = 1): Promise<Sshd> {
  const account = await accountIn(folder);
  const path = (name: string) => join(folder, name);
  for (const name of ['host_key', 'user_key']) {
    spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', path(name)]);
  }
  await writeFile(path('authorized_keys'), await readFile(path('user_key.pub')));
  await chmod(path('authorized_keys'), 0o644);
  const ports = await freePorts(Math.min(hosts, MAX_PORTS));
  const lines = [
    ...ports.map((port) => `Port ${port}`),
    ...['ListenAddress 127.0.0.1', `HostKey ${path('host_key')}`, 'PidFile none', 'StrictModes no', 'UsePAM no'],
    ...[`AuthorizedKeysFile ${path('authorized_keys')}`, 'PasswordAuthentication no', 'MaxStartups 200'],
    ...['KbdInteractiveAuthentication no', 'LogLevel ERROR', 'PrintMotd no'],
    `SetEnv PATH=${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`,
  ];
  await writeFile(path('sshd_config'), `${lines.join('\n')}\n`);
  const child = run(account, path('passwd'), path('sshd_config'));
  const log = gathered(child);
  const hostKey = (await readFile(path('host_key.pub'), 'utf8')).trim();
  await writeFile(path('known_hosts'), ports.map((port) => `[127.0.0.1]:${port} ${hostKey}\n`).join(''));
  const configOf = async (name: string, all: readonly number[], checked: boolean): Promise<string> => {
    const known = checked ? path('known_hosts') : path(`${name}.known_hosts`);
    if (!checked) await writeFile(known, all.map((port) => `[127.0.0.1]:${port} ${hostKey}\n`).join(''));
    const settings = ['HostName 127.0.0.1', `User ${account.name}`, `IdentityFile ${path('user_key')}`];
    const common = [...settings, 'IdentitiesOnly yes', `UserKnownHostsFile ${known}`, 'GlobalKnownHostsFile none'];
    const blocks = Array.from({ length: hosts }, (_, at) =>
      [`Host board${at === 0 ? '' : at}`, `Port ${all[at % all.length]}`, ...common].join('\n  '),
    );
    await writeFile(path(name), `${blocks.join('\n')}\n`);
    return path(name);
  };
  const config = await configOf('ssh_config', ports, true);
  await answering(config, child, log);
  return {
    config,
    port: ports[0] ?? 0,
    home: account.home,
    configFor: (port) => configOf(`ssh_config_${port}`, [port], false),
    give: async (given) => {
      if (account.ids) await chown(given, account.ids.uid, account.ids.gid);
    },
    stop: () => child.kill('SIGTERM'),
  };
}

async function accountIn(folder: string): Promise<Account> {
  await chmod(folder, 0o755);
  const home = join(folder, 'home');
  await mkdir(home);
  const { uid, username } = userInfo();
  if (uid !== 0) return { name: username, home, ids: null };
  // Another one for each process, since test files run beside each other.
  const id = 200_000 + (process.pid % 100_000);
  await chown(home, id, id);
  const passwd = await readFile('/etc/passwd', 'utf8');
  await writeFile(join(folder, 'passwd'), `${passwd}board:*:${id}:${id}::${home}:/bin/sh\n`);
  await mkdir('/run/sshd', { recursive: true });
  return { name: 'board', home, ids: { uid: id, gid: id } };
}

function run({ ids }: Account, passwd: string, config: string): ChildProcess {
  const sshd = [SSHD, '-D', '-e', '-f', config];
  const stdio = ['ignore', 'ignore', 'pipe'] as const;
  if (ids === null) return spawn(SSHD, sshd.slice(1), { stdio: [...stdio] });
  const script = 'mount --bind "$1" /etc/passwd && shift && exec "$@"';
  return spawn('unshare', ['--mount', 'sh', '-c', script, 'sh', passwd, ...sshd], { stdio: [...stdio] });
}

function gathered(child: ChildProcess): () => string {
  let text = '';
  child.stderr?.setEncoding('utf8').on('data', (part: string) => {
    text = `${text}${part}`.slice(-4000);
  });
  return () => text;
}

async function answering(config: string, child: ChildProcess, log: () => string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const { status, stderr } = spawnSync('ssh', ['-F', config, '-o', 'BatchMode=yes', 'board', 'true'], {
      encoding: 'utf8',
    });
    if (status === 0) return;
    if (child.exitCode !== null) throw new Error(`sshd ended with ${child.exitCode}: ${log()}`);
    if (attempt === 99) throw new Error(`sshd lets nobody in: ${stderr}\n${log()}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** All at once, so that no two are the same. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  return Promise.all(
    servers.map((server) => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      return new Promise<number>((resolve) => server.close(() => resolve(port)));
    }),
  );
}
