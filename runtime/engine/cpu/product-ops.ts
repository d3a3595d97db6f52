/** @file Ops whose work is matrix products: convolutions and fully connected layers. */
import { isPointwise } from '../../../kernels/conv.ts';
import type { WindowAttributes } from '../../../kernels/window.ts';
import { elements } from '../../graph/graph.ts';
import { geometryArguments } from './geometry-arguments.ts';
import type { CpuOp, Machine, Operands } from './operands.ts';

export const conv: CpuOp = {
  async forward(o, machine) {
    const { rows, patch, out } = sizes(o);
    if (isPointwise(window(o)))
      return machine.products.nt(o.input(0), o.parameter('weight'), o.output, rows, patch, out);
    for (const part of patches(o)) {
      gather(o, machine, part);
      await machine.products.nt(
        o.workspace,
        o.parameter('weight'),
        o.output + 4 * part.from * out,
        part.rows,
        patch,
        out,
      );
    }
  },
  async backward(o, machine) {
    const { rows, patch, out } = sizes(o);
    const { products, simd } = machine;
    const [dx, dw, weight] = [o.dInput(0), o.dParameter('weight'), o.parameter('weight')];
    if (isPointwise(window(o))) {
      if (dw) await products.tnAdd(o.dOutput, o.input(0), dw, out, rows, patch);
      if (dx) await products.nn(o.dOutput, weight, dx, rows, out, patch);
      return;
    }
    if (dx) simd.fill(dx, 4 * o.batch * elements(o.step.shapes.inputs[0] ?? []));
    for (const part of patches(o)) {
      const dy = o.dOutput + 4 * part.from * out;
      if (dw) {
        gather(o, machine, part);
        await products.tnAdd(dy, o.workspace, dw, out, part.rows, patch);
      }
      if (dx) {
        await products.nn(dy, weight, o.workspace, part.rows, out, patch);
        simd.col2im(o.workspace, dx, ...geometryArguments(o), part.from, part.rows);
      }
    }
  },
};

export const gemm: CpuOp = {
  async forward(o, { products }) {
    const [out = 0, features = 0] = o.step.shapes.parameters.weight ?? [];
    await products.nt(o.input(0), o.parameter('weight'), o.output, o.batch, features, out);
  },
  async backward(o, { products }) {
    const [out = 0, features = 0] = o.step.shapes.parameters.weight ?? [];
    if (o.dParameter('weight')) {
      await products.tnAdd(o.dOutput, o.input(0), o.dParameter('weight'), out, o.batch, features);
    }
    if (o.dInput(0)) await products.nn(o.dOutput, o.parameter('weight'), o.dInput(0), o.batch, out, features);
  },
};

export const depthwiseConv: CpuOp = {
  forward(o, { simd }) {
    const geometry = geometryArguments(o);
    simd.depthwiseForward(o.input(0), o.parameter('weight'), o.output, ...geometry, 0, geometry[3]);
  },
  backward(o, { simd }) {
    const dw = o.dParameter('weight');
    const geometry = geometryArguments(o);
    if (dw) simd.depthwiseWeightGradient(o.input(0), o.dOutput, dw, ...geometry, 0, geometry[3]);
    if (o.dInput(0)) {
      simd.depthwiseInputGradient(o.dOutput, o.parameter('weight'), o.dInput(0), ...geometry, 0, geometry[3]);
    }
  },
};

const window = (o: Operands): WindowAttributes => o.step.attributes as WindowAttributes;

/** Rows of the product (output pixels of the batch), length of a patch, output channels. */
function sizes({ step: { shapes }, batch }: Operands) {
  const [height = 1, width = 1, out = 1] = shapes.output;
  return { rows: batch * height * width, patch: elements(shapes.parameters.weight ?? []) / out, out };
}

/** Row ranges whose patches fit the workspace. */
function* patches(o: Operands): Generator<{ readonly from: number; readonly rows: number }> {
  const { rows, patch } = sizes(o);
  const step = Math.floor(o.workspaceBytes / (4 * patch));
  for (let from = 0; from < rows; from += step) yield { from, rows: Math.min(step, rows - from) };
}

function gather(o: Operands, { simd }: Machine, part: { readonly from: number; readonly rows: number }): void {
  simd.im2col(o.input(0), o.workspace, ...geometryArguments(o), part.from, part.rows);
}
