/** @file Numbers of a TensorProto, in and out. */
import { ModelError } from '../../runtime/errors.ts';
import { pieces, rawBytes, rawLength } from './external-data.ts';
import { DataLocation, DataType, type TensorProto, tensorDims } from './proto.ts';

/** Types whose values can be weights. */
export function isFloat(tensor: TensorProto): boolean {
  return isFloatType(tensor.dataType);
}

export function isFloatType(dataType: number): boolean {
  return [DataType.FLOAT, DataType.DOUBLE, DataType.FLOAT16, DataType.BFLOAT16].includes(dataType);
}

/** Types whose values can be a shape or axes. */
export function isInteger(tensor: TensorProto): boolean {
  return tensor.dataType === DataType.INT64 || tensor.dataType === DataType.INT32;
}

/**
 * Values as float32, copied.
 * @throws ModelError if the tensor is shorter than its shape or of another type
 */
export function floatData(tensor: TensorProto): Float32Array {
  const count = tensorDims(tensor).reduce((product, extent) => product * extent, 1);
  const data = decodeFloats(tensor);
  if (data.length !== count) {
    throw new ModelError(
      `tensor "${tensor.name}": expected ${count} values for [${tensor.dims}], found ${data.length}`,
      {
        tensor: tensor.name,
      },
    );
  }
  return data;
}

/** @throws ModelError if the tensor is shorter than its shape, or a weight is NaN or infinite */
export function checkWeights(tensor: TensorProto): void {
  const bytes = 4 * tensorDims(tensor).reduce((product, extent) => product * extent, 1);
  // Usual files are looked through where they lie: a float32 is not finite if all bits of its exponent are set.
  const raw = tensor.dataType === DataType.FLOAT && rawLength(tensor) === bytes;
  const bad = raw ? firstNotFinite(tensor) : floatData(tensor).findIndex((value) => !Number.isFinite(value));
  if (bad < 0) return;
  throw new ModelError(
    `tensor "${tensor.name}": value ${bad} is ${floatData(tensor)[bad]}: weights must be finite numbers`,
    { tensor: tensor.name, index: bad },
  );
}

/** Index of the first little-endian float32 that is not finite, or -1. */
function firstNotFinite(tensor: TensorProto): number {
  let before = 0;
  for (const bytes of pieces(tensor)) {
    for (let at = 3; at < bytes.length; at += 4) {
      if (((bytes[at] ?? 0) & 0x7f) === 0x7f && ((bytes[at - 1] ?? 0) & 0x80) !== 0) return before + (at - 3) / 4;
    }
    before += bytes.length / 4;
  }
  return -1;
}

function decodeFloats(tensor: TensorProto): Float32Array {
  const raw = rawBytes(tensor);
  switch (tensor.dataType) {
    case DataType.FLOAT:
      return raw.length > 0 ? new Float32Array(copy(raw)) : Float32Array.from(tensor.floatData);
    case DataType.DOUBLE:
      return Float32Array.from(raw.length > 0 ? new Float64Array(copy(raw)) : tensor.doubleData);
    case DataType.FLOAT16:
      return Float32Array.from(words(tensor), fromHalf);
    case DataType.BFLOAT16:
      return new Float32Array(Uint32Array.from(words(tensor), (word) => word << 16).buffer);
    default:
      throw new ModelError(`tensor "${tensor.name}": expected floating point, found ONNX type ${tensor.dataType}`, {
        tensor: tensor.name,
      });
  }
}

/** Writes float32 values into a tensor, in the tensor's own type. Float32 tensors keep a view of `values`. */
export function setFloatData(tensor: TensorProto, values: Float32Array): void {
  tensor.floatData = [];
  tensor.doubleData = [];
  tensor.int32Data = [];
  tensor.dataLocation = DataLocation.DEFAULT;
  tensor.externalData = [];
  switch (tensor.dataType) {
    case DataType.DOUBLE:
      tensor.rawData = new Uint8Array(Float64Array.from(values).buffer);
      return;
    case DataType.FLOAT16:
      tensor.rawData = new Uint8Array(Uint16Array.from(values, toHalf).buffer);
      return;
    case DataType.BFLOAT16: {
      const bits = new Uint32Array(values.slice().buffer);
      tensor.rawData = new Uint8Array(
        Uint16Array.from(bits, (word) => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16).buffer,
      );
      return;
    }
    default:
      tensor.rawData = new Uint8Array(values.buffer as ArrayBuffer, values.byteOffset, values.byteLength);
  }
}

/** Values of an integer tensor, such as a shape or axes. */
export function integerData(tensor: TensorProto): number[] {
  const rawData = rawBytes(tensor);
  if (tensor.dataType === DataType.INT64) {
    const values = rawData.length > 0 ? new BigInt64Array(copy(rawData)) : tensor.int64Data;
    return Array.from(values, Number);
  }
  if (tensor.dataType === DataType.INT32) {
    return Array.from(rawData.length > 0 ? new Int32Array(copy(rawData)) : tensor.int32Data);
  }
  throw new ModelError(`tensor "${tensor.name}": expected integers, found ONNX type ${tensor.dataType}`, {
    tensor: tensor.name,
  });
}

function words(tensor: TensorProto): Uint16Array {
  const { int32Data } = tensor;
  const rawData = rawBytes(tensor);
  return rawData.length > 0 ? new Uint16Array(copy(rawData)) : Uint16Array.from(int32Data);
}

function fromHalf(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Nearest half, ties to even; out of range becomes infinity. */
function toHalf(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(size)) return 0x7e00;
  if (size >= 65520) return sign | 0x7c00;
  const exponent = Math.max(-14, Math.floor(Math.log2(size || 2 ** -24)));
  const scaled = size / 2 ** (exponent - 10);
  const floor = Math.floor(scaled);
  const rest = scaled - floor;
  const rounded = rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
  // Below the normal range `rounded` is below 1024 and the exponent field is 0; a carry moves into it by itself.
  return sign | (rounded + (exponent + 14) * 1024);
}

/** The bytes in a buffer of their own: raw data are unaligned views, and `slice` of a Node Buffer does not copy. */
function copy(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}
