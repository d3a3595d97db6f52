/**
 * @file What was learnt, as a small file: the trained tensors in the user's own layout, the base model they belong to, and how
 * its head was replaced.
 */

import type { Preprocessing } from '../engine/engine.ts';
import { DeltaError } from '../errors.ts';
import { toFileLayout, toGraphLayout } from '../graph/axes.ts';
import type { Graph, Parameter } from '../graph/graph.ts';
import { HEAD } from '../graph/head.ts';
import { ownSigner, requireTrusted, trustedKeys } from './key-policy.ts';
import { type NamedTensor, readTensors, type TensorFile, type TensorSource, writeTensors } from './safetensors.ts';
import type { Signer } from './signature.ts';

const FORMAT = 'edgeshift-delta-1';

export interface Delta {
  /** sha256 of the base model (models/onnx/model-file.ts). */
  readonly base: string;
  readonly imageSize: number;
  readonly classes: readonly string[];
  readonly preprocessing: Preprocessing;
  /** Layers dropped for the new head; null if the model's own head was kept. */
  readonly drop: readonly string[] | null;
  /** Blocks of each part that has a meta network (scheme/meta-networks.ts); null or absent: there are none. */
  readonly metaParts?: readonly number[] | null;
  /** How it was learnt, for people: scheme, blocks, steps. */
  readonly notes: Readonly<Record<string, string>>;
  /** In the layout and under the names of the base file; a new head's under its own. */
  readonly tensors: ReadonlyMap<string, NamedTensor>;
  /** Public key that the file it was read from is signed with (signature.ts); null or absent: it is not. */
  readonly signer?: string | null;
}

/** What a delta says besides its tensors. */
export type DeltaFacts = Omit<Delta, 'tensors' | 'signer'>;

/**
 * Writes a delta; `tensors` are in the layout and under the names of the base file. It is signed where a key is set (key-policy.ts).
 * @throws DataError if the disk refuses, DeltaError if the key is none
 */
export async function writeDelta(path: string, facts: DeltaFacts, tensors: readonly TensorSource[]): Promise<void> {
  const { base, imageSize, classes, preprocessing, drop, metaParts, notes } = facts;
  const metadata = {
    format: FORMAT,
    base_sha256: base,
    image_size: String(imageSize),
    classes: JSON.stringify(classes),
    preprocessing: JSON.stringify(preprocessing),
    drop: JSON.stringify(drop),
    ...(metaParts && { meta_parts: JSON.stringify(metaParts) }),
    notes: JSON.stringify(notes),
  };
  await writeTensors(path, tensors, metadata, await ownSigner());
}

/**
 * Reads a delta that is to be applied.
 * @throws DeltaError if the file is damaged or something else, or if public keys are set (key-policy.ts) and none of them signed it
 */
export async function readDelta(path: string): Promise<Delta> {
  const trusted = await trustedKeys();
  const delta = await readAnyDelta(path);
  if (trusted) requireTrusted(path, delta.signer ?? null, trusted);
  return delta;
}

/**
 * The same, whoever signed it: for what only looks at deltas, and for what this process has written itself.
 * @throws DeltaError if the file is damaged or something else
 */
export const readAnyDelta = async (path: string): Promise<Delta> => deltaOf(path, await readTensors(path));

function deltaOf(path: string, { metadata, tensors, signer }: TensorFile): Delta {
  const { format, base_sha256: base, image_size: imageSize, classes, preprocessing, drop, notes } = metadata;
  const metaParts = metadata.meta_parts;
  if (format !== FORMAT || !base || !imageSize || !classes || !preprocessing || !drop) {
    throw new DeltaError(`"${path}" is not a delta: expected format "${FORMAT}", found ${JSON.stringify(format)}`, {
      path,
    });
  }
  try {
    const parsed = {
      imageSize: Number(imageSize),
      classes: JSON.parse(classes),
      preprocessing: JSON.parse(preprocessing),
      drop: JSON.parse(drop),
      metaParts: metaParts === undefined ? null : JSON.parse(metaParts),
      notes: JSON.parse(notes ?? '{}'),
    };
    const wrong = Object.entries(checks).find(([name, isRight]) => !isRight(parsed[name as keyof typeof parsed]));
    if (wrong) throw new Error(`its ${wrong[0]} are ${JSON.stringify(parsed[wrong[0] as keyof typeof parsed])}`);
    return { base, ...parsed, tensors, signer };
  } catch (cause) {
    throw new DeltaError(
      `"${path}": its metadata are not what a delta has: ${(cause as Error).message}`,
      { path },
      { cause },
    );
  }
}

/** A side beyond what any model takes would be memory that a file asks for. */
const MOST_PIXELS = 16384;

const isList = (value: unknown, isItem: (item: unknown) => boolean): boolean =>
  Array.isArray(value) && value.every(isItem);
const isText = (value: unknown): boolean => typeof value === 'string';
const isNumber = (value: unknown): boolean => typeof value === 'number' && Number.isFinite(value);
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;

/** A checksum proves that a file is whole, not that its writer meant well. */
const checks = {
  imageSize: (value: unknown) => isCount(value) && (value as number) >= 1 && (value as number) <= MOST_PIXELS,
  classes: (value: unknown) => isList(value, isText),
  preprocessing: (value: unknown) => {
    const { scale, bias } = (value ?? {}) as Partial<Preprocessing>;
    return [scale, bias].every((each) => isList(each, isNumber) && each?.length === 3);
  },
  drop: (value: unknown) => value === null || isList(value, isText),
  metaParts: (value: unknown) => value === null || isList(value, isCount),
  notes: (value: unknown) => typeof value === 'object' && value !== null && Object.values(value).every(isText),
} as const;

/** The tensors of a delta as `writeDelta` takes them. */
export const sourcesOf = ({ tensors }: Pick<Delta, 'tensors'>): readonly TensorSource[] =>
  [...tensors.values()].map(({ name, shape, data }) => ({ name, shape, read: async () => data }));

/** Writes a delta again with a signature in place of any it had. @throws DeltaError, DataError */
export async function signDelta(path: string, out: string, signer: Signer): Promise<void> {
  const file = await readTensors(path);
  await writeTensors(out, sourcesOf(deltaOf(path, file)), file.metadata, signer);
}

/** @throws DeltaError if the delta was learnt on another model */
export function requireBase(delta: Delta, model: { readonly path: string; readonly sha256: string }): void {
  if (delta.base === model.sha256) return;
  throw new DeltaError(
    `this delta was learnt on another model: it belongs to sha256 ${delta.base}, "${model.path}" is ${model.sha256}\n` +
      'Hint: give the very file it was trained from',
    { expected: delta.base, actual: model.sha256 },
  );
}

/** A learnt parameter as the user's file would hold it; `read` gives its values in graph layout. */
export function learntTensor(
  { origin, name }: Pick<Parameter, 'origin' | 'name'>,
  read: (name: string) => Promise<Float32Array>,
): TensorSource {
  return { name: origin.tensor ?? name, shape: origin.shape, read: async () => toFileLayout(await read(name), origin) };
}

/**
 * The graph with a delta's tensors in place. The head must have been replaced before, if the delta has one.
 * @throws DeltaError if it holds tensors the graph does not have, or of other shapes
 */
export function applyDelta(graph: Graph, delta: Delta): Graph {
  const parameters = new Map(graph.parameters);
  const byTensor = new Map(
    [...parameters.values()].map((parameter) => [parameter.origin.tensor ?? parameter.name, parameter]),
  );
  for (const { name, shape, data } of delta.tensors.values()) {
    const parameter = byTensor.get(name);
    if (!parameter || String(parameter.origin.shape) !== String(shape)) {
      const found = parameter ? `of shape [${parameter.origin.shape}]` : 'which the model does not have';
      throw new DeltaError(`the delta holds "${name}" [${shape}], ${found}`, { tensor: name });
    }
    parameters.set(parameter.name, { ...parameter, data: () => toGraphLayout(data, parameter.origin) });
  }
  return { ...graph, parameters };
}

export const hasNewHead = (delta: Pick<Delta, 'tensors'>): boolean => delta.tensors.has(HEAD.weight);
