import test from 'ava';
import type { OpName } from '../../kernels/index.ts';
import { kernelOf } from '../../kernels/index.ts';
import { workspaceBytes } from '../../kernels/kernel.ts';
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
        const workspace = kernel.workspace?.(shapes, node.attributes, pass, wants) ?? 0;
        for (const images of [1, 3, 1000]) {
          const bytes = workspaceBytes(workspace, images);
          t.true(Number.isInteger(bytes) && bytes >= 0 && bytes % 4 === 0, `${about}: ${bytes} bytes for ${pass}`);
        }
      }
      t.true(elements(shapes.output) > 0, about);
    }
  }
});

const pool = { kernel: [2, 2], strides: [2, 2], dilations: [1, 1], pads: [0, 0, 0, 0], ceil: false, countPads: false };

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
  [
    'Distance',
    [
      [2, 2, 3],
      [2, 3, 3],
    ],
    {},
    {},
    /^Distance "n": expected two tensors of shape \[2,2,3\] but got \[2,3,3\]$/,
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
  [
    'GroupedConv',
    [[4, 4, 6]],
    { weight: [8, 3, 3, 2] },
    { kernel: [3, 3], group: 2 },
    /^GroupedConv "n": expected a map of 4 channels \(weight \[8,3,3,2\], 2 groups, window \[3,3\]\) but got \[4,4,6\]$/,
  ],
  [
    'GroupedConv',
    [[4, 4, 6]],
    { weight: [7, 3, 3, 3] },
    { kernel: [3, 3], group: 2 },
    /^GroupedConv "n": expected outputs in 2 groups of one size but got 7$/,
  ],
  [
    'MaxPool',
    [[20, 20, 3]],
    {},
    { ...pool, kernel: [16, 16] },
    /^MaxPool "n": .* at most 255 pixels .* but got 16x16$/,
  ],
  ['MaxPool', [[20]], {}, pool, /^MaxPool "n": expected a map \[H, W, C\] but got \[20\]$/],
  [
    'AveragePool',
    [[4, 4, 3]],
    {},
    { ...pool, pads: [2, 0, 0, 0] },
    /^AveragePool "n": expected at least one pixel of the map in every window but got a window 2x2 on \[4,4,3\] with pads/,
  ],
  [
    'Concat',
    [
      [4, 4, 3],
      [4, 5, 3],
    ],
    {},
    {},
    /^Concat "n": expected tensors \[4,4,any\] but got \[4,4,3\], \[4,5,3\]$/,
  ],
  ['ChannelSlice', [[4, 4, 3]], {}, { from: 2, to: 4 }, /^ChannelSlice "n": .* channels 2 to 4 .* but got \[4,4,3\]$/],
  ['ChannelSlice', [[6]], {}, { from: 2, to: 2 }, /^ChannelSlice "n": .* channels 2 to 2 .* but got \[6\]$/],
  ['ChannelShuffle', [[4, 4, 9]], {}, { groups: 2 }, /^ChannelShuffle "n": expected channels in 2 groups of one size/],
  [
    'Mul',
    [
      [4, 4, 3],
      [1, 1, 4],
    ],
    {},
    {},
    /^Mul "n": expected a second factor of shape \[4,4,3\] or .* but got \[1,1,4\]$/,
  ],
  [
    'Mul',
    [
      [1, 1, 3],
      [4, 4, 3],
    ],
    {},
    {},
    /^Mul "n": expected a second factor of shape \[1,1,3\] or .* but got \[4,4,3\]$/,
  ],
  ['LayerNorm', [[4, 4, 3]], { shift: [4] }, { epsilon: 0 }, /^LayerNorm "n": expected shift \[3\] but got \[4\]$/],
] as const) {
  test(`${op} of ${JSON.stringify(inputs)} ${JSON.stringify(parameters)} is refused`, (t) => {
    const node = { op, name: 'n', inputs: [], parameters: {}, output: 'y', attributes };
    t.throws(() => kernelOf(node)?.shape(node, inputs, parameters), { instanceOf: ShapeError, message });
  });
}
