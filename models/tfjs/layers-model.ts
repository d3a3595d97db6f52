/**
 * @file Reads TensorFlow.js layers models (`model.json` and its weight shards) from a folder or from memory.
 */
import { readFile } from 'node:fs/promises';
import { basename, dirname, join, normalize, sep } from 'node:path';
import { z } from 'zod';
import { ModelError } from '../../runtime/errors.ts';
import { flattenTopology, type Topology } from './topology.ts';
import { decodeWeights, manifestBytes, manifestSchema, type Weight, type WeightsManifest } from './weights.ts';

/** A Keras model as TensorFlow.js stores it, decoded: its flattened layer graph and its weights as float32. */
export interface LayersModel extends Topology {
  /** What it was read from, for error messages. */
  readonly source: string;
  readonly weights: ReadonlyMap<string, Weight>;
}

const kerasModelSchema = z.object({ class_name: z.string(), config: z.unknown() });

interface Envelope {
  readonly model: z.infer<typeof kerasModelSchema>;
  readonly manifest: WeightsManifest;
}

/**
 * Reads a layers model from its model.json and the shards its manifest names, which lie in the same folder.
 *
 * @throws ModelError where a file is missing, is not JSON, is not a layers model, or has the wrong byte count.
 */
export async function readLayersModel(path: string): Promise<LayersModel> {
  const { model, manifest } = readEnvelope(parseJson(await readBytes(path, 'the model file'), path), path);
  const parts: Uint8Array[] = [];
  for (const { paths, weights } of manifest) {
    const shards = await Promise.all(
      paths.map((shard) => readBytes(shardPath(path, shard), `weight shard of ${path}`)),
    );
    const actualBytes = shards.reduce((sum, shard) => sum + shard.byteLength, 0);
    const expectedBytes = manifestBytes(weights);
    if (actualBytes !== expectedBytes) {
      throw new ModelError(
        `${path}: shards ${paths.join(', ')} hold ${actualBytes} bytes but the manifest describes ${expectedBytes}.\n` +
          'Hint: a shard is truncated or belongs to another model; fetch the model again.',
        { path, shards: paths, expectedBytes, actualBytes },
      );
    }
    parts.push(...shards);
  }
  return assemble(model, manifest, Buffer.concat(parts), path);
}

/**
 * Makes a layers model from a parsed model.json and all its shards' bytes in the manifest's order.
 *
 * @throws ModelError where it is not a layers model or has the wrong byte count.
 */
export function layersModelFromParts(json: unknown, weightBytes: Uint8Array, source = 'layers model'): LayersModel {
  const { model, manifest } = readEnvelope(json, source);
  return assemble(model, manifest, weightBytes, source);
}

function assemble(model: Envelope['model'], manifest: WeightsManifest, bytes: Uint8Array, source: string): LayersModel {
  const topology = flattenTopology(model.class_name, model.config, source);
  const entries = manifest.flatMap((group) => group.weights);
  return { ...topology, source, weights: decodeWeights(entries, bytes, source) };
}

function readEnvelope(json: unknown, source: string): Envelope {
  const hint = 'Hint: give the model.json that tfjs\'s model.save() or "tensorflowjs_converter" (layers format) wrote.';
  const top = z.record(z.string(), z.unknown()).safeParse(json);
  const topology = z.record(z.string(), z.unknown()).safeParse(top.data?.modelTopology);
  if (!top.success || !topology.success) {
    throw new ModelError(`${source}: not a TensorFlow.js layers model: "modelTopology" is missing.\n${hint}`, {
      source,
    });
  }
  if (top.data.format === 'graph-model' || Array.isArray(topology.data.node)) {
    throw new ModelError(
      `${source}: this is a TensorFlow.js graph model; only layers models can be read.\n` +
        'Hint: a graph model has lost its Keras layers. Convert the original Keras or SavedModel file: to the layers format ' +
        'with tensorflowjs_converter, or straight to ONNX with tf2onnx.',
      { source, format: 'graph-model' },
    );
  }
  // The Python converter wraps the Keras model in "model_config"; tfjs's own save() does not.
  const model = kerasModelSchema.safeParse(topology.data.model_config ?? topology.data);
  if (!model.success) {
    throw new ModelError(`${source}: "modelTopology" holds no Keras model (class_name, config).\n${hint}`, { source });
  }
  const manifest = manifestSchema.safeParse(top.data.weightsManifest);
  if (!manifest.success) {
    throw new ModelError(
      `${source}: "weightsManifest" is missing or malformed.\n${z.prettifyError(manifest.error)}\n${hint}`,
      { source },
      { cause: manifest.error },
    );
  }
  return { model: model.data, manifest: manifest.data };
}

function shardPath(modelPath: string, shard: string): string {
  const relative = normalize(shard);
  if (relative.startsWith('..') || relative.startsWith(sep)) {
    throw new ModelError(`${modelPath}: weight shard "${shard}" lies outside the model's folder.`, {
      modelPath,
      shard,
    });
  }
  return join(dirname(modelPath), relative);
}

async function readBytes(path: string, what: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new ModelError(
      `${path}: ${what} cannot be read (${cause instanceof Error ? cause.message : String(cause)}).\n` +
        `Hint: model.json and every shard it names must lie in one folder.`,
      { path, file: basename(path) },
      { cause },
    );
  }
}

function parseJson(bytes: Uint8Array, path: string): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new ModelError(
      `${path}: not JSON.\nHint: give the model.json of a TensorFlow.js layers model.`,
      { path },
      { cause },
    );
  }
}
