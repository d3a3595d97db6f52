/** @file One bundle to one board: look, lock, send what is missing, assemble, switch. */
import { BudgetError, EdgeshiftError, ExecutionError } from '../../../runtime/errors.ts';
import { Board, BoardError, boardCodes } from './board.ts';
import { boardReport, type Reply, replied } from './board-report.ts';
import type { Bundle, UnpackedFile } from './bundle.ts';
import type { Host } from './host.ts';
import { distinctObjects, layoutText, objectKey, objectsTar } from './objects.ts';
import { preflightProblems } from './preflight.ts';
import type { HostOutcome, HostResult } from './rollout.ts';
import type { SshOptions } from './ssh.ts';

export interface PushOptions {
  readonly ssh?: SshOptions;
  /** In which the service must become ready, in seconds. */
  readonly healthTimeout: number;
  /** For which it must stay so. */
  readonly healthSeconds: number;
  /** Releases that the board keeps, with the current one. */
  readonly keep: number;
  /** What starts the service there from now on; null: what does already. */
  readonly manager: ServiceManager | null;
}

/** `system` is set up on the board itself, since it needs root. */
export const serviceManagers = ['plain', 'user'] as const;
export type ServiceManager = (typeof serviceManagers)[number];

export const pushDefaults = { healthTimeout: 60, healthSeconds: 3, keep: 3 } as const;

/** @param onStep told of each step, in a few words */
export async function push(
  bundle: Bundle,
  host: Host,
  options: PushOptions,
  onStep: (text: string) => void = () => undefined,
): Promise<HostOutcome> {
  const began = performance.now();
  const sent = { bytes: 0 };
  const outcome = (result: HostResult, failure: EdgeshiftError | null): HostOutcome => ({
    ...{ host, result, failed: failure !== null, code: failure?.code ?? null },
    reason: result === 'unknown' ? `${failure?.message}\n${UNKNOWN_HINT}` : (failure?.message ?? null),
    ...{ sentBytes: sent.bytes, millis: performance.now() - began },
  });
  try {
    await using board = await Board.open(host, options.ssh);
    const reply = await deliver(bundle, board, options, sent, onStep);
    return outcome(replied(reply, 'result') === 'unchanged' ? 'unchanged' : 'updated', null);
  } catch (error) {
    const failure =
      error instanceof EdgeshiftError
        ? error
        : new ExecutionError(`${host.name}: ${String(error)}`, {}, { cause: error });
    return outcome(resultOf(failure), failure);
  }
}

const UNKNOWN_HINT = 'Hint: the board goes on alone; `edgeshift deploy status` tells what became of it';

function resultOf(failure: EdgeshiftError): HostResult {
  if (!(failure instanceof BoardError)) return 'untouched';
  if (failure.exitCode === boardCodes.rolledBack) return 'rolled back';
  if (failure.exitCode === boardCodes.down) return 'down';
  return failure.facts.verb === 'activate' && failure.exitCode === boardCodes.disconnected ? 'unknown' : 'untouched';
}

async function deliver(
  { manifest, files }: Bundle,
  board: Board,
  options: PushOptions,
  sent: { bytes: number },
  onStep: (text: string) => void,
): Promise<Reply> {
  const report = boardReport(await board.call('preflight'));
  const check = (missing: readonly UnpackedFile[]) => {
    const missingBytes = missing.reduce((sum, file) => sum + file.bytes, 0);
    const { refusals, shortages } = preflightProblems(manifest, report, missingBytes);
    const problems = [...refusals, ...shortages];
    if (problems.length === 0) return missingBytes;
    const message = `${board.host.name} cannot take ${manifest.id}, and nothing was changed there:\n  ${problems.join('\n  ')}`;
    const facts = { host: board.host.name, problems };
    throw refusals.length > 0 ? new ExecutionError(message, facts) : new BudgetError(message, facts);
  };
  check([]);
  await using hold = await board.hold();
  const objects = distinctObjects(files);
  const keys = objects.map((file) => `${objectKey(file)}\n`).join('');
  const wanted = new Set((await board.call('have', [hold.token], { input: keys })).get('missing'));
  const missing = objects.filter((file) => wanted.has(objectKey(file)));
  const missingBytes = check(missing);
  if (missing.length > 0) {
    onStep(`sending ${missing.length} of ${objects.length} files, ${(missingBytes / 2 ** 20).toFixed(1)} MiB`);
    const input = objectsTar(missing, (bytes) => {
      sent.bytes = bytes;
    });
    await board.call('put', [hold.token], { input });
  }
  onStep('assembling and checking the release');
  await board.call('assemble', [hold.token, manifest.id], { input: layoutText(files) });
  if (options.manager !== null) await board.call('install', [options.manager]);
  const words = [manifest.id, `${options.healthTimeout}`, `${options.healthSeconds}`, `${options.keep}`];
  // Awaited here, since the lock is held until this function ends.
  return await board.call('activate', [hold.token, ...words], { onLine: (line) => onStep(stepText(line)) });
}

/** What `activate` says while it works. */
export const stepText = (line: string): string => steps[line] ?? line;

const steps: Readonly<Record<string, string>> = {
  'step=switch': 'switching to it',
  'step=restart': 'restarting the service',
  'step=health': 'waiting for it to be ready',
  'step=rollback': 'it is not healthy: going back to the former release',
  'result=updated': 'it serves',
  'result=unchanged': 'it served already',
};
