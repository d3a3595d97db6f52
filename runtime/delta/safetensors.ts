/**
 * @file Float32 tensors with text metadata in the safetensors format: 8 bytes of header length (little-endian), a JSON
 * header, the raw data (github.com/huggingface/safetensors, README, "Format").
 *
 * The metadata hold a sha256 of the whole file (with zeros in its own place), so that damage is noticed and not trained on. A signed
 * file also names its signer and holds the signature of that sha256 (signature.ts), which counts as zeros in it, too: one
 * pass over the data makes both.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { DeltaError } from '../errors.ts';
import { GarbageMeter } from '../garbage.ts';
import { elements, type Shape } from '../graph/graph.ts';
import { writeAll, writeAtomically } from './atomic-file.ts';
import { isSignedBy, SIGNATURE_DIGITS, type Signer } from './signature.ts';

export interface NamedTensor {
  readonly name: string;
  readonly shape: Shape;
  readonly data: Float32Array;
}

export interface TensorFile {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, NamedTensor>;
  /** Public key that the file is signed with (64 hex digits), and rightly so; null if it is not signed. */
  readonly signer: string | null;
}

const CHECKSUM = 'sha256';
const SIGNER = 'signed_by';
const SIGNATURE = 'signature';
const NO_CHECKSUM = '0'.repeat(64);
const NO_SIGNATURE = '0'.repeat(SIGNATURE_DIGITS);

/** Copies of tensors on their way to the file, in bytes, that may wait to be collected. */
const COPIES_BYTES = 2 << 20;

/** A tensor that is fetched when its turn comes, so that only one is in memory at a time. */
export interface TensorSource {
  readonly name: string;
  readonly shape: Shape;
  read(): Promise<Float32Array>;
}

/** Writes tensors and metadata atomically, signed if there is a signer. @throws DataError if the disk refuses */
export async function writeTensors(
  path: string,
  tensors: readonly TensorSource[],
  metadata: Readonly<Record<string, string>>,
  signer: Signer | null = null,
): Promise<void> {
  const header = (checksum: string, signature: string): Uint8Array =>
    encodeHeader(tensors, {
      ...metadata,
      [CHECKSUM]: checksum,
      ...(signer && { [SIGNER]: signer.publicKey, [SIGNATURE]: signature }),
    });
  await writeAtomically(path, async (file) => {
    const blank = header(NO_CHECKSUM, NO_SIGNATURE);
    const hash = createHash('sha256').update(blank);
    const copies = new GarbageMeter(COPIES_BYTES);
    // Checksums and signatures have one length, so the header is written twice in the same place.
    let position = await writeAll(file, blank, 0);
    for (const { read } of tensors) {
      const { buffer, byteOffset, byteLength } = await read();
      const part = new Uint8Array(buffer, byteOffset, byteLength);
      hash.update(part);
      position += await writeAll(file, part, position);
      copies.drop(byteLength);
    }
    const checksum = hash.digest('hex');
    await writeAll(file, header(checksum, signer?.sign(checksum) ?? NO_SIGNATURE), 0);
  });
}

function encodeHeader(tensors: readonly TensorSource[], metadata: Readonly<Record<string, string>>): Uint8Array {
  let offset = 0;
  const entries = tensors.map(({ name, shape }) => {
    const from = offset;
    offset += 4 * elements(shape);
    return [name, { dtype: 'F32', shape, data_offsets: [from, offset] }];
  });
  const text = JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(entries) });
  // Padded with spaces to a multiple of 8, so that the data are aligned for whoever maps the file.
  const json = new TextEncoder().encode(text.padEnd(text.length + ((8 - (Buffer.byteLength(text) % 8)) % 8)));
  const bytes = new Uint8Array(8 + json.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

/** Reads a file back. @throws DeltaError if it is missing, truncated, damaged, not float32, or not what was signed */
export async function readTensors(path: string): Promise<TensorFile> {
  const fail = (found: string, cause?: unknown): DeltaError =>
    new DeltaError(`"${path}" is not a readable safetensors file: ${found}`, { path }, { cause });
  const bytes = await readFile(path).catch((cause: Error) => {
    throw fail(cause.message, cause);
  });
  if (bytes.length < 8) throw fail(`it has ${bytes.length} bytes`);
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  if (length > bytes.length - 8) throw fail(`its header should have ${length} bytes, the file has ${bytes.length}`);
  let header: unknown;
  try {
    header = JSON.parse(bytes.toString('utf8', 8, 8 + length));
  } catch (cause) {
    throw fail('its header is not JSON', cause);
  }
  if (!isRecord(header)) throw fail('its header is not a JSON object');
  const { __metadata__: found = {}, ...entries } = header;
  if (!isRecord(found)) throw fail('its metadata are not a JSON object');
  const {
    [CHECKSUM]: expected,
    [SIGNER]: signer,
    [SIGNATURE]: signature,
    ...metadata
  } = found as Record<string, string>;
  const head = Buffer.from(bytes.subarray(0, 8 + length));
  const data = bytes.subarray(8 + length);
  const isChecked = typeof expected === 'string' && expected.length === NO_CHECKSUM.length;
  if (isChecked) {
    blankOut(head, CHECKSUM, expected);
    if (typeof signature === 'string') blankOut(head, SIGNATURE, signature);
    const actual = createHash('sha256').update(head).update(data).digest('hex');
    if (actual !== expected) throw fail(`it is damaged (sha256 ${actual}, expected ${expected})`);
    if (signature !== undefined && !isSignedBy(signer ?? '', actual, signature))
      throw fail('it is not what was signed: its signature does not fit');
  } else if (metadata.format?.startsWith?.('edgeshift-')) {
    // Files of other programs have none; ours always do.
    throw fail('its checksum is missing');
  }
  const tensors = new Map<string, NamedTensor>();
  for (const [name, entry] of Object.entries(entries)) {
    const { dtype, shape, data_offsets: range } = isRecord(entry) ? entry : {};
    if (!isCounts(shape) || !isCounts(range)) throw fail(`tensor "${name}" has no shape and data_offsets`);
    if (dtype !== 'F32') throw fail(`tensor "${name}" is ${dtype}, expected F32`);
    const [from = 0, to = 0] = range;
    if (to > data.length || to - from !== 4 * elements(shape)) {
      throw fail(`tensor "${name}" [${shape}] should lie at ${from} to ${to} of ${data.length} data bytes`);
    }
    tensors.set(name, { name, shape, data: floats(data.subarray(from, to)) });
  }
  return { metadata, tensors, signer: isChecked && signature !== undefined ? (signer ?? null) : null };
}

/** Zeros in the place of a metadata entry's value; quotes within values are escaped, so nothing else looks like an entry. */
function blankOut(head: Buffer, key: string, value: string): void {
  const place = head.indexOf(`${JSON.stringify(key)}:${JSON.stringify(value)}`);
  if (place >= 0) head.fill('0', place + key.length + 4, place + key.length + 4 + value.length);
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isCounts = (value: unknown): value is readonly number[] =>
  Array.isArray(value) && value.every((count) => Number.isSafeInteger(count) && count >= 0);

/** The bytes as floats: a view where they are aligned, as in every file written here, else a copy. */
function floats(bytes: Uint8Array): Float32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
}
