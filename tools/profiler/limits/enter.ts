/** @file A command that starts inside control groups, so that not a page of it is counted elsewhere. */
import { spawnSync } from 'node:child_process';
import { Refused } from './limit.ts';

/** The shell moves itself, and becomes the command. */
const SCRIPT = 'while [ "$1" != -- ]; do echo $$ > "$1" || exit 125; shift; done; shift; exec "$@"';

/** @param procs `cgroup.procs` files of the groups */
export function enterCommand(procs: readonly string[], command: readonly string[]): readonly string[] {
  return ['/bin/sh', '-c', SCRIPT, 'sh', ...procs, '--', ...command];
}

/** Whether processes may move into the groups is known only once one has. @throws Refused */
export function proveEntry(procs: readonly string[]): void {
  const [file = '', ...args] = enterCommand(procs, ['true']);
  const { status, stderr, error } = spawnSync(file, args, { encoding: 'utf8' });
  if (status !== 0) throw new Refused(`no process can enter ${procs.join(', ')}: ${error?.message ?? stderr.trim()}`);
}
