/** @file The worker's side of worker-engine.ts: answers calls on a CpuEngine, one after the other. */
import { parentPort, workerData } from 'node:worker_threads';
import { releaseGarbage } from '../garbage.ts';
import { CpuEngine } from './cpu/cpu-engine.ts';
import type { EngineInput, EngineModel, ForwardPass, Update } from './engine.ts';
import { READY, type WorkerAnswer, type WorkerCall } from './worker-calls.ts';
import type { EngineMethod, EngineSetup, SharedInput } from './worker-engine.ts';
import { describeError } from './worker-error.ts';

const { plan, shared } = workerData as EngineSetup;
let model: EngineModel | null = (workerData as EngineSetup).model;

const answer = (message: WorkerAnswer, moved: readonly ArrayBuffer[] = []): void =>
  parentPort?.postMessage(message, moved);

/** The input that the main thread left in the shared buffer. */
function unshare({ count, holds, offset }: SharedInput): EngineInput {
  return holds === 'images'
    ? { count, images: new Uint8Array(shared, offset) }
    : { count, features: new Float32Array(shared, offset) };
}

/** Features of images, written to byte `into` of the shared memory if that is given; then they are no result. */
async function computeFeatures(
  engine: CpuEngine,
  { count, offset }: SharedInput,
  into: number | null,
): Promise<Float32Array | null> {
  const images = new Uint8Array(shared, offset);
  if (into === null) return engine.features(images, count);
  await engine.features(images, count, new Float32Array(shared, into));
  return null;
}

async function execute(engine: CpuEngine, { method, args }: WorkerCall<EngineMethod>): Promise<unknown> {
  const [first, second, third] = args;
  switch (method) {
    case 'read':
      return engine.read(first as string);
    case 'write':
      return engine.write(first as string, second as Float32Array);
    case 'features':
      return computeFeatures(engine, first as SharedInput, second as number | null);
    case 'forward':
      return engine.forward(unshare(first as SharedInput), second as ForwardPass);
    case 'backward':
      return engine.backward(first as Float32Array, second as number);
    case 'update':
      return engine.update(first as Update);
    case 'gradients':
      return engine.gradients(unshare(first as SharedInput), second as Int32Array);
    case 'step':
      return engine.step(unshare(first as SharedInput), second as Int32Array, third as Update);
    case 'statistics':
      return engine.statistics();
    case 'close':
      return engine[Symbol.asyncDispose]();
  }
}

try {
  const engine = await CpuEngine.create(plan, model, { consume: true });
  // Everything is on the arena or inside a session now, and this thread would keep its start values for ever.
  (workerData as { model: unknown }).model = null;
  model = null;
  releaseGarbage();
  let last: Promise<void> = Promise.resolve();
  parentPort?.on('message', (call: WorkerCall<EngineMethod>) => {
    last = last.then(async () => {
      try {
        const result = await execute(engine, call);
        // Arrays are made for the caller alone: they move instead of being copied.
        answer({ id: call.id, result }, result instanceof Float32Array ? [result.buffer as ArrayBuffer] : []);
      } catch (error) {
        answer({ id: call.id, error: describeError(error) });
      }
    });
  });
  answer({ id: READY, result: null });
} catch (error) {
  answer({ id: READY, error: describeError(error) });
}
