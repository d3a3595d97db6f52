/**
 * @file The one place that touches the ONNX protobuf: typed builders and accessors over `onnx-buf`.
 *
 * Raw tensor data are views on the file's own bytes, often unaligned: `tensorData` copies before it makes a typed array.
 */
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  type AttributeProto,
  AttributeProto_AttributeType,
  type AttributeProtoSchema,
  type GraphProto,
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
  TensorProto_DataType,
  TensorProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from 'onnx-buf';

export type { AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto };
export {
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
};

/** Decodes a ModelProto; throws whatever the protobuf library throws on damaged bytes. */
export function decodeModel(bytes: Uint8Array): ModelProto {
  return fromBinary(ModelProtoSchema, bytes);
}

/** The model's bytes, fields in the order of their numbers. */
export function encodeModel(model: ModelProto): Uint8Array {
  return toBinary(ModelProtoSchema, model);
}

/**
 * The model's bytes in pieces, to be written one after the other: data of initializers are the tensors' own views, so a large
 * model takes no second copy. Fields of a protobuf message may stand in any order.
 */
export function encodeModelParts(model: ModelProto): Uint8Array[] {
  const { graph, ...rest } = model;
  if (!graph) return [toBinary(ModelProtoSchema, model)];
  const tensors = graph.initializer.flatMap((tensor) => {
    const head = toBinary(TensorProtoSchema, { ...tensor, rawData: new Uint8Array() });
    const raw = tensor.rawData.length > 0 ? [fieldStart(RAW_DATA, tensor.rawData.length), tensor.rawData] : [];
    const length = [head, ...raw].reduce((sum, part) => sum + part.length, 0);
    return [fieldStart(INITIALIZER, length), head, ...raw];
  });
  const inside = [toBinary(GraphProtoSchema, { ...graph, initializer: [] }), ...tensors];
  const length = inside.reduce((sum, part) => sum + part.length, 0);
  return [toBinary(ModelProtoSchema, rest as ModelProto), fieldStart(GRAPH, length), ...inside];
}

/** Field numbers of onnx.proto3. */
const GRAPH = 7;
const INITIALIZER = 5;
const RAW_DATA = 9;

/** Key and length of a length-delimited field. */
function fieldStart(field: number, length: number): Uint8Array {
  const bytes = [(field << 3) | 2];
  let rest = length;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return Uint8Array.from([...bytes, rest]);
}

export function makeModel(init: MessageInitShape<typeof ModelProtoSchema>): ModelProto {
  return create(ModelProtoSchema, init);
}

export function makeGraph(init: MessageInitShape<typeof GraphProtoSchema>): GraphProto {
  return create(GraphProtoSchema, init);
}

/** Attribute values a node can be made with; a number array is written as INTS, a float as `{ float }`. */
export type AttributeInput = number | string | readonly number[] | { readonly float: number };

export function makeNode(
  opType: string,
  name: string,
  input: readonly string[],
  output: readonly string[],
  attributes: Readonly<Record<string, AttributeInput>> = {},
  domain = '',
): NodeProto {
  return create(NodeProtoSchema, {
    opType,
    name,
    domain,
    input: [...input],
    output: [...output],
    attribute: Object.entries(attributes).map(([key, value]) => makeAttribute(key, value)),
  });
}

function makeAttribute(name: string, value: AttributeInput): MessageInitShape<typeof AttributeProtoSchema> {
  if (typeof value === 'number') return { name, type: AttributeProto_AttributeType.INT, i: BigInt(value) };
  if (typeof value === 'string') {
    return { name, type: AttributeProto_AttributeType.STRING, s: new Uint8Array(new TextEncoder().encode(value)) };
  }
  if ('float' in value) return { name, type: AttributeProto_AttributeType.FLOAT, f: value.float };
  return { name, type: AttributeProto_AttributeType.INTS, ints: value.map((item) => BigInt(item)) };
}

/** Float32 initializer; the data are copied. */
export function makeTensor(name: string, dims: readonly number[], data: Float32Array): TensorProto {
  const rawData = new Uint8Array(data.byteLength);
  rawData.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return create(TensorProtoSchema, { name, dims: dims.map(BigInt), dataType: TensorProto_DataType.FLOAT, rawData });
}

/** Int64 initializer, as shapes and axes are. */
export function makeInt64Tensor(name: string, dims: readonly number[], values: readonly number[]): TensorProto {
  const rawData = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
  return create(TensorProtoSchema, { name, dims: dims.map(BigInt), dataType: TensorProto_DataType.INT64, rawData });
}

/** Declares a float32 value; a string dimension is symbolic. */
export function makeValueInfo(name: string, dims: readonly (number | string)[]): ValueInfoProto {
  const dim = dims.map((extent) =>
    typeof extent === 'string'
      ? { value: { case: 'dimParam' as const, value: extent } }
      : { value: { case: 'dimValue' as const, value: BigInt(extent) } },
  );
  return create(ValueInfoProtoSchema, {
    name,
    type: {
      value: { case: 'tensorType', value: { elemType: TensorProto_DataType.FLOAT, shape: { dim } } },
    },
  });
}

/** A declared sequence of float tensors. */
export function makeSequenceInfo(name: string): ValueInfoProto {
  const tensor = { case: 'tensorType' as const, value: { elemType: TensorProto_DataType.FLOAT } };
  return create(ValueInfoProtoSchema, {
    name,
    type: { value: { case: 'sequenceType', value: { elemType: { value: tensor } } } },
  });
}

/** Dimensions of a declared value: numbers, strings where symbolic, null where nothing is said. Undefined: no shape. */
export function declaredDims(info: ValueInfoProto): (number | string | null)[] | undefined {
  const type = info.type?.value;
  if (type?.case !== 'tensorType' || !type.value.shape) return undefined;
  return type.value.shape.dim.map(({ value }) => {
    if (value.case === 'dimValue') return Number(value.value) > 0 ? Number(value.value) : null;
    return value.case === 'dimParam' ? value.value : null;
  });
}

export function tensorDims(tensor: TensorProto): number[] {
  return tensor.dims.map(Number);
}
