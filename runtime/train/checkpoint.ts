/**
 * @file Checkpoints: weights, optimizer state and position, written atomically with a checksum. Random numbers need no
 * state of their own: they follow from (seed, epoch, sample).
 */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { diskError } from '../delta/atomic-file.ts';
import { readTensors, writeTensors } from '../delta/safetensors.ts';
import type { Engine } from '../engine/engine.ts';
import { DeltaError, ExecutionError } from '../errors.ts';
import { optimizerStates, type Plan, stateBuffer } from '../plan/plan.ts';

/** Where a run stands, besides its tensors. */
export interface Progress {
  /** Optimizer steps taken. */
  readonly step: number;
  readonly epoch: number;
  /** Batches of the epoch that are done. */
  readonly position: number;
  /** Of the current epoch, for its training accuracy. */
  readonly epochCorrect: number;
  readonly epochSeen: number;
  readonly trainAccuracy: number;
  readonly accuracyBefore: number;
  readonly bestAccuracy: number;
  readonly epochsSinceBest: number;
}

/** What a checkpoint is made of and goes back to: an engine, or what stands for one. */
export type Trained = Pick<Engine, 'plan' | 'read' | 'write'>;

const FORMAT = 'edgeshift-checkpoint-1';
const KEPT = 2;

/** Saves a checkpoint and removes all but the newest two. @throws ExecutionError if a weight is no longer finite */
export async function saveCheckpoint(
  folder: string,
  engine: Trained,
  progress: Progress,
  name?: string,
): Promise<string> {
  await mkdir(folder, { recursive: true }).catch((cause: unknown) => {
    throw diskError(folder, cause);
  });
  const sizes = bufferSizes(engine.plan);
  const tensors = checkpointBuffers(engine.plan).map((buffer) => ({
    name: buffer,
    shape: [sizes.get(buffer) ?? 0],
    async read(): Promise<Float32Array> {
      const data = await engine.read(buffer);
      const bad = data.findIndex((value) => !Number.isFinite(value));
      if (bad < 0) return data;
      throw new ExecutionError(
        `"${buffer}" holds ${data[bad]} at step ${progress.step}: this state is not saved, the last checkpoint is kept\n` +
          'Hint: start another run with a lower learning rate',
        { buffer, step: progress.step },
      );
    },
  }));
  const path = join(folder, name ?? `step-${String(progress.step).padStart(8, '0')}.safetensors`);
  const { sha256 } = engine.plan.model;
  await writeTensors(path, tensors, { format: FORMAT, base_sha256: sha256, progress: JSON.stringify(progress) });
  if (name === undefined) await removeOld(folder);
  return path;
}

/**
 * Loads the newest checkpoint that is whole into the engine; null if there is none.
 * @returns its path and where the run stands
 * @throws DeltaError if checkpoints exist but belong to another model or plan
 */
export async function loadNewest(
  folder: string,
  engine: Trained,
): Promise<{ readonly path: string; readonly progress: Progress } | null> {
  for (const path of (await checkpointFiles(folder)).reverse()) {
    try {
      return { path, progress: await loadCheckpoint(path, engine) };
    } catch (error) {
      // A damaged file (a disk fault: writing is atomic) costs the steps since the one before it, not the run.
      if (!(error instanceof DeltaError) || error.facts.mismatch) throw error;
    }
  }
  return null;
}

export async function loadCheckpoint(path: string, engine: Trained): Promise<Progress> {
  const { metadata, tensors } = await readTensors(path);
  const mismatch = (what: string): DeltaError =>
    new DeltaError(`checkpoint "${path}" does not belong to this run: ${what}`, { path, mismatch: true });
  if (metadata.format !== FORMAT) throw mismatch(`its format is ${metadata.format}`);
  if (metadata.base_sha256 !== engine.plan.model.sha256)
    throw mismatch(`it was made from model ${metadata.base_sha256}`);
  const sizes = bufferSizes(engine.plan);
  for (const buffer of checkpointBuffers(engine.plan)) {
    const tensor = tensors.get(buffer);
    if (!tensor) throw mismatch(`it lacks "${buffer}"`);
    const expected = sizes.get(buffer);
    if (tensor.data.length !== expected) {
      throw mismatch(`"${buffer}" has ${tensor.data.length} values, expected ${expected}`);
    }
    // A copy of its own: a message to the engine's thread takes the whole file behind a view along.
    await engine.write(buffer, tensor.data.slice());
  }
  return JSON.parse(metadata.progress ?? '{}') as Progress;
}

/** Checkpoint files, oldest first. */
export async function checkpointFiles(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [] as string[]);
  return names
    .filter((name) => /^step-\d+\.safetensors$/.test(name))
    .sort()
    .map((name) => join(folder, name));
}

/** Floats of each buffer. */
const bufferSizes = (plan: Plan): ReadonlyMap<string, number> =>
  new Map(plan.buffers.map(({ name, bytes }) => [name, bytes / 4]));

function checkpointBuffers(plan: Plan): string[] {
  const trained = plan.buffers.filter(({ category }) => category === 'trainableWeights').map(({ name }) => name);
  const running = plan.buffers.filter(({ category }) => category === 'statistics').map(({ name }) => name);
  const states = Array.from({ length: optimizerStates[plan.optimizer] }, (_, state) => state);
  return [...trained, ...running, ...trained.flatMap((name) => states.map((state) => stateBuffer(name, state)))];
}

async function removeOld(folder: string): Promise<void> {
  const files = await checkpointFiles(folder);
  for (const path of files.slice(0, -KEPT)) await rm(path, { force: true });
}
