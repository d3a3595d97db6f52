/** @file Ops that move channels, and products. */
import type { ChannelShuffleAttributes } from '../../../kernels/channel-shuffle.ts';
import type { ChannelSliceAttributes } from '../../../kernels/channel-slice.ts';
import { channelStarts } from '../../../kernels/concat.ts';
import { isGate } from '../../../kernels/mul.ts';
import { elements } from '../../graph/graph.ts';
import type { CpuOp, Operands } from './operands.ts';

export const concat: CpuOp = {
  forward(o, { simd }) {
    for (const { index, rows, bytes, total, start } of parts(o)) {
      simd.copyColumns(o.input(index), bytes, o.output + start, total, rows, bytes);
    }
  },
  backward(o, { simd }) {
    for (const { index, rows, bytes, total, start } of parts(o)) {
      if (o.dInput(index)) simd.copyColumns(o.dOutput + start, total, o.dInput(index), bytes, rows, bytes);
    }
  },
};

export const channelSlice: CpuOp = {
  forward(o, { simd }) {
    const { rows, bytes, total, start } = slice(o);
    simd.copyColumns(o.input(0) + start, total, o.output, bytes, rows, bytes);
  },
  backward(o, { simd }) {
    if (!o.dInput(0)) return;
    const { rows, bytes, total, start } = slice(o);
    simd.fill(o.dInput(0), rows * total);
    simd.copyColumns(o.dOutput, bytes, o.dInput(0) + start, total, rows, bytes);
  },
};

export const channelShuffle: CpuOp = {
  forward(o, { simd }) {
    const { rows, channels } = rowsOf(o);
    const { groups } = o.step.attributes as ChannelShuffleAttributes;
    simd.shuffleChannels(o.input(0), o.output, rows, channels, groups);
  },
  backward(o, { simd }) {
    const { rows, channels } = rowsOf(o);
    const { groups } = o.step.attributes as ChannelShuffleAttributes;
    if (o.dInput(0)) simd.shuffleChannels(o.dOutput, o.dInput(0), rows, channels, channels / groups);
  },
};

export const mul: CpuOp = {
  forward(o, { simd }) {
    const { rows, channels } = rowsOf(o);
    if (!isGate(o.step.shapes)) simd.multiply(o.input(0), o.input(1), o.output, rows * channels);
    else simd.multiplyGate(o.input(0), o.input(1), o.output, o.batch, rows / o.batch, channels);
  },
  backward(o, { simd }) {
    const { rows, channels } = rowsOf(o);
    const [a, b, da, db] = [o.input(0), o.input(1), o.dInput(0), o.dInput(1)];
    const pixels = rows / o.batch;
    // db first: da may overwrite dy.
    if (!isGate(o.step.shapes)) {
      if (db) simd.multiply(o.dOutput, a, db, rows * channels);
      if (da) simd.multiply(o.dOutput, b, da, rows * channels);
    } else {
      if (db) simd.gateGradient(o.dOutput, a, db, o.batch, pixels, channels);
      if (da) simd.multiplyGate(o.dOutput, b, da, o.batch, pixels, channels);
    }
  },
};

function rowsOf({ step: { shapes }, batch }: Operands): { rows: number; channels: number } {
  const channels = shapes.output.at(-1) ?? 1;
  return { rows: (batch * elements(shapes.output)) / channels, channels };
}

/** Each input's bytes of a row, and where they begin in the `total` bytes of the output's. */
function parts(o: Operands) {
  const { rows, channels } = rowsOf(o);
  const { inputs } = o.step.shapes;
  const starts = channelStarts(inputs);
  return inputs.map((x, index) => ({
    index,
    rows,
    bytes: 4 * (x.at(-1) ?? 1),
    total: 4 * channels,
    start: 4 * (starts[index] ?? 0),
  }));
}

/** The output's bytes of a row, and where they begin in the `total` bytes of the input's. */
function slice(o: Operands) {
  const { rows, channels } = rowsOf(o);
  const { from } = o.step.attributes as ChannelSliceAttributes;
  return { rows, bytes: 4 * channels, total: 4 * (o.step.shapes.inputs[0]?.at(-1) ?? 1), start: 4 * from };
}
