/** @file Layer norms. */
import type { LayerNormAttributes } from '../../../kernels/layer-norm.ts';
import { elements } from '../../graph/graph.ts';
import type { CpuOp, Operands } from './operands.ts';

export const layerNorm: CpuOp = {
  forward(o, { simd }) {
    const { rows, channels, epsilon } = sizes(o);
    const [scale, shift] = [o.parameter('scale'), o.parameter('shift')];
    simd.layerNormForward(o.input(0), o.output, rows, channels, scale, shift, epsilon);
  },
  backward(o, { simd }) {
    const { rows, channels, epsilon } = sizes(o);
    const [dscale, dshift] = [o.dParameter('scale'), o.dParameter('shift')];
    // The shift's gradient alone needs no input, and none was kept.
    if (!o.dInput(0) && !dscale) {
      if (dshift) simd.columnSum(o.dOutput, rows, channels, dshift, 0, channels);
      return;
    }
    const scale = o.parameter('scale');
    simd.layerNormBackward(
      ...([o.dOutput, o.input(0), o.dInput(0), rows, channels, scale, dscale, dshift] as const),
      epsilon,
      o.workspace,
    );
  },
};

function sizes({ step: { attributes, shapes }, batch }: Operands) {
  const channels = shapes.output.at(-1) ?? 1;
  const { epsilon } = attributes as LayerNormAttributes;
  return { rows: (batch * elements(shapes.output)) / channels, channels, epsilon };
}
