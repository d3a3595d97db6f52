/**
 * @file Pooling, windowed and global.
 */
import { z } from 'zod';
import { addNode, type LayerRule, layerRule, mapInput, pairSchema, type Value } from './layer-rule.ts';
import { slideImageWindow } from './same-padding.ts';

const poolSchema = z.object({
  pool_size: pairSchema.default([2, 2]),
  strides: pairSchema.nullish(),
  padding: z.enum(['valid', 'same']).default('valid'),
});

function windowPool(opType: 'AveragePool' | 'MaxPool'): LayerRule {
  return layerRule(poolSchema, (layer, config, inputs, draft) => {
    const { map, value } = mapInput(layer, inputs);
    if (opType === 'AveragePool' && draft.wholeMapPools.has(layer.name)) return emitGlobal();
    const strides = config.strides ?? config.pool_size;
    const kernel = config.pool_size;
    const window = slideImageWindow(map, { kernel, strides, padding: config.padding }, layer.className, layer.name);
    const covers = kernel[0] >= map[1] && kernel[1] >= map[2] && window.height === 1 && window.width === 1;
    if (opType === 'AveragePool' && covers) return emitGlobal();
    addNode(draft, opType, layer.name, [value.name], layer.name, { kernel_shape: kernel, strides, pads: window.pads });
    return { name: layer.name, shape: [map[0], window.height, window.width] };

    // An average over the whole map stays one at every image size only if it is written as a global pool.
    function emitGlobal(): Value {
      draft.wholeMapPools.add(layer.name);
      addNode(draft, 'GlobalAveragePool', layer.name, [value.name], layer.name);
      return { name: layer.name, shape: [map[0], 1, 1] };
    }
  });
}

function globalPool(opType: 'GlobalAveragePool' | 'GlobalMaxPool'): LayerRule {
  return layerRule(z.object({ keepdims: z.boolean().default(false) }), (layer, config, inputs, draft) => {
    const { map, value } = mapInput(layer, inputs);
    const [channels] = map;
    if (config.keepdims) {
      addNode(draft, opType, layer.name, [value.name], layer.name);
      return { name: layer.name, shape: [channels, 1, 1] };
    }
    const pooled = addNode(draft, opType, layer.name, [value.name], `${layer.name}/pooled`);
    addNode(draft, 'Flatten', `${layer.name}/flatten`, [pooled], layer.name, { axis: 1 });
    return { name: layer.name, shape: [channels] };
  });
}

export const poolingRules: Readonly<Record<string, LayerRule>> = {
  AveragePooling2D: windowPool('AveragePool'),
  MaxPooling2D: windowPool('MaxPool'),
  GlobalAveragePooling2D: globalPool('GlobalAveragePool'),
  GlobalMaxPooling2D: globalPool('GlobalMaxPool'),
};
