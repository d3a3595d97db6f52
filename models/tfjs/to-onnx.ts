/**
 * @file Layers model to ONNX: float32, NCHW, symbolic batch `N`, opset 17, norms kept as nodes.
 *
 * Nodes are named after the Keras layers, initializers after the Keras weights, values after the layer that makes them.
 */
import { z } from 'zod';
import { ModelError, type UnsupportedOp, UnsupportedOpError } from '../../runtime/errors.ts';
import { type ModelProto, makeGraph, makeModel, makeValueInfo } from '../onnx/proto.ts';
import { activationRules } from './activation-rules.ts';
import { convolutionRules } from './convolution-rules.ts';
import { denseRules } from './dense-rules.ts';
import { addNode, type LayerRule, type OnnxDraft, type Value } from './layer-rule.ts';
import type { LayersModel } from './layers-model.ts';
import { mergeRules } from './merge-rules.ts';
import { normalizationRules } from './normalization-rules.ts';
import { poolingRules } from './pooling-rules.ts';
import type { KerasLayer } from './topology.ts';

export interface ToOnnxOptions {
  /** Name of the ONNX graph; the Keras model's name by default. */
  readonly name?: string;
  /** Height and width of the input in pixels; the layers model's own by default. */
  readonly imageSize?: number;
  /** Written into the file's metadata_props. */
  readonly metadata?: Readonly<Record<string, string>>;
}

const rules: ReadonlyMap<string, LayerRule> = new Map(
  Object.entries({
    ...activationRules,
    ...convolutionRules,
    ...denseRules,
    ...mergeRules,
    ...normalizationRules,
    ...poolingRules,
  }),
);

/**
 * Converts a layers model to ONNX.
 *
 * @throws UnsupportedOpError listing every layer that cannot be converted; ModelError, ShapeError where the model
 * contradicts itself.
 */
export function toOnnx(model: LayersModel, options: ToOnnxOptions = {}): ModelProto {
  refuseUnsupported(model);
  const native = nativeImageSize(model);
  let wholeMapPools: ReadonlySet<string> = new Set();
  // Which pools cover the whole map shows only at the size the model was made for.
  if (options.imageSize !== undefined && native !== null)
    wholeMapPools = convertLayers(model, null, new Set()).wholeMapPools;
  return convertLayers(model, options.imageSize ?? null, wholeMapPools).toModel(options);
}

function refuseUnsupported(model: LayersModel): void {
  const refused = new Map<string, UnsupportedOp>();
  for (const layer of model.layers) {
    if (layer.className === 'InputLayer') continue;
    const rule = rules.get(layer.className);
    const reason = rule ? rule.refuse(layer, model.source) : 'layer type is not known';
    if (reason === null) continue;
    const key = `${layer.className}\n${reason}`;
    const nodes = [...(refused.get(key)?.nodes ?? []), layer.name];
    refused.set(key, { op: layer.className, nodes, reason });
  }
  if (refused.size === 0) return;
  throw new UnsupportedOpError(
    `${model.source}: these layers cannot be converted to ONNX:`,
    [...refused.values()],
    'replace them in the Keras model, or convert the original Keras model with tf2onnx.',
  );
}

const inputSchema = z.union([
  z.object({ batch_input_shape: z.array(z.number().int().nullable()) }).transform((config) => config.batch_input_shape),
  z.object({ batch_shape: z.array(z.number().int().nullable()) }).transform((config) => config.batch_shape),
]);

/** The shape of an input in Keras order without the batch. */
function inputShape(layer: KerasLayer, model: LayersModel): readonly (number | null)[] {
  const parsed = inputSchema.safeParse(layer.config);
  const shape = parsed.data?.slice(1);
  if (shape && (shape.length === 1 || shape.length === 3)) return shape;
  throw new ModelError(
    `${model.source}: input "${layer.name}" must be an image [N,H,W,C] or a vector [N,F], ` +
      `found ${parsed.success ? `[${parsed.data.map((extent) => extent ?? 'N')}]` : 'no shape'}.`,
    { source: model.source, input: layer.name },
  );
}

function nativeImageSize(model: LayersModel): number | null {
  const images = model.layers
    .filter((layer) => layer.className === 'InputLayer')
    .map((layer) => inputShape(layer, model));
  const [height, width] = images.find((shape) => shape.length === 3) ?? [];
  return height && width ? height : null;
}

function inputValue(layer: KerasLayer, model: LayersModel, imageSize: number | null): Value {
  const shape = inputShape(layer, model);
  const [height, width, channels] = shape;
  const onnxShape = shape.length === 1 ? shape : [channels, imageSize ?? height, imageSize ?? width];
  const known = onnxShape.filter((extent): extent is number => typeof extent === 'number' && extent > 0);
  if (known.length === shape.length) return { name: layer.name, shape: known };
  throw new ModelError(
    `${model.source}: input "${layer.name}" leaves its size open: [N,${shape.map((extent) => extent ?? '?')}].\n` +
      'Hint: name the image size to convert for.',
    { source: model.source, input: layer.name },
  );
}

function convertLayers(
  model: LayersModel,
  imageSize: number | null,
  wholeMapPools: ReadonlySet<string>,
): { readonly wholeMapPools: ReadonlySet<string>; readonly toModel: (options: ToOnnxOptions) => ModelProto } {
  const draft: OnnxDraft = {
    model,
    nodes: [],
    initializers: new Map(),
    consumers: consumersOf(model),
    wholeMapPools: new Set(wholeMapPools),
  };
  const values = new Map<string, Value>();
  const computed = (name: string): Value => {
    const value = values.get(name);
    if (value) return value;
    throw new ModelError(`${model.source}: layer "${name}" is read before it is computed.`, { layer: name });
  };
  for (const layer of model.layers) {
    const rule = rules.get(layer.className);
    const value = rule ? rule.convert(layer, layer.inputs.map(computed), draft) : inputValue(layer, model, imageSize);
    values.set(layer.name, value);
  }
  const outputs = [...new Set(model.outputs)].map((name) => {
    const value = computed(name);
    // A dropped last layer (Dropout, linear Activation) still names the output.
    if (value.name !== name) addNode(draft, 'Identity', name, [value.name], name);
    return makeValueInfo(name, ['N', ...value.shape]);
  });
  const inputs = model.inputs.map((name) => makeValueInfo(name, ['N', ...computed(name).shape]));
  const toModel = (options: ToOnnxOptions): ModelProto =>
    makeModel({
      irVersion: 8n,
      opsetImport: [{ domain: '', version: 17n }],
      producerName: 'edgeshift',
      metadataProps: Object.entries(options.metadata ?? {}).map(([key, value]) => ({ key, value })),
      graph: makeGraph({
        name: options.name ?? model.name,
        node: draft.nodes,
        initializer: [...draft.initializers.values()],
        input: inputs,
        output: outputs,
      }),
    });
  return { wholeMapPools: draft.wholeMapPools, toModel };
}

function consumersOf(model: LayersModel): ReadonlyMap<string, readonly KerasLayer[]> {
  const consumers = new Map<string, KerasLayer[]>();
  for (const layer of model.layers) {
    for (const input of layer.inputs) consumers.set(input, [...(consumers.get(input) ?? []), layer]);
  }
  return consumers;
}
