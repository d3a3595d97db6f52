/**
 * @file Collects in a process of its own, so that decoder, source and device are gone before training begins and never count
 * beside it.
 */
import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { ExecutionError } from '../../runtime/errors.ts';
import { ModelThread } from '../../runtime/train/model-thread.ts';
import { resolveConfig } from '../../runtime/train/options.ts';
import type { Flags } from './flags.ts';
import { trainOptions } from './plan-flags.ts';

/**
 * Runs this command again with `--collect-only`. SIGINT ends the collection; SIGTERM means that training is not wanted either.
 * @returns exit code, null if training is to follow
 * @throws UsageError, ModelError before anything is collected, if training would refuse options or model
 */
export async function collectApart(model: string | undefined, folder: string, flags: Flags): Promise<number | null> {
  await checkTraining(model, folder, flags);
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1), '--collect-only'], {
    stdio: ['inherit', 'pipe', 'inherit', 'ipc'],
  });
  let terminated = false;
  const stop = (signal: NodeJS.Signals): void => {
    terminated ||= signal === 'SIGTERM';
    if (child.connected) child.disconnect();
  };
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  try {
    const said = text(child.stdout as Readable);
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
      child.once('error', reject);
      // 'close' never comes once this side has disconnected.
      child.once('exit', (...end) => resolve(end));
    });
    if (code === null) throw new ExecutionError(`collecting was ended by ${signal}; what was labelled is in ${folder}`);
    if (code === 0 && !terminated) return null;
    process.stdout.write(await said);
    return code;
  } finally {
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
  }
}

async function checkTraining(model: string | undefined, data: string, flags: Flags): Promise<void> {
  const config = resolveConfig(trainOptions(model, { ...flags, data }, data));
  await using thread = new ModelThread();
  await thread.check(config);
}
