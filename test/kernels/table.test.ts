import test from 'ava';
import type { OpName } from '../../kernels/index.ts';
import { kernelOf } from '../../kernels/index.ts';
import { cpuOps } from '../../runtime/engine/cpu/ops.ts';
import { ShapeError } from '../../runtime/errors.ts';
import { elements } from '../../runtime/graph/graph.ts';
import { allKernels, drawCase } from '../support/kernel-cases.ts';

test('every kernel has a rule or a reason, samples, and an op of the CPU engine', (t) => {
  t.deepEqual(
    Object.keys(cpuOps),
    allKernels.map(([op]) => op),
  );
  for (const [op, kernel] of allKernels) {
    t.is(kernel.op, op);
    t.true(kernel.samples.length > 0, `${op} has no sample`);
    if ('none' in kernel.backward) t.true(kernel.backward.none.length > 0, `${op} gives no reason`);
    else t.is(typeof kernel.backward.apply, 'function', op);
    t.is(typeof cpuOps[op as OpName].forward, 'function', op);
    t.is(typeof cpuOps[op as OpName].backward, 'function', op);
    const sampled = new Set(kernel.samples.flatMap(({ parameters }) => Object.keys(parameters)));
    for (const role of kernel.trainable) t.true(sampled.has(role), `${op}: no sample trains its ${role}`);
  }
});

test('kernelOf knows the table and nothing that every object has', (t) => {
  for (const [op, kernel] of allKernels) t.is(kernelOf({ op }), kernel);
  for (const op of ['Opaque', 'toString', 'constructor', '__proto__']) t.is(kernelOf({ op }), undefined);
});

test('costs of every sample are whole numbers, the workspace does not depend on what trains being nothing', (t) => {
  for (const [op, kernel] of allKernels) {
    for (const sample of kernel.samples) {
      const { shapes, node, wants } = drawCase(kernel, sample, 1);
      const about = `${op} ${sample.title}`;
      t.true(Number.isInteger(kernel.flops(shapes, node.attributes)), about);
      for (const pass of ['forward', 'backward'] as const) {
        const bytes = kernel.workspace?.(shapes, node.attributes, pass, wants) ?? 0;
        t.true(Number.isInteger(bytes) && bytes >= 0 && bytes % 4 === 0, `${about}: ${bytes} bytes for ${pass}`);
      }
      t.true(elements(shapes.output) > 0, about);
    }
  }
});

for (const [op, inputs, parameters, attributes, message] of [
  [
    'Add',
    [
      [2, 2, 3],
      [2, 2, 4],
    ],
    {},
    {},
    /^Add "n": expected two tensors of shape \[2,2,3\] but got \[2,2,4\]$/,
  ],
  ['Affine', [[2, 2, 3]], { shift: [4] }, {}, /^Affine "n": expected shift \[3\] but got \[4\]$/],
  ['Gemm', [[5]], { weight: [2, 4] }, {}, /^Gemm "n": expected a vector of 4 features .* but got \[5\]$/],
  ['SoftmaxCrossEntropy', [[1, 1, 5], [1]], {}, {}, /expected logits \[C\] and one label but got \[1,1,5\] and \[1\]$/],
  ['Conv', [[4, 4, 3]], { weight: [8, 1, 1, 2] }, { kernel: [1, 1] }, /^Conv "n": expected a map of 2 channels/],
  ['DepthwiseConv', [[4, 4, 3]], { weight: [3, 3, 2] }, { kernel: [3, 3] }, /expected a map of 2 channels/],
  [
    'Conv',
    [[2, 2, 3]],
    { weight: [8, 3, 3, 3] },
    { kernel: [3, 3], strides: [1, 1], dilations: [1, 1], pads: [0, 0, 0, 0] },
    /expected a map at least as large as its window 3x3 but got a map of 2x2 with pads \[0,0,0,0\]$/,
  ],
] as const) {
  test(`${op} of ${JSON.stringify(inputs)} ${JSON.stringify(parameters)} is refused`, (t) => {
    const node = { op, name: 'n', inputs: [], parameters: {}, output: 'y', attributes };
    t.throws(() => kernelOf(node)?.shape(node, inputs, parameters), { instanceOf: ShapeError, message });
  });
}
