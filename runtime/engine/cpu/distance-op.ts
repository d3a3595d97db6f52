/** @file The mean absolute difference of two maps. */
import { elements } from '../../graph/graph.ts';
import type { CpuOp, Operands } from './operands.ts';

export const distance: CpuOp = {
  forward(o, { simd }) {
    simd.distanceForward(o.input(0), o.input(1), o.output, o.batch, count(o), o.saved('sign'));
  },
  backward(o, { simd }) {
    simd.distanceBackward(o.dOutput, o.saved('sign'), o.dInput(0), o.batch, count(o));
  },
};

const count = ({ step: { shapes } }: Operands): number => elements(shapes.inputs[0] ?? []);
