/** @file Activations that are more than a clipping, exact or by step function. */
import { stepFunction } from '../../../kernels/few-bit.ts';
import { bitsOf, type SmoothActivationAttributes } from '../../../kernels/smooth-activation.ts';
import { activationFunctions, smoothFunctions } from '../../../kernels/smooth-functions.ts';
import { elements } from '../../graph/graph.ts';
import type { Arena } from './arena.ts';
import type { CpuOp, Operands } from './operands.ts';

export const smoothActivation: CpuOp = {
  forward(o, { simd, arena }) {
    const { name, alpha, beta, save, rows, channels } = unpack(o);
    const code = o.saved('code');
    // Before y, which may take the memory of x.
    if (code) simd.encodeSteps(o.input(0), rows, channels, table(o, arena, 'borders'), bitsOf(save), code);
    simd.smoothForward(activationFunctions.indexOf(name), o.input(0), o.output, rows * channels, alpha, beta);
  },
  backward(o, { simd, arena }) {
    const { name, alpha, beta, save, rows, channels } = unpack(o);
    const code = o.saved('code');
    if (code) {
      simd.decodeSteps(o.dOutput, o.dInput(0), rows, channels, table(o, arena, 'levels'), bitsOf(save), code);
      return;
    }
    const kept = smoothFunctions[name].from === 'input' ? o.input(0) : o.output;
    const fn = activationFunctions.indexOf(name);
    simd.smoothBackward(fn, o.dOutput, kept, o.dInput(0), rows * channels, alpha, beta);
  },
};

function unpack({ step, batch }: Operands) {
  const { function: name, alpha, beta, save } = step.attributes as SmoothActivationAttributes;
  const channels = step.shapes.output.at(-1) ?? 1;
  return { name, alpha, beta, save, channels, rows: (batch * elements(step.shapes.output)) / channels };
}

/** Writes the step function's numbers into the workspace. */
function table(o: Operands, arena: Arena, which: 'borders' | 'levels'): number {
  const { name, alpha, beta, save } = unpack(o);
  const values = stepFunction(name, { alpha, beta }, bitsOf(save))[which];
  arena.floats(o.workspace, values.length).set(values);
  return o.workspace;
}
