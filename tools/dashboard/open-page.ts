/** @file Opens the server of a page where the options want it. */
import { DataError } from '../../runtime/errors.ts';
import { type DashboardOptions, DEFAULT_PORT } from './options.ts';
import { DashboardServer } from './server.ts';
import { DashboardState } from './state.ts';
import { nothingYet, type Run } from './tick.ts';

/** @param say told its address @throws DataError if the port is taken */
export async function openPage(
  { host, port, token }: DashboardOptions,
  run: Run,
  say: (text: string) => void,
): Promise<DashboardServer> {
  const open = (at: number) => DashboardServer.open({ host, port: at, token }, DashboardState.begin(run, nothingYet));
  const server = await open(port ?? DEFAULT_PORT).catch((error: unknown) => {
    if (port === null && isTaken(error)) return open(0);
    throw error;
  });
  say(`dashboard: ${server.address}`);
  return server;
}

function isTaken(error: unknown): boolean {
  return error instanceof DataError && (error.cause as NodeJS.ErrnoException).code === 'EADDRINUSE';
}
