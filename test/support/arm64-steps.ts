/**
 * @file Training and adapting without onnxruntime, as a program: arguments are a folder to write deltas to and model files, which are
 * all trained; the first adapts. One line of JSON on stdout says what came of it. It imports nothing that loads a native library.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openAdapter } from '../../runtime/adapt/open.ts';
import { learntTensor, writeDelta } from '../../runtime/delta/delta.ts';
import { CpuEngine } from '../../runtime/engine/cpu/cpu-engine.ts';
import { parameterOf } from '../../runtime/graph/graph.ts';
import { engineModel } from '../../runtime/train/engine-model.ts';
import { resolveConfig } from '../../runtime/train/options.ts';
import { prepareTraining, trainedNames } from '../../runtime/train/prepare.ts';
import { cyclicLabels, randomImages } from './draws.ts';

export interface Arm64Result {
  readonly arch: string;
  readonly node: string;
  readonly trained: readonly Trained[];
  readonly adapted: Adapted;
}

interface Trained {
  readonly losses: readonly number[];
  /** SHA-256 of the delta file. */
  readonly delta: string;
  /** Whether the arena was used to its last planned byte. */
  readonly exact: boolean;
}

interface Adapted {
  /** SHA-256 of all logits, and of what was learnt. */
  readonly logits: string;
  readonly learnt: string;
  readonly updates: number;
  readonly exact: boolean;
}

const STEPS = 4;
const CALLS = 4;
const BATCH = 8;
const machine = {
  products: 'simd',
  device: 'jetson-nano-4gb',
  budgetBytes: 2 ** 30,
  threads: 2,
  batch: BATCH,
} as const;

const digest = (...parts: readonly Uint8Array[]): string => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};
const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

async function train(path: string, folder: string): Promise<Trained> {
  const config = resolveConfig({ ...machine, model: path, data: '', run: '', scheme: 'blocks', blocks: 2 });
  const { model, graph, plan } = await prepareTraining(config, 3);
  const { preprocessing, imageSize, file } = model;
  await using engine = await CpuEngine.create(plan, engineModel(model, graph, plan, preprocessing));
  const labels = cyclicLabels(BATCH, plan.classes);
  const losses: number[] = [];
  for (let step = 1; step <= STEPS; step++) {
    const images = randomImages(step, BATCH, imageSize);
    const update = { learningRate: config.learningRate, momentum: 0.9, weightDecay: 0.01, step };
    losses.push((await engine.step({ count: BATCH, images }, labels, update)).loss);
  }
  const { highWaterBytes } = await engine.statistics();
  const delta = join(folder, 'delta.safetensors');
  const facts = { base: file.sha256, imageSize, classes: ['a', 'b', 'c'], preprocessing, drop: null, metaParts: null };
  const tensors = trainedNames(graph, plan).map((name) =>
    learntTensor(parameterOf(graph, name), (of) => engine.read(of)),
  );
  await writeDelta(delta, { ...facts, notes: {} }, tensors);
  return { losses, delta: digest(await readFile(delta)), exact: highWaterBytes === plan.peakBytes };
}

async function adapt(path: string): Promise<Adapted> {
  await using adapter = await openAdapter({ ...machine, model: path, numbers: { memory: 16, pass: 8 } });
  const logits: Float32Array[] = [];
  let updates = 0;
  for (let call = 0; call < CALLS; call++) {
    // Lighter from call to call, so that there is something to adapt to.
    const images = randomImages(call + 1, BATCH, adapter.imageSize).map((value) =>
      Math.min(255, value / 2 + 20 * call),
    );
    const outcome = await adapter.observe(images, BATCH);
    logits.push(outcome.logits);
    updates += Number(outcome.updated);
  }
  const learnt = [...(await adapter.learnt()).values()];
  const { highWaterBytes, plannedPeakBytes } = await adapter.memory();
  const exact = highWaterBytes === plannedPeakBytes;
  return { logits: digest(...logits.map(bytesOf)), learnt: digest(...learnt.map(bytesOf)), updates, exact };
}

const [, , folder = '', ...models] = process.argv;
const trained: Trained[] = [];
for (const model of models) trained.push(await train(model, folder));
const adapted = await adapt(models[0] ?? '');
const result: Arm64Result = { arch: process.arch, node: process.version, trained, adapted };
console.log(JSON.stringify(result));
