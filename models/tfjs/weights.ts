/**
 * @file Weights of a TensorFlow.js model: the manifest's entries cut out of the shard bytes and made float32.
 */
import { z } from 'zod';
import { ModelError } from '../../runtime/errors.ts';

const quantizationSchema = z.object({
  dtype: z.enum(['uint8', 'uint16', 'float16']),
  min: z.number().optional(),
  scale: z.number().optional(),
  original_dtype: z.string().optional(),
});

const weightSchema = z.object({
  name: z.string().min(1),
  shape: z.array(z.number().int().nonnegative()),
  dtype: z.enum(['float32', 'int32', 'bool']),
  quantization: quantizationSchema.optional(),
});

/** The part of model.json that says which weights lie in which shard files, in order. */
export const manifestSchema = z.array(z.object({ paths: z.array(z.string()), weights: z.array(weightSchema) }));

export type WeightEntry = z.infer<typeof weightSchema>;
export type WeightsManifest = z.infer<typeof manifestSchema>;

/** One weight as Keras keeps it: its shape in Keras's own layout and its values as float32. */
export interface Weight {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

const bytesPerElement = { float32: 4, int32: 4, bool: 1, uint8: 1, uint16: 2, float16: 2 } as const;

function elementCount(entry: WeightEntry): number {
  return entry.shape.reduce((product, extent) => product * extent, 1);
}

/** Bytes the entries take in the shards, which hold them one after the other without gaps. */
export function manifestBytes(entries: readonly WeightEntry[]): number {
  return entries.reduce((sum, entry) => sum + elementCount(entry) * storedElementBytes(entry), 0);
}

function storedElementBytes(entry: WeightEntry): number {
  return bytesPerElement[entry.quantization?.dtype ?? entry.dtype];
}

/**
 * Decodes every weight, in the order of the manifest.
 *
 * A quantised weight is `q * scale + min`, computed in double precision and rounded once, as TensorFlow.js does it.
 *
 * @throws ModelError where the byte count does not match, a name stands twice, or a quantisation lacks its scale.
 */
export function decodeWeights(
  entries: readonly WeightEntry[],
  bytes: Uint8Array,
  source: string,
): ReadonlyMap<string, Weight> {
  const expectedBytes = manifestBytes(entries);
  if (bytes.byteLength !== expectedBytes) {
    throw new ModelError(
      `${source}: the weights manifest describes ${expectedBytes} bytes but the weight data hold ${bytes.byteLength}.\n` +
        'Hint: a shard is truncated or belongs to another model; fetch the model again.',
      { source, expectedBytes, actualBytes: bytes.byteLength },
    );
  }
  const weights = new Map<string, Weight>();
  let offset = 0;
  for (const entry of entries) {
    if (weights.has(entry.name)) {
      throw new ModelError(`${source}: the weights manifest names "${entry.name}" twice.`, {
        source,
        weight: entry.name,
      });
    }
    const byteLength = elementCount(entry) * storedElementBytes(entry);
    // A copy, since shards need not be aligned to the element size; Buffer's own slice would not make one.
    const stored = new Uint8Array(bytes.subarray(offset, offset + byteLength)).buffer;
    weights.set(entry.name, { name: entry.name, shape: entry.shape, data: decodeEntry(entry, stored, source) });
    offset += byteLength;
  }
  return weights;
}

function decodeEntry(entry: WeightEntry, stored: ArrayBuffer, source: string): Float32Array {
  const { quantization } = entry;
  if (quantization?.dtype === 'float16') return Float32Array.from(new Uint16Array(stored), halfToFloat);
  if (quantization) {
    const { scale, min } = quantization;
    if (scale === undefined || min === undefined) {
      throw new ModelError(
        `${source}: weight "${entry.name}" is quantised to ${quantization.dtype} without min and scale.`,
        {
          source,
          weight: entry.name,
        },
      );
    }
    const codes = quantization.dtype === 'uint8' ? new Uint8Array(stored) : new Uint16Array(stored);
    if (entry.dtype === 'int32') return Float32Array.from(codes, (code) => Math.round(code * scale + min));
    return Float32Array.from(codes, (code) => code * scale + min);
  }
  if (entry.dtype === 'float32') return new Float32Array(stored);
  return Float32Array.from(entry.dtype === 'int32' ? new Int32Array(stored) : new Uint8Array(stored));
}

/** IEEE 754 binary16 to a number; Node 20 has no Float16Array. */
function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
