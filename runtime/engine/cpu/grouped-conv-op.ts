/** @file Grouped convolutions, without patches. */
import type { GroupedConvAttributes } from '../../../kernels/grouped-conv.ts';
import { geometryArguments } from './geometry-arguments.ts';
import type { CpuOp, Operands } from './operands.ts';

export const groupedConv: CpuOp = {
  forward(o, { simd }) {
    const rest = [...geometryArguments(o), ...groups(o), o.workspace] as const;
    simd.groupedForward(o.input(0), o.parameter('weight'), o.output, ...rest);
  },
  backward(o, { simd }) {
    const rest = [...geometryArguments(o), ...groups(o)] as const;
    const dw = o.dParameter('weight');
    if (dw) simd.groupedWeightGradient(o.input(0), o.dOutput, dw, ...rest);
    if (o.dInput(0)) simd.groupedInputGradient(o.dOutput, o.parameter('weight'), o.dInput(0), ...rest, o.workspace);
  },
};

function groups({ step: { attributes, shapes } }: Operands): [outChannels: number, groups: number] {
  return [shapes.output[2] ?? 1, (attributes as GroupedConvAttributes).group];
}
