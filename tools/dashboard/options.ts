/** @file Options of the live page from the command line. */

import { UsageError } from '../../runtime/errors.ts';
import { countFlag, type Flags, textFlag } from '../cli/flags.ts';
import { tokenFor } from './access.ts';

/** Where the page is unless told otherwise; where that is taken, on any free port. */
export const DEFAULT_PORT = 8077;

export interface DashboardOptions {
  readonly host: string;
  /** Null: `DEFAULT_PORT`, or any other. */
  readonly port: number | null;
  readonly token: string | null;
}

/** Null where no page is asked for. @throws UsageError */
export function dashboardOptions(flags: Flags, environment: NodeJS.ProcessEnv = process.env): DashboardOptions | null {
  const host = textFlag(flags, 'dashboardHost');
  if (flags.dashboard === undefined) {
    if (host === undefined) return null;
    throw new UsageError('--dashboard-host needs --dashboard');
  }
  const port = flags.dashboard === true ? null : portFlag(flags);
  return { host: host ?? '127.0.0.1', port, token: tokenFor(host ?? '127.0.0.1', environment) };
}

function portFlag(flags: Flags): number {
  // What follows may be meant as the model's name.
  const port = /^\d+$/.test(textFlag(flags, 'dashboard') ?? '') ? countFlag(flags, 'dashboard', 0) : undefined;
  if (port !== undefined && port < 65536) return port;
  throw new UsageError(
    `--dashboard must be a port from 0 to 65535: ${JSON.stringify(flags.dashboard)}\n` +
      'Hint: without a port it stands last, or before another option.',
  );
}

/** Options whose value is nobody's business. */
const SECRETS = ['--token'];

/** The command line without what must not be shown. */
export function shownCommand(command: readonly string[]): readonly string[] {
  return command.map((word, at) => {
    if (SECRETS.includes(command[at - 1] ?? '')) return '***';
    const option = SECRETS.find((secret) => word.startsWith(`${secret}=`));
    return option === undefined ? word : `${option}=***`;
  });
}
