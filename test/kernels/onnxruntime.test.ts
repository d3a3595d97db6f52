import test, { type ExecutionContext } from 'ava';
import type { AveragePoolAttributes } from '../../kernels/average-pool.ts';
import { kernels } from '../../kernels/index.ts';
import type { Kernel, KernelSample } from '../../kernels/kernel.ts';
import {
  encodeModel,
  makeGraph,
  makeModel,
  makeNode,
  makeTensor,
  makeValueInfo,
  type NodeProto,
  type TensorProto,
} from '../../models/onnx/proto.ts';
import { elements, type Shape } from '../../runtime/graph/graph.ts';
import { assertClose } from '../support/compare.ts';
import { drawCase, runForward } from '../support/kernel-cases.ts';
import { runOnnxruntime } from '../support/onnx-models.ts';

const seed = 311;

/** A model of a few nodes from `x` to `y`. */
function model(nodes: NodeProto[], initializers: TensorProto[], [height, width, channels]: Shape): Uint8Array {
  const input = makeValueInfo('x', ['N', channels ?? 1, height ?? 1, width ?? 1]);
  const output = makeValueInfo('y', ['N', 'a', 'b', 'c']);
  const graph = makeGraph({ name: 'one', node: nodes, initializer: initializers, input: [input], output: [output] });
  return encodeModel(makeModel({ irVersion: 9n, opsetImport: [{ domain: '', version: 19n }], graph }));
}

/** `[N, C, P]` to `[N, P, C]`. */
function channelsLast(values: Float32Array, [height = 1, width = 1, channels = 1]: Shape): Float32Array {
  const pixels = height * width;
  return values.map((_, i) => {
    const [row, c] = [Math.floor(i / channels), i % channels];
    return values[(Math.floor(row / pixels) * channels + c) * pixels + (row % pixels)] ?? Number.NaN;
  });
}

const poolCheck = test.macro(async (t: ExecutionContext, op: 'MaxPool' | 'AveragePool', sample: KernelSample) => {
  const drawn = drawCase(kernels[op] as Kernel, sample, seed);
  const { kernel, strides, pads, dilations, ceil, countPads } = drawn.node.attributes as AveragePoolAttributes;
  const common = { kernel_shape: [...kernel], strides: [...strides], pads: [...pads], ceil_mode: ceil ? 1 : 0 };
  const extra = op === 'MaxPool' ? { dilations: [...dilations] } : { count_include_pad: countPads ? 1 : 0 };
  const [input = []] = drawn.shapes.inputs;
  const bytes = model([makeNode(op, 'pool', ['x'], ['y'], { ...common, ...extra })], [], input);
  const actual = await runOnnxruntime(bytes, drawn.inputs[0] ?? [], input);
  t.is(actual.length, drawn.batch * elements(drawn.shapes.output), `output [${drawn.shapes.output}]`);
  const expected = runForward(drawn, []).output;
  assertClose(t, channelsLast(actual, drawn.shapes.output), expected, { rtol: 1e-5, atol: 1e-6 }, `seed ${seed}`);
});

const more: readonly Omit<AveragePoolAttributes, 'countPads' | 'dilations'>[] = [
  { kernel: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1], ceil: true },
  { kernel: [2, 2], strides: [2, 2], pads: [0, 0, 0, 0], ceil: true },
  { kernel: [3, 3], strides: [3, 3], pads: [1, 1, 1, 1], ceil: true },
  { kernel: [2, 3], strides: [3, 2], pads: [1, 0, 0, 2], ceil: true },
  { kernel: [5, 5], strides: [3, 2], pads: [2, 2, 2, 2], ceil: false },
];

for (const op of ['MaxPool', 'AveragePool'] as const) {
  const samples: KernelSample[] = [...(kernels[op] as Kernel).samples];
  for (const attributes of more) {
    for (const [height, width] of [
      [7, 8],
      [6, 9],
      [5, 5],
    ] as const) {
      for (const countPads of op === 'AveragePool' ? [false, true] : [false]) {
        samples.push({
          title: `x=[${height},${width},3] ${JSON.stringify(attributes)} countPads=${countPads}`,
          attributes: { ...attributes, dilations: [1, 1], ...(op === 'AveragePool' && { countPads }) },
          inputs: [[height, width, 3]],
          parameters: {},
        });
      }
    }
  }
  for (const sample of samples) test(`${op} ${sample.title} equals onnxruntime`, poolCheck, op, sample);
}

for (const sample of kernels.LayerNorm.samples.filter(({ inputs: [x] }) => x?.length === 3)) {
  test(`LayerNorm ${sample.title} equals onnxruntime`, async (t) => {
    const drawn = drawCase(kernels.LayerNorm as Kernel, sample, seed);
    const [input = []] = drawn.shapes.inputs;
    const initializers = Object.entries(drawn.parameters).map(([role, values]) =>
      makeTensor(role, [values.length], Float32Array.from(values)),
    );
    const nodes = [
      makeNode('Transpose', 'last', ['x'], ['t'], { perm: [0, 2, 3, 1] }),
      makeNode('LayerNormalization', 'norm', ['t', 'scale', 'shift'], ['y'], {
        axis: -1,
        epsilon: { float: sample.attributes.epsilon },
      }),
    ];
    const actual = await runOnnxruntime(model(nodes, initializers, input), drawn.inputs[0] ?? [], input);
    assertClose(t, actual, runForward(drawn, []).output, { rtol: 1e-4, atol: 1e-5 }, `seed ${seed}`);
  });
}
