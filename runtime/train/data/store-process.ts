/**
 * @file Entry point of the process that decodes images: gets one job from its parent, reports progress and the result.
 *
 * A process and not a thread: what libvips took is given back when it ends, so it never counts beside training.
 */

import { rmSync } from 'node:fs';
import { DataError } from '../../errors.ts';
import { buildStore, type Progress, type StoreJob, type StoreResult } from './store-builder.ts';

export type StoreMessage =
  | { readonly kind: 'progress'; readonly progress: Progress }
  | { readonly kind: 'result'; readonly result: StoreResult }
  | {
      readonly kind: 'error';
      readonly message: string;
      /** Code of the system, such as ENOSPC. */
      readonly code: string;
      /** Facts of a DataError, which the parent throws again as such. */
      readonly facts: Record<string, unknown> | null;
    };

const send = (message: StoreMessage) => process.send?.(message);

process.once('message', async (message) => {
  const job = message as StoreJob;
  process.once('disconnect', () => {
    // The parent is gone: nobody will use or remove what was written so far.
    if (job.file !== null) rmSync(job.file, { force: true });
    process.exit(1);
  });
  try {
    const result = await buildStore(job, (progress) => send({ kind: 'progress', progress }));
    send({ kind: 'result', result });
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    const code = (error as NodeJS.ErrnoException).code ?? '';
    send({ kind: 'error', message: text, code, facts: error instanceof DataError ? { ...error.facts } : null });
  }
  process.removeAllListeners('disconnect');
  process.disconnect();
});
