/**
 * @file What a layer's conversion rule is, and the helpers every rule uses: configuration, weights, nodes.
 *
 * Inside the converter a value's shape leaves out the batch and is in ONNX order: [C,H,W] for a map, [F] for a vector.
 */
import { z } from 'zod';
import { ModelError, ShapeError, UnsupportedOpError } from '../../runtime/errors.ts';
import {
  type AttributeInput,
  makeInt64Tensor,
  makeNode,
  makeTensor,
  type NodeProto,
  type TensorProto,
} from '../onnx/proto.ts';
import type { LayersModel } from './layers-model.ts';
import type { KerasLayer } from './topology.ts';
import type { Weight } from './weights.ts';

/** What a layer gives to the next: an ONNX value, and what is still owed to it. */
export interface Value {
  readonly name: string;
  readonly shape: readonly number[];
  /** Zeros a folded ZeroPadding2D left for the next convolution to add: top, left, bottom, right. */
  readonly pads?: readonly number[];
  /** Set on a flattened map whose elements stand in C,H,W order where Keras has H,W,C: the map's [C,H,W]. */
  readonly flattened?: readonly number[];
}

/** The ONNX graph under construction. */
export interface OnnxDraft {
  readonly model: LayersModel;
  readonly nodes: NodeProto[];
  readonly initializers: Map<string, TensorProto>;
  readonly consumers: ReadonlyMap<string, readonly KerasLayer[]>;
  /** Average pools known to cover the whole map at the model's own image size. */
  readonly wholeMapPools: Set<string>;
}

export interface LayerRule {
  /** Why this layer's settings cannot be converted, or null; looks at the configuration only. */
  refuse(layer: KerasLayer, source: string): string | null;
  convert(layer: KerasLayer, inputs: readonly Value[], draft: OnnxDraft): Value;
}

/** Makes a rule whose configuration is checked by `schema` before either function sees it. */
export function layerRule<Config>(
  schema: z.ZodType<Config>,
  convert: (layer: KerasLayer, config: Config, inputs: readonly Value[], draft: OnnxDraft) => Value,
  refuse: (config: Config) => string | null = () => null,
): LayerRule {
  return {
    refuse: (layer, source) => {
      const { data_format: dataFormat } = layer.config;
      if (dataFormat === 'channels_first') return 'data_format "channels_first"';
      return refuse(parseConfig(schema, layer, source));
    },
    convert: (layer, inputs, draft) => convert(layer, parseConfig(schema, layer, draft.model.source), inputs, draft),
  };
}

function parseConfig<Config>(schema: z.ZodType<Config>, layer: KerasLayer, source: string): Config {
  const result = schema.safeParse(layer.config);
  if (result.success) return result.data;
  throw new ModelError(
    `${source}: the settings of ${layer.className} "${layer.name}" are malformed.\n${z.prettifyError(result.error)}`,
    { source, layer: layer.name },
    { cause: result.error },
  );
}

/** A height-width pair, which Keras also writes as one number. */
export const pairSchema = z
  .union([z.number().int(), z.tuple([z.number().int(), z.number().int()])])
  .transform((value): readonly [number, number] => (typeof value === 'number' ? [value, value] : value));

/** Fails the conversion for one layer, for reasons only the shapes show. */
export function unsupported(layer: KerasLayer, draft: OnnxDraft, reason: string): UnsupportedOpError {
  return new UnsupportedOpError(
    `${draft.model.source}: cannot be converted to ONNX:`,
    [{ op: layer.className, nodes: [layer.name], reason }],
    'replace the layer in the Keras model, or convert with tf2onnx.',
  );
}

/** The layer's only input. */
export function onlyInput(layer: KerasLayer, inputs: readonly Value[]): Value {
  const [input] = inputs;
  if (input && inputs.length === 1) return input;
  throw new ShapeError({
    op: layer.className,
    node: layer.name,
    expected: '1 input',
    actual: `${inputs.length} inputs`,
  });
}

/** The layer's only input, which must be a map: `[C,H,W]`. */
export function mapInput(layer: KerasLayer, inputs: readonly Value[]): { value: Value; map: [number, number, number] } {
  const value = onlyInput(layer, inputs);
  const [channels, height, width] = value.shape;
  if (channels === undefined || height === undefined || width === undefined) {
    throw shapeMismatch(layer, 'an image map [N,C,H,W]', value.shape);
  }
  return { value, map: [channels, height, width] };
}

export function shapeMismatch(layer: KerasLayer, expected: string, actual: readonly number[]): ShapeError {
  return new ShapeError({ op: layer.className, node: layer.name, expected, actual: `[N,${actual.join(',')}]` });
}

/** Finds a layer's weight by the names Keras may have stored it under. */
export function layerWeight(layer: KerasLayer, role: string, rank: number, draft: OnnxDraft): Weight {
  const { weights, source } = draft.model;
  const names = layer.weightScopes.map((scope) => `${scope}/${role}`);
  // The most specific name first: two nested models may share the plain one.
  const found =
    [...names]
      .reverse()
      .map((name) => weights.get(name))
      .find((weight) => weight !== undefined) ??
    [...weights.values()].find((weight) => names.some((name) => weight.name.endsWith(`/${name}`)));
  if (!found) {
    throw new ModelError(`${source}: ${layer.className} "${layer.name}" has no weight "${names.at(-1)}".`, {
      source,
      layer: layer.name,
      weight: names.at(-1),
    });
  }
  if (found.shape.length !== rank) {
    throw new ModelError(`${source}: weight "${found.name}" must have ${rank} dimensions, found [${found.shape}].`, {
      source,
      weight: found.name,
      shape: found.shape,
    });
  }
  return found;
}

/** Puts an initializer into the draft once and returns its name. */
export function addInitializer(draft: OnnxDraft, name: string, dims: readonly number[], data: Float32Array): string {
  if (!draft.initializers.has(name)) draft.initializers.set(name, makeTensor(name, dims, data));
  return name;
}

/** Like `addInitializer`, for the int64 vectors ONNX takes pads and shapes as. */
export function addIntegers(draft: OnnxDraft, name: string, values: readonly number[]): string {
  draft.initializers.set(name, makeInt64Tensor(name, [values.length], values));
  return name;
}

export function addNode(
  draft: OnnxDraft,
  opType: string,
  name: string,
  inputs: readonly string[],
  output: string,
  attributes: Readonly<Record<string, AttributeInput>> = {},
): string {
  draft.nodes.push(makeNode(opType, name, inputs, [output], attributes));
  return output;
}
