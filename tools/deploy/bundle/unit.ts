/**
 * @file The service as systemd units: `@ROOT@` and `@USER@` are put in when it is installed. Settings that an older systemd does not
 * know are passed over there; they were checked with version 252.
 */
import type { ServiceMemory } from './service-memory.ts';

/** What the run needs of the board beside its own folder. */
export interface Needs {
  /** A command of the user's brings frames, from a camera perhaps. */
  readonly video: boolean;
  /** Keys that label frames. */
  readonly hid: boolean;
  readonly network: boolean;
  /** Paths in homes that are read. */
  readonly homes: boolean;
  /** Folders besides the state that are written to. */
  readonly writes: readonly string[];
}

export interface UnitOptions {
  /** What runs, for people. */
  readonly description: string;
  /** Null: no limit. */
  readonly memory: ServiceMemory | null;
  readonly needs: Needs;
}

/** A unit of the system, run by a user of its own and shut off from everything it does not need. */
export function systemUnit({ description, memory, needs }: UnitOptions): string {
  return unitText(description, 'multi-user.target', [
    'User=@USER@',
    ...service(memory),
    '# Nothing but its own state can be written to, and of the homes nothing else is seen.',
    ...['ProtectSystem=strict', needs.homes ? 'ProtectHome=read-only' : 'ProtectHome=tmpfs'],
    ...['BindReadOnlyPaths=@ROOT@', 'BindPaths=@ROOT@/state'],
    ...['ReadWritePaths=@ROOT@/state', ...needs.writes.map((folder) => `ReadWritePaths=-${folder}`)],
    ...['PrivateTmp=yes', 'PrivateIPC=yes', 'PrivateMounts=yes', 'ProtectProc=invisible'],
    ...['ProtectClock=yes', 'ProtectHostname=yes', 'ProtectKernelLogs=yes', 'ProtectKernelModules=yes'],
    ...['ProtectKernelTunables=yes', 'ProtectControlGroups=yes', 'RemoveIPC=yes'],
    ...devices(needs),
    ...network(needs),
    ...['CapabilityBoundingSet=', 'AmbientCapabilities='],
    ...confined(needs),
  ]);
}

/**
 * A unit of the user's own service manager. Whatever needs a namespace or a filter for devices is left away: without privileges a
 * kernel may refuse it, and the service would not start.
 */
export function userUnit({ description, memory, needs }: UnitOptions): string {
  return unitText(description, 'default.target', [...service(memory), ...confined(needs)]);
}

function unitText(description: string, target: string, lines: readonly string[]): string {
  return `${[
    '[Unit]',
    `Description=${description}`,
    'After=network.target',
    '# It is never given up: service/run waits longer and longer where it fails again and again.',
    'StartLimitIntervalSec=0',
    '',
    '[Service]',
    ...lines,
    '',
    '[Install]',
    `WantedBy=${target}`,
  ].join('\n')}\n`;
}

function service(memory: ServiceMemory | null): readonly string[] {
  return [
    ...['Type=notify', 'NotifyAccess=all', 'ExecStart=@ROOT@/current/service/run', 'WorkingDirectory=@ROOT@/state'],
    '# service/run waits for five minutes at most, and a large model takes its time.',
    ...['TimeoutStartSec=10min', 'TimeoutStopSec=60s', 'WatchdogSec=60s', 'Restart=on-failure', 'RestartSec=1s'],
    'UMask=0022',
    ...(memory === null ? [] : [`MemoryHigh=${memory.highBytes}`, `MemoryMax=${memory.maxBytes}`, 'MemorySwapMax=0']),
    ...['OOMPolicy=stop', 'TasksMax=256'],
  ];
}

function devices({ video, hid }: Needs): readonly string[] {
  if (!video && !hid) return ['PrivateDevices=yes', 'DevicePolicy=closed'];
  return [
    'DevicePolicy=closed',
    ...(video ? ['DeviceAllow=char-video4linux rw', 'DeviceAllow=char-media rw', 'SupplementaryGroups=video'] : []),
    ...(hid ? ['DeviceAllow=char-hidraw rw', 'SupplementaryGroups=plugdev'] : []),
  ];
}

/** The service manager itself is spoken to through a local socket. */
const network = ({ network: needed }: Needs): readonly string[] =>
  needed ? [] : ['PrivateNetwork=yes', 'IPAddressDeny=any'];

/** What a process without privileges may ask for, too. */
function confined({ network: needed }: Needs): readonly string[] {
  return [
    ...['NoNewPrivileges=yes', 'LockPersonality=yes', 'RestrictNamespaces=yes', 'RestrictRealtime=yes'],
    ...['RestrictSUIDSGID=yes', `RestrictAddressFamilies=AF_UNIX${needed ? ' AF_INET AF_INET6' : ''}`],
    '# Code that is made while it runs, of JavaScript and WebAssembly, needs pages that are written to and then executed:',
    '# MemoryDenyWriteExecute= must stay off.',
    ...['SystemCallArchitectures=native', 'SystemCallFilter=@system-service', 'SystemCallFilter=~@privileged'],
    'SystemCallErrorNumber=EPERM',
  ];
}
