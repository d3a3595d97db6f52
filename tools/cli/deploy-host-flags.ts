/** @file Options of `deploy` that reach boards, and which boards they mean. */
import type { Command } from 'commander';
import { UsageError } from '../../runtime/errors.ts';
import type { Host } from '../deploy/host/host.ts';
import type { SshOptions } from '../deploy/host/ssh.ts';
import { countFlag, type Flags, listFlag, textFlag } from './flags.ts';
import { action } from './report-error.ts';

/** Adds the subcommands that reach boards to `deploy`. */
export function addDeployHosts(deploy: Command): void {
  addHostOptions(deploy.command('push [bundle] [hosts...]'))
    .description('send a bundle to boards, switch to it, and back if it is not healthy there')
    .option('--canary <n>', 'hosts that go first; one that fails stops everything', '1')
    .option('--parallel <n>', 'hosts at once', '4')
    .option('--max-failures <n>', 'failures after the canaries that do not stop it', '0')
    .option('--health-timeout <s>', 'seconds in which the service must become ready', '60')
    .option('--health-seconds <s>', 'seconds for which it must stay so', '3')
    .option('--keep <n>', 'releases that a board keeps', '3')
    .option(
      '--service <manager>',
      "what starts it there: plain or user (systemd --user); default: the board's own, or plain",
    )
    .action(action(() => import('./commands/deploy-push.ts')));
  addHostOptions(deploy.command('status [hosts...]'))
    .description('say what serves on boards, and since when')
    .action(action(() => import('./commands/deploy-status.ts')));
  addHostOptions(deploy.command('logs <host>'))
    .description("print the last lines of the service's log")
    .option('--lines <n>', 'lines to begin with', '100')
    .option('--follow', 'go on as it grows, until it is interrupted')
    .action(action(() => import('./commands/deploy-logs.ts')));
  addHostOptions(deploy.command('rollback [hosts...]'))
    .description('switch back to the release that served before')
    .option('--to <release>', 'another one that the board still has')
    .option('--health-timeout <s>', 'seconds in which the service must become ready', '60')
    .option('--health-seconds <s>', 'seconds for which it must stay so', '3')
    .action(action(() => import('./commands/deploy-rollback.ts')));
  addHostOptions(deploy.command('pull [hosts...]'))
    .description('bring home what boards have learnt: deltas, newest snapshots, metrics, decisions, log')
    .option('--out <folder>', 'a folder for each host and time is made in it', 'pulled')
    .option('--max-size <size>', 'of all files of a host together', '2GiB')
    .action(action(() => import('./commands/deploy-pull.ts')));
}

function addHostOptions(command: Command): Command {
  return command
    .option('--inventory <file>', 'JSON list of hosts: [{"host", "port", "root", "labels"}]')
    .option('--labels <list>', 'with --inventory: only hosts that have one of them')
    .option('--root <folder>', "the folder on the board (default: edgeshift in the user's home)")
    .option('--port <n>', "port of ssh (default: what ssh's configuration says)")
    .option('--ssh-config <file>', 'configuration of ssh to use instead of your own')
    .option('--ssh-option <option>', 'handed to ssh -o, such as ProxyJump=gate; may be repeated', joined)
    .option('--json', 'print JSON');
}

/** Options have one text each; no option of ssh holds a line break. */
const joined = (option: string, before?: string): string => (before === undefined ? option : `${before}\n${option}`);

export function sshOptions(flags: Flags): SshOptions {
  const config = textFlag(flags, 'sshConfig');
  const options = textFlag(flags, 'sshOption')?.split('\n') ?? [];
  const wrong = options.find((option) => !/^[A-Za-z0-9]+[= ]./.test(option));
  if (wrong !== undefined) throw new UsageError(`--ssh-option must be name=value: ${JSON.stringify(wrong)}`);
  return { options, ...(config !== undefined && { config }) };
}

/** The hosts of the command line or of its inventory. @throws UsageError if there are both or none */
export async function chosenHosts(names: readonly string[], flags: Flags): Promise<readonly Host[]> {
  const { hostOf } = await import('../deploy/host/host.ts');
  const [inventory, root, labels] = [textFlag(flags, 'inventory'), textFlag(flags, 'root'), listFlag(flags, 'labels')];
  const port = countFlag(flags, 'port', 1);
  if (inventory === undefined) {
    if (names.length === 0) throw new UsageError('name a host, as user@host, or an --inventory');
    if (labels !== undefined) throw new UsageError('--labels chooses among the hosts of an --inventory');
    const hosts = names.map((name) =>
      hostOf(name, { ...(root !== undefined && { root }), ...(port !== undefined && { port }) }),
    );
    if (new Set(names).size === names.length) return hosts;
    throw new UsageError(`a host is named twice: ${names.join(', ')}`);
  }
  if (names.length > 0)
    throw new UsageError(`hosts come from the inventory, or are named: not both (${names.join(', ')})`);
  if (root !== undefined || port !== undefined)
    throw new UsageError('with --inventory, root and port stand in the file');
  const { readInventory } = await import('../deploy/host/inventory.ts');
  return readInventory(inventory, labels);
}
