/** @file Ops that pass over memory once: norms, activations, additions, pooling, the loss. */
import type { ActivationAttributes } from '../../../kernels/activation.ts';
import { type AffineAttributes, affineConstants, inverseStd } from '../../../kernels/affine.ts';
import { crossEntropy, type SoftmaxCrossEntropyAttributes } from '../../../kernels/softmax-cross-entropy.ts';
import { elements } from '../../graph/graph.ts';
import type { Arena } from './arena.ts';
import type { CpuOp, Operands } from './operands.ts';

export const affine: CpuOp = {
  forward(o, { simd, arena }) {
    const { rows, channels } = rowsOf(o);
    const [factor, offset] = constants(o, arena, channels);
    const { low, high, sign } = limits(o);
    const mask = o.saved('mask');
    simd.affineForward(o.input(0), o.output, rows, channels, factor, offset, low, high, mask, sign, 0, channels);
  },
  backward(o, { simd, arena }) {
    const { rows, channels } = rowsOf(o);
    const mask = o.saved('mask');
    const scale = o.dParameter('scale');
    if (scale) {
      // Before dx, which may overwrite dy. The workspace holds the inverse deviations, then the factors.
      const { epsilon } = o.step.attributes as AffineAttributes;
      const variance = o.parameter('variance') ? arena.floats(o.parameter('variance'), channels) : undefined;
      const inverse = arena.floats(o.workspace, channels);
      for (let c = 0; c < channels; c++) inverse[c] = inverseStd(variance, epsilon, c);
      const mean = o.parameter('mean') || zeros(o, arena, channels);
      simd.affineScaleGradient(o.dOutput, o.input(0), rows, channels, mask, mean, o.workspace, scale, 0, channels);
    }
    const [factor] = constants(o, arena, channels);
    const shift = o.dParameter('shift');
    simd.affineBackward(o.dOutput, o.dInput(0), rows, channels, factor, mask, shift, 0, channels);
  },
};

export const clip: CpuOp = {
  forward(o, { simd }) {
    const { rows, channels } = rowsOf(o);
    const { low, high, sign } = limits(o);
    simd.clipForward(o.input(0), o.output, rows, channels, low, high, o.saved('mask'), sign, 0, channels);
  },
  backward(o, { simd }) {
    const { rows, channels } = rowsOf(o);
    simd.affineBackward(o.dOutput, o.dInput(0), rows, channels, 0, o.saved('mask'), 0, 0, channels);
  },
};

export const add: CpuOp = {
  forward(o, { simd }) {
    simd.add(o.input(0), o.input(1), o.output, o.batch * elements(o.step.shapes.output));
  },
  backward() {},
};

export const globalAveragePool: CpuOp = {
  forward(o, { simd }) {
    const [pixels, channels] = pixelsOf(o);
    simd.globalAveragePoolForward(o.input(0), o.output, o.batch, pixels, channels);
  },
  backward(o, { simd }) {
    const [pixels, channels] = pixelsOf(o);
    simd.globalAveragePoolBackward(o.dOutput, o.dInput(0), o.batch, pixels, channels);
  },
};

export const flatten: CpuOp = {
  forward(o, { simd }) {
    const [pixels, channels] = pixelsOf(o);
    simd.channelsFirst(o.input(0), o.output, o.batch, pixels, channels);
  },
  backward(o, { simd }) {
    const [pixels, channels] = pixelsOf(o);
    simd.channelsLast(o.dOutput, o.dInput(0), o.batch, pixels, channels);
  },
};

/** A few hundred numbers: plain loops in float64 on the arena's views. */
export const softmaxCrossEntropy: CpuOp = {
  forward(o, { arena }) {
    const classes = elements(o.step.shapes.inputs[0] ?? []);
    const { labelSmoothing } = o.step.attributes as SoftmaxCrossEntropyAttributes;
    const logits = arena.floats(o.input(0), o.batch * classes);
    const labels = arena.floats(o.input(1), o.batch);
    const losses = arena.floats(o.output, o.batch);
    const probabilities = o.saved('probabilities')
      ? arena.floats(o.saved('probabilities'), o.batch * classes)
      : new Float32Array(o.batch * classes);
    for (let n = 0; n < o.batch; n++) {
      losses[n] = crossEntropy(logits, n * classes, classes, labels[n] ?? 0, labelSmoothing, probabilities);
    }
  },
  backward(o, { arena }) {
    const classes = elements(o.step.shapes.inputs[0] ?? []);
    const { labelSmoothing } = o.step.attributes as SoftmaxCrossEntropyAttributes;
    const probabilities = arena.floats(o.saved('probabilities'), o.batch * classes);
    const labels = arena.floats(o.input(1), o.batch);
    const dLoss = arena.floats(o.dOutput, o.batch);
    const dx = arena.floats(o.dInput(0), o.batch * classes);
    for (let i = 0; i < dx.length; i++) {
      const n = Math.floor(i / classes);
      const hit = labels[n] === i % classes ? 1 - labelSmoothing : 0;
      dx[i] = (dLoss[n] ?? 0) * ((probabilities[i] ?? 0) - hit - labelSmoothing / classes);
    }
  },
};

function rowsOf({ step: { shapes }, batch }: Operands): { rows: number; channels: number } {
  const channels = shapes.output.at(-1) ?? 1;
  return { rows: (batch * elements(shapes.output)) / channels, channels };
}

function pixelsOf({ step: { shapes } }: Operands): [pixels: number, channels: number] {
  const input = shapes.inputs[0] ?? [];
  const channels = input.at(-1) ?? 1;
  return [elements(input) / channels, channels];
}

function limits({ step }: Operands): { low: number; high: number; sign: number } {
  const { low, high, derivative } = step.attributes as ActivationAttributes;
  return {
    low: low ?? Number.NEGATIVE_INFINITY,
    high: high ?? Number.POSITIVE_INFINITY,
    sign: derivative === 'sign' ? 1 : 0,
  };
}

/** Computes factor and offset into the workspace; they follow from parameters that may just have been updated. */
function constants(o: Operands, arena: Arena, channels: number): [factor: number, offset: number] {
  const read = (role: string): Float32Array | undefined =>
    o.parameter(role) ? arena.floats(o.parameter(role), channels) : undefined;
  const [scale, shift, mean, variance] = ['scale', 'shift', 'mean', 'variance'].map(read);
  const { epsilon } = o.step.attributes as AffineAttributes;
  const factor = arena.floats(o.workspace, channels);
  const offset = arena.floats(o.workspace + 4 * channels, channels);
  affineConstants(channels, epsilon, { scale, shift, mean, variance }, factor, offset);
  return [o.workspace, o.workspace + 4 * channels];
}

function zeros(o: Operands, arena: Arena, channels: number): number {
  arena.floats(o.workspace + 4 * channels, channels).fill(0);
  return o.workspace + 4 * channels;
}
