/** @file An error on the terminal: its text on stderr, as JSON on stdout where asked for, and the exit code. */
import { EdgeshiftError } from '../../runtime/errors.ts';

/** 3: no plan fits. 2: wrong use. 1: everything else. */
export function reportError(error: unknown, json: boolean): number {
  const ours = error instanceof EdgeshiftError ? error : null;
  const message = error instanceof Error ? error.message : String(error);
  if (json) console.log(JSON.stringify({ error: { code: ours?.code ?? 'INTERNAL', message, ...ours?.facts } }));
  // An error of ours says all there is to say; anything else is a fault of the program, and its stack helps to find it.
  console.error(`edgeshift: ${ours ? message : error instanceof Error ? (error.stack ?? message) : message}`);
  if (ours?.code === 'BUDGET') return 3;
  return ours?.code === 'USAGE' ? 2 : 1;
}
