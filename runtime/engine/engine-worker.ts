/** @file The worker's side of worker-engine.ts: answers calls on a CpuEngine, one after the other. */
import { parentPort, workerData } from 'node:worker_threads';
import { EdgeshiftError } from '../errors.ts';
import { CpuEngine } from './cpu/cpu-engine.ts';
import type { EngineInput, Update } from './engine.ts';
import { type EngineAnswer, type EngineCall, type EngineSetup, READY, type WorkerError } from './worker-engine.ts';

const { plan, model, pixels } = workerData as EngineSetup;
const shared = new Uint8Array(pixels);

const answer = (message: EngineAnswer): void => parentPort?.postMessage(message);

function describe(error: unknown): WorkerError {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  const ours = error instanceof EdgeshiftError ? error : null;
  return { message, stack, code: ours?.code ?? null, facts: JSON.parse(JSON.stringify(ours?.facts ?? {})) };
}

/** Images were left in the shared buffer. */
const unshare = (input: EngineInput): EngineInput => (input.features ? input : { ...input, images: shared });

async function execute(engine: CpuEngine, { method, args }: EngineCall): Promise<unknown> {
  const [first, second, third] = args;
  switch (method) {
    case 'read':
      return engine.read(first as string);
    case 'write':
      return engine.write(first as string, second as Float32Array);
    case 'features':
      return engine.features(shared, first as number);
    case 'forward':
      return engine.forward(unshare(first as EngineInput));
    case 'gradients':
      return engine.gradients(unshare(first as EngineInput), second as Int32Array);
    case 'step':
      return engine.step(unshare(first as EngineInput), second as Int32Array, third as Update);
    case 'statistics':
      return engine.statistics();
    case 'close':
      return engine[Symbol.asyncDispose]();
  }
}

try {
  const engine = await CpuEngine.create(plan, model);
  let last: Promise<void> = Promise.resolve();
  parentPort?.on('message', (call: EngineCall) => {
    last = last.then(async () => {
      try {
        answer({ id: call.id, result: await execute(engine, call) });
      } catch (error) {
        answer({ id: call.id, error: describe(error) });
      }
    });
  });
  answer({ id: READY, result: null });
} catch (error) {
  answer({ id: READY, error: describe(error) });
}
