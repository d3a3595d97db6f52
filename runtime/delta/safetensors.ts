/**
 * @file Float32 tensors with text metadata in the safetensors format: 8 bytes of header length (little-endian), a JSON
 * header, the raw data (github.com/huggingface/safetensors, README, "Format").
 *
 * The metadata hold a sha256 of the data, so that damage is noticed and not trained on.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { DeltaError } from '../errors.ts';
import type { Shape } from '../graph/graph.ts';
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

/** Writes tensors and metadata atomically. @throws DataError if the disk refuses. */
export async function writeTensors(
  path: string,
  tensors: readonly NamedTensor[],
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  const parts = tensors.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  const header: Record<string, unknown> = { __metadata__: { ...metadata, [CHECKSUM]: hash.digest('hex') } };
  let offset = 0;
  for (const { name, shape, data } of tensors) {
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
  }
  const text = JSON.stringify(header);
  // Padded with spaces to a multiple of 8, so that the data are aligned for whoever maps the file.
  const json = new TextEncoder().encode(text.padEnd(text.length + ((8 - (Buffer.byteLength(text) % 8)) % 8)));
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(json.length), true);
  await writeAtomically(path, [length, json, ...parts]);
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
    tensors.set(name, { name, shape: entry.shape, data: new Float32Array(new Uint8Array(data.subarray(from, to)).buffer) });
  }
  const texts = metadata as Record<string, string>;
  const { [CHECKSUM]: expected, ...rest } = texts;
  const actual = createHash('sha256').update(data).digest('hex');
  if (expected !== undefined && expected !== actual) throw fail(`its data are damaged (sha256 ${actual}, expected ${expected})`);
  return { metadata: rest, tensors };
}
