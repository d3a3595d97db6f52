/**
 * @file Convolutions and the padding in front of them.
 *
 * Kernel layouts: Keras Conv2D [kh,kw,I/g,O] -> ONNX [O,I/g,kh,kw]; Keras depthwise [kh,kw,C,M] -> ONNX [C*M,1,kh,kw]
 * with group C, where output channel c*M+m is multiplier m of input channel c.
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
  mapInput,
  type OnnxDraft,
  onlyInput,
  pairSchema,
  shapeMismatch,
  type Value,
} from './layer-rule.ts';
import { slideImageWindow } from './same-padding.ts';
import type { KerasLayer } from './topology.ts';
import type { Weight } from './weights.ts';

const convSchema = z.object({
  strides: pairSchema.default([1, 1]),
  padding: z.enum(['valid', 'same']).default('valid'),
  dilation_rate: pairSchema.default([1, 1]),
  activation: activationSchema,
  use_bias: z.boolean().default(true),
  groups: z.number().int().positive().default(1),
});
type ConvConfig = z.infer<typeof convSchema>;

interface OnnxKernel {
  readonly name: string;
  readonly dims: readonly [out: number, inPerGroup: number, height: number, width: number];
  readonly data: Float32Array;
  readonly group: number;
}

/** Reorders [kh,kw,I,O] to [O,I,kh,kw]. */
function denseKernel(weight: Weight, group: number): OnnxKernel {
  const [height = 0, width = 0, inputs = 0, outputs = 0] = weight.shape;
  const data = new Float32Array(weight.data.length);
  let source = 0;
  for (let tap = 0; tap < height * width; tap++) {
    for (let i = 0; i < inputs; i++) {
      for (let o = 0; o < outputs; o++) data[(o * inputs + i) * height * width + tap] = weight.data[source++] ?? 0;
    }
  }
  return { name: weight.name, dims: [outputs, inputs, height, width], data, group };
}

/** Reorders [kh,kw,C,M] to [C*M,1,kh,kw]. */
function depthwiseKernel(weight: Weight): OnnxKernel {
  const [height = 0, width = 0, channels = 0, multiplier = 0] = weight.shape;
  const rows = channels * multiplier;
  const taps = height * width;
  const data = new Float32Array(weight.data.length);
  for (let tap = 0; tap < taps; tap++) {
    for (let row = 0; row < rows; row++) data[row * taps + tap] = weight.data[tap * rows + row] ?? 0;
  }
  return { name: weight.name, dims: [rows, 1, height, width], data, group: channels };
}

interface ConvStep {
  readonly node: string;
  readonly input: Value;
  readonly output: string;
  readonly kernel: OnnxKernel;
  readonly config: Pick<ConvConfig, 'strides' | 'padding' | 'dilation_rate' | 'use_bias'>;
}

function emitConv(layer: KerasLayer, step: ConvStep, draft: OnnxDraft): Value {
  const { map, value } = mapInput(layer, [step.input]);
  const { kernel, config } = step;
  const [outputs, inPerGroup, height, width] = kernel.dims;
  if (map[0] !== inPerGroup * kernel.group) {
    throw shapeMismatch(layer, `${inPerGroup * kernel.group} input channels (weight "${kernel.name}")`, value.shape);
  }
  const window = slideImageWindow(
    map,
    {
      kernel: [height, width],
      strides: config.strides,
      dilations: config.dilation_rate,
      padding: config.padding,
      owedPads: value.pads,
    },
    layer.className,
    layer.name,
  );
  const inputs = [value.name, addInitializer(draft, kernel.name, kernel.dims, kernel.data)];
  if (config.use_bias) {
    const bias = layerWeight(layer, 'bias', 1, draft);
    inputs.push(addInitializer(draft, bias.name, bias.shape, bias.data));
  }
  addNode(draft, 'Conv', step.node, inputs, step.output, {
    kernel_shape: [height, width],
    strides: config.strides,
    dilations: config.dilation_rate,
    pads: window.pads,
    group: kernel.group,
  });
  return { name: step.output, shape: [outputs, window.height, window.width] };
}

/** Emits the convolution and its fused activation under the layer's own name. */
function emitLayerConv(
  layer: KerasLayer,
  config: ConvConfig,
  input: Value,
  kernel: OnnxKernel,
  draft: OnnxDraft,
): Value {
  let shape: readonly number[] = [];
  emitWithActivation(draft, layer, config.activation, (output) => {
    shape = emitConv(layer, { node: layer.name, input, output, kernel, config }, draft).shape;
  });
  return { name: layer.name, shape };
}

const conv2D: LayerRule = layerRule(
  convSchema,
  (layer, config, inputs, draft) => {
    const kernel = denseKernel(layerWeight(layer, 'kernel', 4, draft), config.groups);
    return emitLayerConv(layer, config, onlyInput(layer, inputs), kernel, draft);
  },
  (config) => refuseActivation(config.activation),
);

const depthwiseConv2D: LayerRule = layerRule(
  convSchema,
  (layer, config, inputs, draft) => {
    const kernel = depthwiseKernel(layerWeight(layer, 'depthwise_kernel', 4, draft));
    return emitLayerConv(layer, config, onlyInput(layer, inputs), kernel, draft);
  },
  (config) => refuseActivation(config.activation),
);

const separableConv2D: LayerRule = layerRule(
  convSchema,
  (layer, config, inputs, draft) => {
    const depthwise = emitConv(
      layer,
      {
        node: `${layer.name}/depthwise`,
        input: onlyInput(layer, inputs),
        output: `${layer.name}/depthwise`,
        kernel: depthwiseKernel(layerWeight(layer, 'depthwise_kernel', 4, draft)),
        config: { ...config, use_bias: false },
      },
      draft,
    );
    const pointwise = denseKernel(layerWeight(layer, 'pointwise_kernel', 4, draft), 1);
    const pointwiseConfig: ConvConfig = { ...config, strides: [1, 1], dilation_rate: [1, 1], padding: 'valid' };
    return emitLayerConv(layer, pointwiseConfig, depthwise, pointwise, draft);
  },
  (config) => refuseActivation(config.activation),
);

const paddingSchema = z.object({
  padding: z
    .union([z.number().int(), z.tuple([pairSchema, pairSchema])])
    .default(1)
    .transform((value) =>
      typeof value === 'number' ? [value, value, value, value] : [value[0][0], value[1][0], value[0][1], value[1][1]],
    ),
});

const convClasses = new Set(['Conv2D', 'DepthwiseConv2D', 'SeparableConv2D']);

/** True where the padding can be left to the one convolution that reads it. */
function folds(layer: KerasLayer, draft: OnnxDraft): boolean {
  const consumers = draft.consumers.get(layer.name) ?? [];
  const [consumer] = consumers;
  if (!consumer || consumers.length !== 1 || draft.model.outputs.includes(layer.name)) return false;
  return convClasses.has(consumer.className) && (consumer.config.padding ?? 'valid') === 'valid';
}

const zeroPadding2D: LayerRule = layerRule(paddingSchema, (layer, config, inputs, draft) => {
  const { map, value } = mapInput(layer, inputs);
  const [top = 0, left = 0, bottom = 0, right = 0] = config.padding;
  const owed = value.pads ?? [0, 0, 0, 0];
  if (folds(layer, draft)) {
    return { ...value, pads: config.padding.map((pad, index) => pad + (owed[index] ?? 0)) };
  }
  const pads = addIntegers(draft, `${layer.name}/pads`, [0, 0, top, left, 0, 0, bottom, right]);
  addNode(draft, 'Pad', layer.name, [value.name, pads], layer.name, { mode: 'constant' });
  return { name: layer.name, shape: [map[0], map[1] + top + bottom, map[2] + left + right] };
});

export const convolutionRules: Readonly<Record<string, LayerRule>> = {
  Conv2D: conv2D,
  DepthwiseConv2D: depthwiseConv2D,
  SeparableConv2D: separableConv2D,
  ZeroPadding2D: zeroPadding2D,
};
