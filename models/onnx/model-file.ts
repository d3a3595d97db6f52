/**
 * @file An ONNX file on disk: its bytes, its identity, and its tensors, wherever they lie (inline, in Constant nodes, or
 * in external data files).
 */
import { createHash } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { basename, dirname, join, normalize } from 'node:path';
import { ModelError } from '../../runtime/errors.ts';
import { DataLocation, DataType, decodeModel, type ModelProto, type TensorProto, tensorDims } from './proto.ts';

/** A model file that has been read. */
export interface ModelFile {
  readonly path: string;
  readonly name: string;
  /** Of the file's bytes; where weights lie in external files, of the model followed by those files in order. */
  readonly sha256: string;
  readonly proto: ModelProto;
  /** Size of the file. */
  readonly bytes: number;
  /** Opset of the default domain. */
  readonly opset: number;
}

/**
 * Reads and checks an ONNX file; external tensors are loaded into the model.
 * @throws ModelError if it is missing, not ONNX, truncated, or its external data are
 */
export async function readModelFile(path: string): Promise<ModelFile> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new ModelError(`cannot read model "${path}": ${message(cause)}`, { path }, { cause });
  });
  const proto = decode(path, bytes);
  const hash = createHash('sha256').update(bytes);
  await loadExternalData(path, proto, hash);
  const opset = Number(proto.opsetImport.find(({ domain }) => domain === '' || domain === 'ai.onnx')?.version ?? 0n);
  if (opset < 7 || opset > 25) {
    throw new ModelError(`model "${path}" uses ONNX opset ${opset}: expected 7 to 25`, { path, opset });
  }
  return {
    path,
    name: basename(path).replace(/\.onnx$/i, ''),
    sha256: hash.digest('hex'),
    proto,
    bytes: bytes.length,
    opset,
  };
}

function decode(path: string, bytes: Uint8Array): ModelProto {
  const fail = (found: string, cause?: unknown): ModelError =>
    new ModelError(
      `"${path}" is not an ONNX model or is damaged: expected an ONNX ModelProto, found ${found} (${bytes.length} bytes)\n` +
        'Hint: check that the download or copy is complete; Git LFS pointers and other formats must be converted first',
      { path, bytes: bytes.length },
      { cause },
    );
  let proto: ModelProto;
  try {
    proto = decodeModel(bytes);
  } catch (cause) {
    throw fail(message(cause), cause);
  }
  if (!proto.graph || proto.graph.node.length === 0 || proto.irVersion === 0n) throw fail('no graph');
  return proto;
}

/** Every tensor of the graph that carries weights: initializers and the values of Constant nodes. */
export function weightTensors(proto: ModelProto): TensorProto[] {
  const constants = (proto.graph?.node ?? [])
    .filter(({ opType }) => opType === 'Constant')
    .flatMap(({ attribute }) => attribute.flatMap(({ t }) => (t ? [t] : [])));
  return [...(proto.graph?.initializer ?? []), ...constants];
}

async function loadExternalData(path: string, proto: ModelProto, hash: { update(data: Uint8Array): unknown }) {
  for (const tensor of weightTensors(proto)) {
    if (tensor.dataLocation !== DataLocation.EXTERNAL) continue;
    const entries = new Map(tensor.externalData.map(({ key, value }) => [key, value]));
    const location = normalize(entries.get('location') ?? '');
    if (location === '.' || location.startsWith('..') || location.startsWith('/')) {
      throw new ModelError(
        `tensor "${tensor.name}" of "${path}": external data must lie beside the model, found "${entries.get('location')}"`,
        { path, tensor: tensor.name },
      );
    }
    const elementBytes = bytesPerElement[tensor.dataType] ?? 4;
    const length = Number(entries.get('length') ?? elementBytes * tensorDims(tensor).reduce((a, b) => a * b, 1));
    tensor.rawData = await readRange(
      path,
      tensor.name,
      join(dirname(path), location),
      Number(entries.get('offset') ?? 0),
      length,
    );
    tensor.dataLocation = DataLocation.DEFAULT;
    tensor.externalData = [];
    hash.update(tensor.rawData);
  }
}

async function readRange(model: string, tensor: string, file: string, offset: number, length: number) {
  const data = new Uint8Array(length);
  try {
    await using handle = await openDisposable(file);
    const { bytesRead } = await handle.file.read(data, 0, length, offset);
    if (bytesRead === length) return data;
    throw new Error(`expected ${length} bytes at ${offset}, found ${bytesRead}`);
  } catch (cause) {
    throw new ModelError(
      `tensor "${tensor}" of "${model}": cannot read its external data from "${file}": ${message(cause)}`,
      { path: model, tensor, file },
      { cause },
    );
  }
}

async function openDisposable(path: string) {
  const file = await open(path);
  return { file, [Symbol.asyncDispose]: () => file.close() };
}

const bytesPerElement: Readonly<Record<number, number>> = {
  [DataType.FLOAT]: 4,
  [DataType.DOUBLE]: 8,
  [DataType.FLOAT16]: 2,
  [DataType.BFLOAT16]: 2,
  [DataType.INT64]: 8,
  [DataType.INT32]: 4,
};

function message(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
