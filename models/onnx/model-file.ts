/**
 * @file An ONNX file on disk: its bytes, its identity, and its tensors, wherever they lie (inline, in Constant nodes, or
 * in external data files).
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { ModelError } from '../../runtime/errors.ts';
import { locateExternal, locateInside, pieces, rawLength } from './external-data.ts';
import { DataLocation, decodeModel, type ModelProto, type TensorProto } from './proto.ts';

/** A model file that has been read. */
export interface ModelFile {
  readonly path: string;
  readonly name: string;
  /** Of the file's bytes; where weights lie in external files, of the model followed by those files in order. */
  readonly sha256: string;
  readonly proto: ModelProto;
  /** Size of the file, and of its tensors' data in files beside it. */
  readonly bytes: number;
  /** Opset of the default domain. */
  readonly opset: number;
}

/**
 * Reads and checks an ONNX file; data of external tensors stay where they are (external-data.ts), but for their hash.
 * @throws ModelError if it is missing, not ONNX, truncated, or its external data are
 */
export async function readModelFile(path: string): Promise<ModelFile> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new ModelError(`cannot read model "${path}": ${message(cause)}`, { path }, { cause });
  });
  const proto = decode(path, bytes);
  const hash = createHash('sha256').update(bytes);
  const tensors = weightTensors(proto);
  for (const tensor of tensors) {
    locateExternal(path, tensor);
    locateInside(path, bytes, tensor);
  }
  let outsideBytes = 0;
  for (const tensor of tensors.filter(({ dataLocation }) => dataLocation === DataLocation.EXTERNAL)) {
    outsideBytes += rawLength(tensor);
    for (const piece of pieces(tensor)) hash.update(piece);
  }
  const opset = Number(proto.opsetImport.find(({ domain }) => domain === '' || domain === 'ai.onnx')?.version ?? 0n);
  if (opset < 7 || opset > 25) {
    throw new ModelError(`model "${path}" uses ONNX opset ${opset}: expected 7 to 25`, { path, opset });
  }
  return {
    path,
    name: basename(path).replace(/\.onnx$/i, ''),
    sha256: hash.digest('hex'),
    proto,
    bytes: bytes.length + outsideBytes,
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

function message(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
