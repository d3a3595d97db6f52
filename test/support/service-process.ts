/** @file A service of a few lines: counts frames until it is asked to stop, or fails if it is told to; for its status. */
import { setTimeout as delay } from 'node:timers/promises';
import { asService } from '../../tools/cli/service-status.ts';

await asService(async (status) => {
  const stop = new AbortController();
  process.once('SIGTERM', () => {
    status?.stopping();
    stop.abort();
  });
  await delay(50);
  if (process.argv[2] === 'fails') throw new Error('the model is gone\nand nobody knows where');
  status?.ready();
  for (let frames = 1; !stop.signal.aborted; frames++) {
    status?.progress({ frames, updates: Math.floor(frames / 2) });
    await delay(20);
  }
  // Frames that wait are handled still.
  await delay(200);
}).catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
