/**
 * @file A transient scope of the user's service manager: a control group of version 2 for users who may not make one themselves.
 * Options as in systemd-run(1) and systemd.resource-control(5).
 */
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseGroups } from '../../../device-profiles/cgroup.ts';
import { type ControlGroup, type Holder, type LimitWanted, Refused } from './limit.ts';
import { readOomKills } from './oom-kills.ts';

const MOUNT = '/sys/fs/cgroup';

/** How long the service manager may take to answer. */
const ANSWER_MILLIS = 10_000;

/** @throws Refused */
export async function holdSystemdScope(wanted: LimitWanted, root: string): Promise<Holder> {
  const wrap = (command: readonly string[]): readonly string[] => ['systemd-run', ...scopeOptions(wanted), ...command];
  if (wanted.memoryBytes !== null) proveLimit(wrap, join(root, MOUNT), wanted.memoryBytes);
  else run(wrap(['true']));
  let group: ControlGroup | null = null;
  /** The scope's group goes with its last process; the newest count is then the last. */
  let kills: number | null = null;
  return {
    kind: 'systemd scope',
    cpus: wanted.cpus,
    wrap,
    started: async (pid) => {
      group = await scopeGroup(pid, root);
      return group;
    },
    oomKills: () => {
      if (group !== null) kills = readOomKills(group) ?? kills;
      return kills;
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

function scopeOptions({ memoryBytes, cpus }: LimitWanted): string[] {
  return [
    ...['--user', '--scope', '--quiet', '--collect'],
    ...(memoryBytes === null ? [] : ['-p', `MemoryMax=${memoryBytes}`, '-p', 'MemorySwapMax=0']),
    ...(cpus === null ? [] : ['-p', `CPUQuota=${Math.round(100 * cpus)}%`]),
    '--',
  ];
}

/** A manager without the memory controller takes the option and does nothing: the scope is asked for its own limit. */
function proveLimit(wrap: (command: readonly string[]) => readonly string[], mount: string, bytes: number): void {
  const script = 'cat "$1$(sed -n s/^0:://p /proc/self/cgroup)/memory.max"';
  const found = Number(run(wrap(['/bin/sh', '-c', script, 'sh', mount])));
  // The kernel rounds down to whole pages, of 64 KiB at the most.
  if (!(found <= bytes && found > bytes - 2 ** 16)) {
    throw new Refused(`a scope with MemoryMax=${bytes} got a memory.max of ${found}`);
  }
}

function run([file = '', ...args]: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(file, args, { encoding: 'utf8', timeout: ANSWER_MILLIS });
  if (status === 0) return stdout;
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code === 'ENOENT') throw new Refused('systemd-run is not installed');
  throw new Refused(`systemd-run --user: ${code ?? (stderr.trim().split('\n')[0] || `exit code ${status}`)}`);
}

/** The process enters its scope before it becomes the command. */
async function scopeGroup(pid: number, root: string): Promise<ControlGroup | null> {
  const end = performance.now() + ANSWER_MILLIS;
  while (performance.now() < end) {
    const text = await readFile(join(root, `/proc/${pid}/cgroup`), 'utf8').catch(() => null);
    if (text === null) return null;
    const path = parseGroups(text).find(({ controllers }) => controllers.length === 0)?.path ?? '';
    if (path.endsWith('.scope') && path.includes('/run-')) return { version: 2, folder: join(root, MOUNT, path) };
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return null;
}
