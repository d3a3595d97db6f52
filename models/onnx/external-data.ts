/**
 * @file Tensors whose data lie in a file beside the model. They are read when somebody needs the values and no sooner, because
 * such files may be larger than the memory; checks and hashes walk through them in pieces.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { ModelError } from '../../runtime/errors.ts';
import { DataLocation, DataType, type GraphProto, type NodeProto, type TensorProto, tensorDims } from './proto.ts';

/** Where a tensor's bytes lie; `view` is what the reader found there if they lie in the model file itself. */
interface Range {
  readonly view?: Uint8Array;
  readonly model: string;
  readonly tensor: string;
  readonly file: string;
  readonly offset: number;
  readonly length: number;
}

/** The ranges of every tensor with external data that has been located, by its proto. */
const ranges = new WeakMap<TensorProto, Range>();

/** Bytes read at a time where not all of them are needed at once. */
const PIECE_BYTES = 4 << 20;

/**
 * Finds the external data of a tensor of the model at `path`; reads none of it.
 * @throws ModelError if it does not lie beside the model or is shorter than the tensor says
 */
export function locateExternal(path: string, tensor: TensorProto): void {
  if (tensor.dataLocation !== DataLocation.EXTERNAL) return;
  const entries = new Map(tensor.externalData.map(({ key, value }) => [key, value]));
  const location = normalize(entries.get('location') ?? '');
  if (location === '.' || location.startsWith('..') || location.startsWith('/')) {
    throw new ModelError(
      `tensor "${tensor.name}" of "${path}": external data must lie beside the model, found "${entries.get('location')}"`,
      { path, tensor: tensor.name },
    );
  }
  const elementBytes = bytesPerElement[tensor.dataType] ?? 4;
  const range: Range = {
    ...{ model: path, tensor: tensor.name, file: join(dirname(path), location) },
    offset: Number(entries.get('offset') ?? 0),
    length: Number(entries.get('length') ?? elementBytes * tensorDims(tensor).reduce((a, b) => a * b, 1)),
  };
  withFile(range, (file) => {
    const found = Math.max(0, Math.min(range.length, fstatSync(file).size - range.offset));
    if (found !== range.length) throw new Error(`expected ${range.length} bytes at ${range.offset}, found ${found}`);
  });
  ranges.set(tensor, range);
}

/** Remembers where in the model file the raw data of a tensor lie, which must be views on `bytes`, the file. */
export function locateInside(path: string, bytes: Uint8Array, tensor: TensorProto): void {
  const { rawData: view, dataLocation } = tensor;
  if (dataLocation === DataLocation.EXTERNAL || view.buffer !== bytes.buffer || view.length === 0) return;
  const offset = view.byteOffset - bytes.byteOffset;
  ranges.set(tensor, { model: path, tensor: tensor.name, file: path, offset, length: view.length, view });
}

/** Shorter tensors are not worth a look into another file. */
const SMALLEST_OUTSIDE = 4096;

/**
 * The tensor as a reference to the file that holds its data, so that whoever opens the model reads them from there; itself if
 * it is small or its data were changed.
 */
export function outside(tensor: TensorProto): TensorProto {
  const range = ranges.get(tensor);
  if (!range?.view || range.view !== tensor.rawData || range.length < SMALLEST_OUTSIDE) return tensor;
  const entries = { location: basename(range.file), offset: String(range.offset), length: String(range.length) };
  return {
    ...tensor,
    rawData: new Uint8Array(),
    dataLocation: DataLocation.EXTERNAL,
    externalData: Object.entries(entries).map(([key, value]) => ({
      $typeName: 'onnx.StringStringEntryProto',
      key,
      value,
    })),
  };
}

/** A tensor's bytes, from wherever they lie. */
export function rawBytes(tensor: TensorProto): Uint8Array<ArrayBuffer> {
  const range = ranges.get(tensor);
  if (!range || tensor.dataLocation !== DataLocation.EXTERNAL) return tensor.rawData;
  const bytes = new Uint8Array(range.length);
  withFile(range, (file) => readExactly(file, bytes, range.offset));
  return bytes;
}

/** A tensor's bytes in pieces of a few MiB, each a multiple of 8 long but for the last; a piece is gone with the next. */
export function* pieces(tensor: TensorProto): Generator<Uint8Array> {
  const range = ranges.get(tensor);
  if (!range || tensor.dataLocation !== DataLocation.EXTERNAL) {
    yield tensor.rawData;
    return;
  }
  const buffer = new Uint8Array(Math.min(PIECE_BYTES, range.length));
  for (let done = 0; done < range.length; done += buffer.length) {
    const piece = buffer.subarray(0, Math.min(buffer.length, range.length - done));
    withFile(range, (file) => readExactly(file, piece, range.offset + done));
    yield piece;
  }
}

/** Bytes a tensor takes as raw data. */
export function rawLength(tensor: TensorProto): number {
  return (tensor.dataLocation === DataLocation.EXTERNAL && ranges.get(tensor)?.length) || tensor.rawData.length;
}

/** The tensor with its data inside: itself, or a copy if they lie in a file. */
export function inlined(tensor: TensorProto): TensorProto {
  if (tensor.dataLocation !== DataLocation.EXTERNAL) return tensor;
  return { ...tensor, rawData: rawBytes(tensor), dataLocation: DataLocation.DEFAULT, externalData: [] };
}

/** The node; a Constant node with its data inside. */
export function inlinedNode(node: NodeProto): NodeProto {
  if (!node.attribute.some(({ t }) => t?.dataLocation === DataLocation.EXTERNAL)) return node;
  const attribute = node.attribute.map((each) => (each.t ? { ...each, t: inlined(each.t) } : each));
  return { ...node, attribute };
}

/**
 * Refuses what no single ONNX file can hold.
 * @throws ModelError if the tensors are 2 GiB or more together, protobuf's limit
 */
export function requireOneFile(path: string, graph: Pick<GraphProto, 'initializer' | 'node'>): void {
  const constants = graph.node.flatMap(({ attribute }) => attribute.flatMap(({ t }) => (t ? [t] : [])));
  const bytes = [...graph.initializer, ...constants].reduce((sum, tensor) => sum + rawLength(tensor), 0);
  if (bytes < 2 ** 31 - 2 ** 20) return;
  throw new ModelError(
    `model "${path}": its tensors take ${bytes} bytes together: expected less than 2 GiB, which is all that one ONNX file ` +
      'can hold\nHint: a smaller network, or one with float16 weights, would fit',
    { path, bytes },
  );
}

function withFile(range: Range, use: (file: number) => void): void {
  let file: number | undefined;
  try {
    file = openSync(range.file, 'r');
    use(file);
  } catch (cause) {
    throw new ModelError(
      `tensor "${range.tensor}" of "${range.model}": cannot read its external data from "${range.file}": ` +
        `${cause instanceof Error ? cause.message : cause}`,
      { path: range.model, tensor: range.tensor, file: range.file },
      { cause },
    );
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function readExactly(file: number, target: Uint8Array, offset: number): void {
  let done = 0;
  while (done < target.length) {
    const count = readSync(file, target, done, Math.min(target.length - done, 1 << 30), offset + done);
    if (count === 0) throw new Error(`expected ${target.length} bytes at ${offset}, found ${done}`);
    done += count;
  }
}

const bytesPerElement: Readonly<Record<number, number>> = {
  [DataType.FLOAT]: 4,
  [DataType.DOUBLE]: 8,
  [DataType.FLOAT16]: 2,
  [DataType.BFLOAT16]: 2,
  [DataType.INT64]: 8,
  [DataType.INT32]: 4,
};
