/**
 * @file Flatten, Reshape and Dense.
 *
 * Keras flattens a map in H,W,C order, ONNX in C,H,W order. Where only Dense layers read the flattened map, the rows of
 * their kernels are permuted instead of the data; everywhere else a Transpose stands in front.
 */
import { z } from 'zod';
import { activationSchema, emitWithActivation, refuseActivation } from './activation-rules.ts';
import {
  addInitializer,
  addIntegers,
  addNode,
  type LayerRule,
  layerRule,
  layerWeight,
  type OnnxDraft,
  onlyInput,
  shapeMismatch,
  unsupported,
  type Value,
} from './layer-rule.ts';
import type { KerasLayer } from './topology.ts';

/** Layers that treat every feature alike, so the order does not matter to them. */
const transparentClasses = new Set(['Dropout', 'Activation', 'ReLU', 'LeakyReLU']);

/** True where every reader of the flattened value is a Dense layer, perhaps behind elementwise layers. */
function onlyDenseReads(name: string, draft: OnnxDraft): boolean {
  const consumers = draft.consumers.get(name) ?? [];
  if (consumers.length === 0 || draft.model.outputs.includes(name)) return false;
  return consumers.every((consumer) => {
    // A shared Dense may also read something that was not flattened here.
    if (consumer.className === 'Dense') return !consumer.shared;
    return transparentClasses.has(consumer.className) && onlyDenseReads(consumer.name, draft);
  });
}

const flatten: LayerRule = layerRule(z.object({}), (layer, _config, inputs, draft) => {
  const input = onlyInput(layer, inputs);
  if (input.shape.length === 1) return input;
  const [channels = 0, height = 0, width = 0] = input.shape;
  const shape = [channels * height * width];
  if (height * width === 1 || channels === 1) {
    addNode(draft, 'Flatten', layer.name, [input.name], layer.name, { axis: 1 });
    return { name: layer.name, shape };
  }
  if (onlyDenseReads(layer.name, draft)) {
    addNode(draft, 'Flatten', layer.name, [input.name], layer.name, { axis: 1 });
    return { name: layer.name, shape, flattened: input.shape };
  }
  addNode(draft, 'Flatten', layer.name, [toChannelsLast(layer, input, draft)], layer.name, { axis: 1 });
  return { name: layer.name, shape };
});

function toChannelsLast(layer: KerasLayer, input: Value, draft: OnnxDraft): string {
  const name = `${layer.name}/channels_last`;
  return addNode(draft, 'Transpose', name, [input.name], name, { perm: [0, 2, 3, 1] });
}

const reshape: LayerRule = layerRule(
  // tfjs writes null for the -1 that stands for "the rest".
  z.object({
    target_shape: z.array(
      z
        .number()
        .int()
        .nullable()
        .transform((extent) => extent ?? -1),
    ),
  }),
  (layer, config, inputs, draft) => {
    const input = onlyInput(layer, inputs);
    const target = resolveTarget(layer, config.target_shape, input.shape);
    const toOnnxOrder = (shape: readonly number[]): readonly number[] => {
      const [height = 1, width = 1, channels = 1] = shape;
      return shape.length === 3 ? [channels, height, width] : shape;
    };
    const output = toOnnxOrder(target);
    const [, height = 1, width = 1] = input.shape;
    const source = height * width === 1 ? input.name : toChannelsLast(layer, input, draft);
    const isMap = target.length === 3 && (target[0] !== 1 || target[1] !== 1);
    const reshaped = isMap ? `${layer.name}/channels_last_map` : layer.name;
    // 0 keeps the batch, which is symbolic.
    const shape = addIntegers(draft, `${layer.name}/shape`, [0, ...(isMap ? target : output)]);
    addNode(draft, 'Reshape', reshaped, [source, shape], reshaped);
    if (isMap) addNode(draft, 'Transpose', layer.name, [reshaped], layer.name, { perm: [0, 3, 1, 2] });
    return { name: layer.name, shape: output };
  },
  (config) =>
    config.target_shape.length === 1 || config.target_shape.length === 3
      ? null
      : `target_shape [${config.target_shape}] is neither a vector nor an image map`,
);

function resolveTarget(layer: KerasLayer, target: readonly number[], input: readonly number[]): readonly number[] {
  const elements = input.reduce((product, extent) => product * extent, 1);
  const known = target.reduce((product, extent) => (extent < 0 ? product : product * extent), 1);
  const resolved = target.map((extent) => (extent < 0 ? elements / known : extent));
  if (resolved.reduce((product, extent) => product * extent, 1) !== elements || !resolved.every(Number.isInteger)) {
    throw shapeMismatch(layer, `${known} elements for target_shape [${target}]`, input);
  }
  return resolved;
}

const denseSchema = z.object({ activation: activationSchema, use_bias: z.boolean().default(true) });

const dense: LayerRule = layerRule(
  denseSchema,
  (layer, config, inputs, draft) => {
    const input = onlyInput(layer, inputs);
    if (input.shape.length !== 1) throw unsupported(layer, draft, `input is a map [N,${input.shape}], not a vector`);
    const kernel = layerWeight(layer, 'kernel', 2, draft);
    const [rows = 0, units = 0] = kernel.shape;
    if (input.shape[0] !== rows) throw shapeMismatch(layer, `${rows} features (weight "${kernel.name}")`, input.shape);
    const data = transposeRows(kernel.data, rows, units, input.flattened);
    const operands = [input.name, addInitializer(draft, kernel.name, [units, rows], data)];
    if (config.use_bias) {
      const bias = layerWeight(layer, 'bias', 1, draft);
      operands.push(addInitializer(draft, bias.name, bias.shape, bias.data));
    }
    emitWithActivation(draft, layer, config.activation, (output) => {
      addNode(draft, 'Gemm', layer.name, operands, output, { transB: 1 });
    });
    return { name: layer.name, shape: [units] };
  },
  (config) => refuseActivation(config.activation),
);

/** [in,out] to [out,in]; where the input is a flattened map, its H,W,C rows also move to C,H,W. */
function transposeRows(
  data: Float32Array,
  rows: number,
  units: number,
  flattened: readonly number[] | undefined,
): Float32Array {
  const [channels = rows, height = 1, width = 1] = flattened ?? [];
  const pixels = height * width;
  const result = new Float32Array(data.length);
  for (let row = 0; row < rows; row++) {
    const to = (row % channels) * pixels + Math.floor(row / channels);
    for (let unit = 0; unit < units; unit++) result[unit * rows + to] = data[row * units + unit] ?? 0;
  }
  return result;
}

export const denseRules: Readonly<Record<string, LayerRule>> = { Flatten: flatten, Reshape: reshape, Dense: dense };
