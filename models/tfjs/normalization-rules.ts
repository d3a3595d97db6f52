/**
 * @file Batch normalization, kept as a node of its own so that its parameters can be trained and adapted.
 */
import { z } from 'zod';
import { ModelError } from '../../runtime/errors.ts';
import { onnxAxis } from './activation-rules.ts';
import {
  addInitializer,
  addNode,
  type LayerRule,
  layerRule,
  layerWeight,
  onlyInput,
  unsupported,
} from './layer-rule.ts';

const normSchema = z.object({
  axis: z
    .union([z.number().int(), z.tuple([z.number().int()])])
    .default(-1)
    .transform((axis) => (typeof axis === 'number' ? axis : axis[0])),
  epsilon: z.number().default(1e-3),
  momentum: z.number().default(0.99),
  center: z.boolean().default(true),
  scale: z.boolean().default(true),
});

const batchNormalization: LayerRule = layerRule(normSchema, (layer, config, inputs, draft) => {
  const input = onlyInput(layer, inputs);
  const channels = input.shape[0] ?? 0;
  if (onnxAxis(config.axis, input.shape.length) !== 1) {
    throw unsupported(layer, draft, `axis ${config.axis} is not the channel axis`);
  }
  const parameter = (role: string, stored: boolean, fallback: number): string => {
    if (!stored) {
      return addInitializer(draft, `${layer.name}/${role}`, [channels], new Float32Array(channels).fill(fallback));
    }
    const weight = layerWeight(layer, role, 1, draft);
    if (weight.data.length !== channels) {
      throw new ModelError(
        `${draft.model.source}: weight "${weight.name}" must hold ${channels} values, found ${weight.data.length}.`,
        { layer: layer.name, weight: weight.name },
      );
    }
    return addInitializer(draft, weight.name, weight.shape, weight.data);
  };
  const parameters = [
    parameter('gamma', config.scale, 1),
    parameter('beta', config.center, 0),
    parameter('moving_mean', true, 0),
    parameter('moving_variance', true, 1),
  ];
  addNode(draft, 'BatchNormalization', layer.name, [input.name, ...parameters], layer.name, {
    epsilon: { float: config.epsilon },
    momentum: { float: config.momentum },
  });
  return { name: layer.name, shape: input.shape };
});

export const normalizationRules: Readonly<Record<string, LayerRule>> = { BatchNormalization: batchNormalization };
