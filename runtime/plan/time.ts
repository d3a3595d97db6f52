/**
 * @file Predicted time of a step: a roofline for each op. A prediction: rates of a whole chip, no overheads of calls.
 */

import { kernelOf } from '../../kernels/index.ts';
import type { NodeShapes } from '../../kernels/kernel.ts';
import { elements, type Graph, type Shape, shapeOf } from '../graph/graph.ts';
import { nodeShapes } from '../graph/node-shapes.ts';
import type { PredictedTime, Rates } from './plan.ts';
import type { Prepared } from './prepare.ts';

const floats = (shapes: readonly Shape[]): number => shapes.reduce((sum, shape) => sum + elements(shape), 0);

/** Bytes a step moves for one image at the least: every operand once. */
function traffic({ inputs, output }: NodeShapes): number {
  return 4 * (floats(inputs) + elements(output));
}

const weights = ({ parameters }: NodeShapes): number => 4 * floats(Object.values(parameters));

/** Share of onnxruntime's rate that SIMD products reach on x64 with 256-bit vectors: 0.37 on Node 20, 0.57 from 22 on, 2026-11-22. */
const SIMD_SHARE = 0.4;

function withoutOnnxruntime({ flopsPerSecond, bytesPerSecond, basis }: Rates): Rates {
  return {
    flopsPerSecond: SIMD_SHARE * flopsPerSecond,
    bytesPerSecond,
    basis: `${basis}; SIMD products at ${100 * SIMD_SHARE} % of that rate`,
  };
}

/** Seconds of a training step over `batch` images in passes of `microBatch`. */
export function predictTime(
  graph: Graph,
  { training, pinned, prefixFlops, products }: Prepared,
  batch: number,
  microBatch: number,
  rates: Rates | null,
): PredictedTime | null {
  if (!rates) return null;
  const { flopsPerSecond, bytesPerSecond, basis } = products === 'simd' ? withoutOnnxruntime(rates) : rates;
  const roof = (flops: number, bytes: number): number => Math.max(flops / flopsPerSecond, bytes / bytesPerSecond);
  const passes = Math.ceil(batch / microBatch);
  let [forward, backward] = [0, 0];
  for (const { pass, shapes, flops, dInputs, dParameters } of training.steps) {
    // A backward step reads what is kept and the gradient of its output, and writes those of its inputs.
    const factor = pass === 'backward' ? 1 + dInputs.filter((value) => value !== null).length : 1;
    const moved = batch * factor * traffic(shapes) + passes * (1 + Object.keys(dParameters).length) * weights(shapes);
    const seconds = roof(batch * flops, moved);
    if (pass === 'forward' || pass === 'compress') forward += seconds;
    else backward += seconds;
  }
  const { trainableWeights, gradients, optimizer } = pinned.bytes;
  const update = 2 * (trainableWeights + gradients + optimizer);
  const prefixTraffic = training.prefix.reduce((sum, node) => {
    // onnxruntime folds norms and activations into the convolution before them.
    if (!kernelOf(node) || node.op === 'Affine' || node.op === 'Clip' || node.op === 'Activation') return sum;
    const shapes = nodeShapes(graph, node);
    return sum + traffic(shapes) + weights(shapes);
  }, 0);
  const image = 4 * elements(shapeOf(graph, graph.input));
  const prefixSeconds = training.prefix.length === 0 ? 0 : roof(batch * prefixFlops, batch * (prefixTraffic + image));
  const backwardSeconds = backward + update / bytesPerSecond;
  return {
    prefixSeconds,
    forwardSeconds: forward,
    backwardSeconds,
    stepSeconds: prefixSeconds + forward + backwardSeconds,
    basis,
  };
}
