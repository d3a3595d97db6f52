/**
 * @file Activations: as layers of their own and fused into convolutions and dense layers.
 */
import { z } from 'zod';
import {
  addInitializer,
  addNode,
  type LayerRule,
  layerRule,
  type OnnxDraft,
  onlyInput,
  type Value,
} from './layer-rule.ts';
import type { KerasLayer } from './topology.ts';

/** A layer's `activation` setting; Keras writes a name, or leaves it out for linear. */
export const activationSchema = z.union([z.string(), z.record(z.string(), z.unknown())]).nullish();
export type ActivationSetting = z.infer<typeof activationSchema>;

const activationOps: Readonly<Record<string, string>> = {
  relu: 'Relu',
  relu6: 'Clip',
  sigmoid: 'Sigmoid',
  softmax: 'Softmax',
  tanh: 'Tanh',
};

/** Why a fused or separate activation cannot be converted, or null. */
export function refuseActivation(setting: ActivationSetting): string | null {
  const name = setting ?? 'linear';
  if (name === 'linear' || (typeof name === 'string' && name in activationOps)) return null;
  return `activation ${JSON.stringify(name)}`;
}

function emit(draft: OnnxDraft, activation: string, node: string, input: string, output: string): void {
  if (activation === 'relu6') {
    emitClip(draft, 6, node, input, output);
    return;
  }
  const attributes: Record<string, number> = activation === 'softmax' ? { axis: 1 } : {};
  addNode(draft, activationOps[activation] ?? activation, node, [input], output, attributes);
}

function emitClip(draft: OnnxDraft, max: number, node: string, input: string, output: string): void {
  const low = addInitializer(draft, 'clip/min_0', [], Float32Array.of(0));
  const high = addInitializer(draft, `clip/max_${max}`, [], Float32Array.of(max));
  addNode(draft, 'Clip', node, [input, low, high], output);
}

/**
 * Emits a layer's main node and, behind it, its fused activation.
 *
 * The layer's value keeps the layer's name; the value in between is `<layer>/linear`, the activation's node
 * `<layer>/<activation>`.
 */
export function emitWithActivation(
  draft: OnnxDraft,
  layer: KerasLayer,
  setting: ActivationSetting,
  emitMain: (output: string) => void,
): void {
  if (typeof setting !== 'string' || setting === 'linear') {
    emitMain(layer.name);
    return;
  }
  emitMain(`${layer.name}/linear`);
  emit(draft, setting, `${layer.name}/${setting}`, `${layer.name}/linear`, layer.name);
}

/** The same value after an elementwise node: what is still owed to it stays owed. */
function renamed(layer: KerasLayer, input: Value): Value {
  return { ...input, name: layer.name };
}

const activation: LayerRule = layerRule(
  z.object({ activation: activationSchema }),
  (layer, config, inputs, draft) => {
    const input = onlyInput(layer, inputs);
    if (typeof config.activation !== 'string' || config.activation === 'linear') return input;
    emit(draft, config.activation, layer.name, input.name, layer.name);
    return renamed(layer, input);
  },
  (config) => refuseActivation(config.activation),
);

const reluSchema = z.object({
  max_value: z.number().nullish(),
  negative_slope: z.number().nullish(),
  threshold: z.number().nullish(),
});

const relu: LayerRule = layerRule(
  reluSchema,
  (layer, config, inputs, draft) => {
    const input = onlyInput(layer, inputs);
    const slope = config.negative_slope ?? 0;
    if (slope !== 0) addNode(draft, 'LeakyRelu', layer.name, [input.name], layer.name, { alpha: { float: slope } });
    else if (config.max_value == null) addNode(draft, 'Relu', layer.name, [input.name], layer.name);
    else emitClip(draft, config.max_value, layer.name, input.name, layer.name);
    return renamed(layer, input);
  },
  (config) => {
    if (config.threshold) return `threshold ${config.threshold}`;
    if (config.negative_slope && config.max_value != null) return 'negative_slope together with max_value';
    return null;
  },
);

const leakyRelu: LayerRule = layerRule(
  z.object({ alpha: z.number().optional(), negative_slope: z.number().optional() }),
  (layer, config, inputs, draft) => {
    const input = onlyInput(layer, inputs);
    const alpha = config.alpha ?? config.negative_slope ?? 0.3;
    addNode(draft, 'LeakyRelu', layer.name, [input.name], layer.name, { alpha: { float: alpha } });
    return renamed(layer, input);
  },
);

const softmax: LayerRule = layerRule(
  z.object({ axis: z.number().int().optional() }),
  (layer, config, inputs, draft) => {
    const input = onlyInput(layer, inputs);
    addNode(draft, 'Softmax', layer.name, [input.name], layer.name, {
      axis: onnxAxis(config.axis ?? -1, input.shape.length),
    });
    return renamed(layer, input);
  },
);

/** A Keras axis (batch included, channels last) as an axis of the ONNX value; `rank` leaves out the batch. */
export function onnxAxis(axis: number, rank: number): number {
  const positive = axis < 0 ? axis + rank + 1 : axis;
  if (positive === 0 || rank === 1) return positive;
  return positive === rank ? 1 : positive + 1;
}

/** Does nothing outside training. */
const dropout: LayerRule = layerRule(z.object({}), (layer, _config, inputs) => onlyInput(layer, inputs));

export const activationRules: Readonly<Record<string, LayerRule>> = {
  Activation: activation,
  ReLU: relu,
  LeakyReLU: leakyRelu,
  Softmax: softmax,
  Dropout: dropout,
  SpatialDropout2D: dropout,
};
