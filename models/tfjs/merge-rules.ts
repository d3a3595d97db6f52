/**
 * @file Layers that join several inputs.
 */
import { z } from 'zod';
import { ShapeError } from '../../runtime/errors.ts';
import { onnxAxis } from './activation-rules.ts';
import { addNode, type LayerRule, layerRule, shapeMismatch, type Value } from './layer-rule.ts';
import type { KerasLayer } from './topology.ts';

function atLeastTwo(layer: KerasLayer, inputs: readonly Value[]): readonly [Value, Value, ...Value[]] {
  const [first, second, ...rest] = inputs;
  if (first && second) return [first, second, ...rest];
  throw new ShapeError({
    op: layer.className,
    node: layer.name,
    expected: 'at least 2 inputs',
    actual: `${inputs.length}`,
  });
}

/** More than two inputs become a chain of two-input nodes, the last of which has the layer's name. */
function elementwise(opType: 'Add' | 'Mul'): LayerRule {
  return layerRule(z.object({}), (layer, _config, inputs, draft) => {
    const [first, ...rest] = atLeastTwo(layer, inputs);
    let current = first;
    for (const [index, input] of rest.entries()) {
      const name = index === rest.length - 1 ? layer.name : `${layer.name}/${index + 1}`;
      addNode(draft, opType, name, [current.name, input.name], name);
      current = { name, shape: broadcast(layer, current.shape, input.shape) };
    }
    return current;
  });
}

function broadcast(layer: KerasLayer, a: readonly number[], b: readonly number[]): readonly number[] {
  if (a.length !== b.length) throw shapeMismatch(layer, `inputs of one rank, like [N,${a.join(',')}]`, b);
  return a.map((extent, axis) => {
    const other = b[axis] ?? 1;
    if (extent !== other && extent !== 1 && other !== 1) throw shapeMismatch(layer, `an input [N,${a.join(',')}]`, b);
    return Math.max(extent, other);
  });
}

const concatenate: LayerRule = layerRule(
  z.object({ axis: z.number().int().default(-1) }),
  (layer, config, inputs, draft) => {
    const [first, ...rest] = atLeastTwo(layer, inputs);
    const axis = onnxAxis(config.axis, first.shape.length);
    const joined = [first, ...rest].reduce((sum, value) => sum + (value.shape[axis - 1] ?? 0), 0);
    for (const value of rest) {
      const agrees = first.shape.every((extent, index) => index === axis - 1 || extent === value.shape[index]);
      if (!agrees || value.shape.length !== first.shape.length) {
        throw shapeMismatch(layer, `inputs that agree with [N,${first.shape.join(',')}] off axis ${axis}`, value.shape);
      }
    }
    addNode(
      draft,
      'Concat',
      layer.name,
      inputs.map((value) => value.name),
      layer.name,
      { axis },
    );
    return { name: layer.name, shape: first.shape.map((extent, index) => (index === axis - 1 ? joined : extent)) };
  },
);

export const mergeRules: Readonly<Record<string, LayerRule>> = {
  Add: elementwise('Add'),
  Multiply: elementwise('Mul'),
  Concatenate: concatenate,
};
