/** @file A method at work on a model file, with its learner in view. */

import { fileURLToPath } from 'node:url';
import { Learner } from '../../runtime/adapt/learner.ts';
import type { Running } from '../../runtime/adapt/method.ts';
import { methodOf } from '../../runtime/adapt/methods/index.ts';
import { type AdaptOptions, type PlannedAdaptation, planAdaptation } from '../../runtime/adapt/open.ts';
import { CpuEngine } from '../../runtime/engine/cpu/cpu-engine.ts';
import type { Engine } from '../../runtime/engine/engine.ts';
import { engineModel } from '../../runtime/train/engine-model.ts';

import { randomImages } from './draws.ts';
import { goldenUrl } from './goldens.ts';

/** The network of the adaptation goldens: 16 px, 6 classes. */
export const tinyModel = fileURLToPath(goldenUrl('adaptation/network.onnx'));

/** Whole adapters of that network, with a memory small enough to be filled by a few calls. */
export const tinyAdaptation = {
  ...{ model: tinyModel, threads: 1, batch: 8, budgetBytes: 2 ** 33 },
  ...{ numbers: { memory: 16, pass: 8 }, method: 'edgeshift' },
} as const satisfies AdaptOptions;

/** Frames of a call to it, lighter from call to call. */
export const lighterFrames = (call: number): Uint8Array =>
  randomImages(call + 1, tinyAdaptation.batch, 16).map((value) => Math.min(255, value / 2 + 20 * call));

export interface OpenMethod extends AsyncDisposable {
  readonly planned: PlannedAdaptation;
  readonly learner: Learner;
  readonly running: Running;
}

/** @param wrap what the learner sees of the engine */
export async function openMethod(
  options: Omit<AdaptOptions, 'model'> & Partial<AdaptOptions>,
  wrap: (engine: Engine) => Engine = (engine) => engine,
): Promise<OpenMethod> {
  const planned = await planAdaptation({ model: tinyModel, threads: 1, budgetBytes: 2 ** 33, ...options });
  const { plan, graph, model, preprocessing } = planned;
  const engine = await CpuEngine.create(plan, engineModel(model, graph, plan, preprocessing));
  const learner = await Learner.open(wrap(engine));
  const running = await methodOf(planned.method).start(learner, planned.settings);
  return { planned, learner, running, [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose]() };
}

/** Everything that a stopped run needs to continue. */
export interface RunState {
  readonly values: ReadonlyMap<string, Float32Array>;
  readonly steps: number;
  readonly remembered: Readonly<Record<string, Float32Array>>;
}

export async function saveRun({ learner, running }: OpenMethod): Promise<RunState> {
  const values = await learner.read([...learner.trained, ...learner.statistics, ...learner.optimizerBuffers]);
  return { values, steps: learner.steps, remembered: running.save() };
}

export async function loadRun({ learner, running }: OpenMethod, state: RunState): Promise<void> {
  await learner.write(state.values);
  learner.continueAt(state.steps);
  running.load(state.remembered);
}
