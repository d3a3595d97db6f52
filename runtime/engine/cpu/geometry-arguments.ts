/** @file What window ops hand to the SIMD kernels. */
import type { GeometryArguments } from '../../../kernels/simd/structure-kernels.ts';
import { geometry, type WindowAttributes } from '../../../kernels/window.ts';
import type { Operands } from './operands.ts';

export function geometryArguments({ batch, step: { attributes, shapes } }: Operands): GeometryArguments {
  const g = geometry(attributes as WindowAttributes, shapes.inputs[0] ?? [], shapes.output);
  const kernel = [g.kernelHeight, g.kernelWidth, g.strideH, g.strideW, g.dilationH, g.dilationW] as const;
  return [batch, g.height, g.width, g.channels, ...kernel, g.padTop, g.padLeft, g.outHeight, g.outWidth];
}
