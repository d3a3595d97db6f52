/**
 * @file Snapshots of an adaptation: everything that it needs to go on, and where in the stream it stood. Written atomically with
 * a checksum, the newest two kept.
 */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { diskError, removeTemporaries } from '../delta/atomic-file.ts';
import { readTensors, writeTensors } from '../delta/safetensors.ts';
import { DeltaError, ExecutionError } from '../errors.ts';
import type { Values } from './learner.ts';

/** Where a stream stands. */
export interface StreamPosition {
  /** Index of the first frame that was not handled. */
  readonly next: number;
  /** Frames predicted so far, those before the last resume among them. */
  readonly predicted: number;
  /** Calls that changed the model. */
  readonly updates: number;
}

/** What a snapshot belongs to; another model or other options cannot go on from it. */
export interface SnapshotOwner {
  readonly base: string;
  /** Method, batch, seed, numbers and guards. */
  readonly settings: Readonly<Record<string, string>>;
}

export interface Snapshot {
  readonly path: string;
  readonly position: StreamPosition;
  readonly state: Values;
}

const FORMAT = 'edgeshift-adaptation-1';
const KEPT = 2;

/**
 * Saves a snapshot and removes all but the newest two.
 * @throws DataError if the disk refuses
 * @throws ExecutionError if a tensor of the model is not finite; nothing is written then
 */
export async function saveSnapshot(
  folder: string,
  { base, settings }: SnapshotOwner,
  position: StreamPosition,
  state: Values,
): Promise<string> {
  for (const [name, values] of state) {
    const bad = name.startsWith('model ') ? values.findIndex((value) => !Number.isFinite(value)) : -1;
    if (bad < 0) continue;
    throw new ExecutionError(
      `"${name.slice('model '.length)}" holds ${values[bad]} after frame ${position.next}: this state is not saved, the last one is kept`,
      { tensor: name },
    );
  }
  await mkdir(folder, { recursive: true }).catch((cause: unknown) => {
    throw diskError(folder, cause);
  });
  const path = join(folder, `frame-${String(position.predicted).padStart(12, '0')}.safetensors`);
  const tensors = [...state].map(([name, values]) => ({ name, shape: [values.length], read: async () => values }));
  const metadata = {
    format: FORMAT,
    base_sha256: base,
    settings: JSON.stringify(settings),
    position: JSON.stringify(position),
  };
  await writeTensors(path, tensors, metadata);
  for (const old of (await snapshotFiles(folder)).slice(0, -KEPT)) await rm(old, { force: true });
  return path;
}

/**
 * The newest snapshot that is whole; null if there is none. What killed processes left half-written is removed.
 * @throws DeltaError if it belongs to another model or other options
 */
export async function loadNewestSnapshot(folder: string, owner: SnapshotOwner): Promise<Snapshot | null> {
  await removeTemporaries(folder);
  for (const path of [...(await snapshotFiles(folder))].reverse()) {
    // A damaged file (a disk fault: writing is atomic) costs the frames since the one before it.
    const file = await readTensors(path).catch(() => null);
    if (file?.metadata.format !== FORMAT) continue;
    const { base_sha256: base = '', settings = '{}', position = '{}' } = file.metadata;
    requireOwner(path, { base, settings: JSON.parse(settings) }, owner);
    const state = new Map([...file.tensors.values()].map(({ name, data }) => [name, data] as const));
    return { path, position: JSON.parse(position), state };
  }
  return null;
}

/** @throws DeltaError naming what differs */
function requireOwner(path: string, found: SnapshotOwner, expected: SnapshotOwner): void {
  if (found.base !== expected.base) {
    throw new DeltaError(
      `"${path}" belongs to another model: sha256 ${found.base}, expected ${expected.base}\n` +
        'Hint: give the model that the run was started with, or another folder with --run',
      { mismatch: true },
    );
  }
  const names = new Set([...Object.keys(found.settings), ...Object.keys(expected.settings)]);
  for (const name of names) {
    const [was, is] = [found.settings[name] ?? 'absent', expected.settings[name] ?? 'absent'];
    if (was === is) continue;
    throw new DeltaError(
      `"${path}" was saved with ${name} ${was}, this run has ${is}\n` +
        'Hint: resume with the options that the run was started with, or choose another folder with --run',
      { mismatch: true, option: name, was, is },
    );
  }
}

/** Paths of the snapshots in a folder, the oldest first. */
export async function snapshotFiles(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder).catch(() => [] as string[]);
  return names
    .filter((name) => /^frame-\d+\.safetensors$/.test(name))
    .sort()
    .map((name) => join(folder, name));
}
