/** @file The run folder of an adaptation: what it is, its snapshots, its decisions. */
import { createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { diskError, writeAtomically } from '../delta/atomic-file.ts';
import { UsageError } from '../errors.ts';
import type { Adapter } from './adapter.ts';
import { DecisionLog } from './decision-log.ts';
import { guardNames } from './guards/names.ts';
import { methodOf } from './methods/index.ts';
import type { AdaptOptions } from './open.ts';
import { loadNewestSnapshot, type SnapshotOwner, type StreamPosition, saveSnapshot } from './snapshot-file.ts';
import type { AdapterFacts } from './worker-adapter.ts';

export const streamStart: StreamPosition = { next: 0, predicted: 0, updates: 0 };

export interface OpenRunOptions {
  /** Continues the run that lies in the folder; otherwise there must be none. */
  readonly resume: boolean;
  /** Whether the stream can be read again from where a snapshot stands; what was logged after it is then removed. */
  readonly replayable: boolean;
}

export class AdaptRun {
  readonly folder: string;
  readonly decisions: DecisionLog;
  /** Where the run that is continued stood; the start of the stream for a new one. */
  readonly begun: StreamPosition;
  readonly #owner: SnapshotOwner;

  private constructor(folder: string, owner: SnapshotOwner, decisions: DecisionLog, begun: StreamPosition) {
    this.folder = folder;
    this.decisions = decisions;
    this.begun = begun;
    this.#owner = owner;
  }

  /**
   * Starts a run, or loads the newest snapshot of one into the adapter.
   * @throws UsageError if there is no run to resume, or one where none should be
   * @throws DeltaError if the run was another model's or had other options
   */
  static async open(
    folder: string,
    options: AdaptOptions,
    adapter: Adapter & { readonly facts: AdapterFacts },
    { resume, replayable }: OpenRunOptions,
  ): Promise<AdaptRun> {
    const owner = await ownerOf(options, adapter.facts);
    const config = join(folder, 'config.json');
    const exists = (await readFile(config).catch(() => null)) !== null;
    if (exists !== resume) throw new UsageError(exists ? heldText(folder) : missingText(folder), { run: folder });
    if (!exists) {
      await mkdir(folder, { recursive: true }).catch((cause: unknown) => {
        throw diskError(folder, cause);
      });
      await writeAtomically(config, [Buffer.from(`${JSON.stringify({ model: options.model, ...owner }, null, 1)}\n`)]);
    }
    const snapshot = resume ? await loadNewestSnapshot(stateFolder(folder), owner) : null;
    if (snapshot) await adapter.load(snapshot.state);
    const begun = snapshot?.position ?? streamStart;
    const decisions = await DecisionLog.open(
      join(folder, 'decisions.jsonl'),
      replayable ? begun.next : Number.POSITIVE_INFINITY,
    );
    return new AdaptRun(folder, owner, decisions, begun);
  }

  /** @throws DataError if the disk refuses, ExecutionError if the model is no longer finite */
  async save(position: StreamPosition, adapter: Adapter): Promise<string> {
    return saveSnapshot(stateFolder(this.folder), this.#owner, position, await adapter.save());
  }
}

const stateFolder = (folder: string): string => join(folder, 'state');

const heldText = (folder: string): string =>
  `"${folder}" holds a run already\nHint: continue it with --resume, or choose another folder with --run`;

const missingText = (folder: string): string =>
  `there is no run to resume in "${folder}" (no config.json)\nHint: start one without --resume`;

/** Everything that the state depends on. */
async function ownerOf(options: AdaptOptions, { method, batch, delta }: AdapterFacts): Promise<SnapshotOwner> {
  const { seed = 1, numbers = {}, guards = guardNames } = options;
  const start = options.delta === undefined ? null : await readFile(options.delta);
  return {
    base: delta.base,
    settings: {
      method,
      batch: String(batch),
      seed: String(seed),
      numbers: JSON.stringify({ ...methodOf(method).defaults, ...numbers }),
      guards: [...guards].sort().join(','),
      'image size': String(delta.imageSize),
      normalization: JSON.stringify(delta.preprocessing),
      delta: start ? createHash('sha256').update(start).digest('hex') : 'none',
    },
  };
}
