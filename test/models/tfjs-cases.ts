/**
 * @file The macro of the converter's tests, and shorthands to build small Keras models.
 */
import * as tf from '@tensorflow/tfjs';
import test from 'ava';
import type { NodeProto } from '../../models/onnx/proto.ts';
import { layersModelFromParts } from '../../models/tfjs/layers-model.ts';
import { toOnnx } from '../../models/tfjs/to-onnx.ts';
import {
  maxDifference,
  randomInput,
  randomizeWeights,
  runOnnx,
  runTfjs,
  saveModel,
  toModelJson,
} from './tfjs-oracle.ts';

/** Absolute, on outputs of order 1: both sides compute in float32 but sum in another order. */
export const tolerance = 1e-4;

export async function convert(model: tf.LayersModel, seed: number) {
  randomizeWeights(model, seed);
  const saved = await saveModel(model);
  return toOnnx(layersModelFromParts(toModelJson(saved), saved.weightBytes));
}

export function nodesOf(model: ReturnType<typeof toOnnx>): readonly NodeProto[] {
  return model.graph?.node ?? [];
}

/** Same outputs from the Keras model in tfjs and its ONNX in onnxruntime, on a batch of two. */
export const sameOutputs = test.macro(
  async (t, build: () => tf.LayersModel, opTypes: readonly string[] | null = null) => {
    const seed = 7;
    const model = build();
    const onnx = await convert(model, seed);
    const [, ...sides] = model.inputs[0]?.shape ?? [];
    const input = randomInput([2, ...sides.map((extent) => extent ?? 1)], seed + 1);
    const expected = await runTfjs(model, input);
    const actual = await runOnnx(onnx, input);
    t.deepEqual(actual.shape, expected.shape);
    const difference = maxDifference(expected.data, actual.data);
    t.true(difference <= tolerance, `seed ${seed}: differs by ${difference}, allowed ${tolerance}`);
    t.true(
      expected.data.some((value) => Math.abs(value) > 1e-3),
      'the model must not be constant zero',
    );
    if (opTypes)
      t.deepEqual(
        nodesOf(onnx).map((node) => node.opType),
        opTypes,
      );
  },
);

export const sequential = (layers: readonly tf.layers.Layer[]) => () => tf.sequential({ layers: [...layers] });
export const image = (height: number, width: number, channels = 3) => ({ inputShape: [height, width, channels] });

export function layer(of: tf.layers.Layer, input: tf.SymbolicTensor): tf.SymbolicTensor {
  return single(of.apply(input));
}

export function merge(of: tf.layers.Layer, inputs: tf.SymbolicTensor[]): tf.SymbolicTensor {
  return single(of.apply(inputs));
}

function single(value: ReturnType<tf.layers.Layer['apply']>): tf.SymbolicTensor {
  if (value instanceof tf.SymbolicTensor) return value;
  throw new Error('expected one symbolic tensor');
}
