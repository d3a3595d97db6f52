/**
 * @file Float32 tensors with text metadata in the safetensors format: 8 bytes of header length (little-endian), a JSON
 * header, the raw data (github.com/huggingface/safetensors, README, "Format").
 *
 * The metadata hold a sha256 of the data, so that damage is noticed and not trained on.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { DeltaError } from '../errors.ts';
import { GarbageMeter } from '../garbage.ts';
import { elements, type Shape } from '../graph/graph.ts';
import { writeAtomically } from './atomic-file.ts';

export interface NamedTensor {
  readonly name: string;
  readonly shape: Shape;
  readonly data: Float32Array;
}

export interface TensorFile {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, NamedTensor>;
}

const CHECKSUM = 'data_sha256';

/** Copies of tensors on their way to the file, in bytes, that may wait to be collected. */
const COPIES_BYTES = 2 << 20;

/** A tensor that is fetched when its turn comes, so that only one is in memory at a time. */
export interface TensorSource {
  readonly name: string;
  readonly shape: Shape;
  read(): Promise<Float32Array>;
}

/** Writes tensors and metadata atomically. @throws DataError if the disk refuses */
export async function writeTensors(
  path: string,
  tensors: readonly TensorSource[],
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  const header = (checksum: string): Uint8Array => {
    let offset = 0;
    const entries = tensors.map(({ name, shape }) => {
      const from = offset;
      offset += 4 * elements(shape);
      return [name, { dtype: 'F32', shape, data_offsets: [from, offset] }];
    });
    const text = JSON.stringify({ __metadata__: { ...metadata, [CHECKSUM]: checksum }, ...Object.fromEntries(entries) });
    // Padded with spaces to a multiple of 8, so that the data are aligned for whoever maps the file.
    const json = new TextEncoder().encode(text.padEnd(text.length + ((8 - (Buffer.byteLength(text) % 8)) % 8)));
    const bytes = new Uint8Array(8 + json.length);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
    bytes.set(json, 8);
    return bytes;
  };
  await writeAtomically(path, async (file) => {
    const hash = createHash('sha256');
    const copies = new GarbageMeter(COPIES_BYTES, 'major');
    // A checksum has one length, so the header is written twice in the same place.
    let position = (await file.write(header(hash.copy().digest('hex')))).bytesWritten;
    for (const { read } of tensors) {
      const { buffer, byteOffset, byteLength } = await read();
      const part = new Uint8Array(buffer, byteOffset, byteLength);
      hash.update(part);
      await file.write(part, 0, byteLength, position);
      position += byteLength;
      copies.drop(byteLength);
    }
    await file.write(header(hash.digest('hex')), 0, undefined, 0);
  });
}

/** Reads a file back. @throws DeltaError if it is missing, truncated, damaged or not float32 */
export async function readTensors(path: string): Promise<TensorFile> {
  const fail = (found: string, cause?: unknown): DeltaError =>
    new DeltaError(`"${path}" is not a readable safetensors file: ${found}`, { path }, { cause });
  const bytes = await readFile(path).catch((cause: Error) => {
    throw fail(cause.message, cause);
  });
  if (bytes.length < 8) throw fail(`it has ${bytes.length} bytes`);
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  if (length > bytes.length - 8) throw fail(`its header should have ${length} bytes, the file has ${bytes.length}`);
  let header: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;
  try {
    header = JSON.parse(bytes.toString('utf8', 8, 8 + length));
  } catch (cause) {
    throw fail('its header is not JSON', cause);
  }
  const data = bytes.subarray(8 + length);
  const { __metadata__: metadata = {}, ...entries } = header as Record<string, unknown>;
  const tensors = new Map<string, NamedTensor>();
  for (const [name, entry] of Object.entries(entries as typeof header)) {
    const [from, to] = entry.data_offsets;
    const count = entry.shape.reduce((product, extent) => product * extent, 1);
    if (entry.dtype !== 'F32') throw fail(`tensor "${name}" is ${entry.dtype}, expected F32`);
    if (to > data.length || to - from !== 4 * count) {
      throw fail(`tensor "${name}" [${entry.shape}] should lie at ${from} to ${to} of ${data.length} data bytes`);
    }
    tensors.set(name, { name, shape: entry.shape, data: floats(data.subarray(from, to)) });
  }
  const texts = metadata as Record<string, string>;
  const { [CHECKSUM]: expected, ...rest } = texts;
  const actual = createHash('sha256').update(data).digest('hex');
  if (expected !== undefined && expected !== actual) throw fail(`its data are damaged (sha256 ${actual}, expected ${expected})`);
  return { metadata: rest, tensors };
}

/** The bytes as floats: a view where they are aligned, as in every file written here, else a copy. */
function floats(bytes: Uint8Array): Float32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
}
