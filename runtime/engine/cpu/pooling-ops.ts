/** @file Pools with a window. */
import type { AveragePoolAttributes } from '../../../kernels/average-pool.ts';
import { geometryArguments } from './geometry-arguments.ts';
import type { CpuOp, Operands } from './operands.ts';

export const maxPool: CpuOp = {
  forward(o, { simd }) {
    simd.maxPoolForward(o.input(0), o.output, o.saved('index'), ...geometryArguments(o));
  },
  backward(o, { simd }) {
    if (o.dInput(0)) simd.maxPoolBackward(o.dOutput, o.saved('index'), o.dInput(0), ...geometryArguments(o));
  },
};

export const averagePool: CpuOp = {
  forward(o, { simd }) {
    simd.averagePoolForward(o.input(0), o.output, ...geometryArguments(o), ...countedPads(o));
  },
  backward(o, { simd }) {
    if (o.dInput(0)) simd.averagePoolBackward(o.dOutput, o.dInput(0), ...geometryArguments(o), ...countedPads(o));
  },
};

function countedPads(o: Operands): [top: number, left: number, bottom: number, right: number] {
  const { countPads, pads } = o.step.attributes as AveragePoolAttributes;
  const [top = 0, left = 0, bottom = 0, right = 0] = countPads ? pads : [];
  return [top, left, bottom, right];
}
