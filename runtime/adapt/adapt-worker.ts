/** @file The worker's side of worker-adapter.ts: answers calls on an adapter, one after the other. */
import { parentPort, workerData } from 'node:worker_threads';
import { givingWay } from '../engine/give-way.ts';
import { lowerThreadPriority } from '../engine/thread-priority.ts';
import { READY, type WorkerAnswer, type WorkerCall } from '../engine/worker-calls.ts';
import { describeError } from '../engine/worker-error.ts';
import { GarbageMeter, releaseGarbage } from '../garbage.ts';
import { trainedNames } from '../train/prepare.ts';
import type { LateLabel } from './adapter.ts';
import type { EngineAdapter } from './engine-adapter.ts';
import type { Values } from './learner.ts';
import { type AdaptOptions, type PlannedAdaptation, planAdaptation, startAdapter } from './open.ts';
import type { AdapterFacts, AdapterMethod, AdapterReady } from './worker-adapter.ts';

/** Pixels that were handled until what their calls left is collected; each leaves about as much in copies of tensors. */
const GARBAGE_BYTES = 4 * 2 ** 20;

const answer = (message: WorkerAnswer): void => parentPort?.postMessage(message);

function factsOf({ model, delta, graph, plan, method, settings, preprocessing }: PlannedAdaptation): AdapterFacts {
  const changing = trainedNames(graph, plan).flatMap((name) => {
    const parameter = graph.parameters.get(name);
    return parameter ? [{ name, origin: parameter.origin }] : [];
  });
  return {
    method,
    batch: settings.batch,
    plan,
    classNames: model.classes,
    changing,
    delta: {
      base: model.file.sha256,
      imageSize: model.imageSize,
      classes: model.classes ?? Array.from({ length: plan.classes }, (_, label) => String(label)),
      preprocessing,
      drop: delta?.drop ?? null,
      metaParts: delta?.metaParts ?? null,
    },
  };
}

async function execute(
  adapter: EngineAdapter,
  frames: Uint8Array,
  { method, args }: WorkerCall<AdapterMethod>,
): Promise<unknown> {
  const [first, second] = args;
  switch (method) {
    case 'observe':
      return adapter.observe(frames, first as number, second as boolean);
    case 'teach':
      return adapter.teach(first as readonly LateLabel[]);
    case 'reset':
      return adapter.reset();
    case 'save':
      return adapter.save();
    case 'load':
      return adapter.load(first as Values);
    case 'learnt':
      return adapter.learnt();
    case 'adopt':
      return adapter.adopt(first as Values);
    case 'source':
      return adapter.showSource(first as Uint8Array, second as number);
    case 'memory':
      return adapter.memory();
    case 'close':
      return adapter[Symbol.asyncDispose]();
  }
}

/** Apart from `start`, so that nothing of the model is held when it returns. */
async function open(options: AdaptOptions): Promise<{ readonly facts: AdapterFacts; readonly adapter: EngineAdapter }> {
  const planned = await planAdaptation(options);
  const facts = factsOf(planned);
  const giveWay = options.givesWayTo && givingWay(options.givesWayTo);
  return { facts, adapter: await startAdapter(planned, giveWay) };
}

async function start(): Promise<void> {
  const options = workerData as AdaptOptions;
  // Before onnxruntime starts threads, which take after this one.
  if (options.givesWayTo) lowerThreadPriority();
  const { facts, adapter } = await open(options);
  const shared = new SharedArrayBuffer(adapter.batch * 3 * adapter.imageSize ** 2);
  const frames = new Uint8Array(shared);
  // Reading the model left more behind than adapting it takes.
  releaseGarbage();
  const garbage = new GarbageMeter(GARBAGE_BYTES);
  let last: Promise<void> = Promise.resolve();
  parentPort?.on('message', (call: WorkerCall<AdapterMethod>) => {
    last = last.then(async () => {
      try {
        const { method, args } = call;
        const count = method === 'observe' ? (args[0] as number) : adapter.batch;
        const seen = frames.subarray(0, count * 3 * adapter.imageSize ** 2);
        answer({ id: call.id, result: await execute(adapter, seen, call) });
        if (method === 'observe') garbage.drop(seen.length);
      } catch (error) {
        answer({ id: call.id, error: describeError(error) });
      }
    });
  });
  answer({ id: READY, result: { facts, frames: shared } satisfies AdapterReady });
}

start().catch((error: unknown) => answer({ id: READY, error: describeError(error) }));
