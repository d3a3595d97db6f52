/** What exporters write, read by importGraph and run by the kernels' float64 loops: the result is onnxruntime's. */
import test, { type ExecutionContext } from 'ava';
import { importGraph } from '../../models/onnx/import.ts';
import { weightTensors } from '../../models/onnx/model-file.ts';
import {
  AttributeType,
  DataType,
  encodeModel,
  type ModelProto,
  makeGraph,
  makeModel,
  makeTensor,
  makeValueInfo,
} from '../../models/onnx/proto.ts';
import { floatData, setFloatData } from '../../models/onnx/tensor-data.ts';
import { toFileLayout } from '../../runtime/graph/axes.ts';
import type { Graph } from '../../runtime/graph/graph.ts';
import { Random } from '../../runtime/train/random.ts';
import { assertClose } from '../support/compare.ts';
import { normals } from '../support/draws.ts';
import { mobileNetFile } from '../support/mobilenet.ts';
import { importModel, OnnxBuilder, type OnnxOptions, runOnnxruntime } from '../support/onnx-models.ts';
import { referenceForward } from '../support/reference-forward.ts';

const seed = 41;

const ops = (graph: Graph): string => graph.nodes.map(({ op }) => op).join(' ');

/** Imports the model, checks that every node was read, and compares the logits of two images with onnxruntime. */
async function assertSame(t: ExecutionContext, model: ModelProto, expectedOps?: string, size = 16): Promise<Graph> {
  const graph = importModel(model, size);
  if (expectedOps !== undefined) t.is(ops(graph), expectedOps);
  const images = Float32Array.from(normals(new Random(seed), [2, size, size, 3]));
  const expected = await runOnnxruntime(encodeModel(model), images, [size, size, 3]);
  const { output } = referenceForward(graph, images, 2);
  assertClose(t, output, expected, { rtol: 1e-4, atol: 1e-5 }, `logits, seed ${seed}`);
  return graph;
}

/** conv, norm, activation, pool, fully connected. */
function plain(options: OnnxOptions = {}): OnnxBuilder {
  const b = new OnnxBuilder(options);
  b.head(b.relu6('relu6', b.norm('norm', b.conv('conv', 'image', 8, { kernel: 3, stride: 2 }))), 5);
  return b;
}
const PLAIN = 'Conv Affine GlobalAveragePool Flatten Gemm Affine';

for (let opset = 7; opset <= 22; opset++) {
  test(`opset ${opset}: limits of Clip as ${opset < 11 ? 'attributes' : 'inputs'}`, async (t) => {
    const graph = await assertSame(t, plain({ opset }).model(), PLAIN);
    t.like(graph.nodes[1]?.attributes, { low: 0, high: 6 });
  });
}

test('weights in Constant nodes read as initializers do', async (t) => {
  const b = plain();
  const model = b.model();
  const constants = b.initializers.map((tensor) => ({
    opType: 'Constant',
    name: `${tensor.name} constant`,
    output: [tensor.name],
    attribute: [{ name: 'value', type: AttributeType.TENSOR, t: tensor }],
  }));
  const { input = [], output = [], node = [] } = model.graph ?? {};
  const moved = makeModel({
    ...model,
    graph: makeGraph({ name: 'tiny', input, output, node: [...constants, ...node] }),
  });
  const graph = await assertSame(t, moved, PLAIN);
  t.deepEqual([...graph.parameters.values()], [...importModel(model).parameters.values()]);
});

test('weights that are also listed as inputs, as before IR version 4', async (t) => {
  const b = plain({ opset: 8 });
  const model = b.model();
  model.irVersion = 3n;
  for (const { name, dims } of b.initializers) model.graph?.input.push(makeValueInfo(name, dims.map(Number)));
  await assertSame(t, model, PLAIN);
});

test('weights behind Identity nodes', async (t) => {
  const b = new OnnxBuilder();
  const weight = b.weight('shared', [8, 3, 1, 1], normals(new Random(1), [24]));
  const x = b.node('Conv', 'conv', ['image', b.node('Identity', 'same', [weight])], {}, 8);
  b.head(b.node('Dropout', 'dropout', [b.relu('relu', x)]), 4);
  const graph = await assertSame(t, b.model(), 'Conv Clip GlobalAveragePool Flatten Gemm Affine');
  t.deepEqual([...graph.parameters.keys()], ['shared', 'logits.weight', 'logits.bias']);
});

test('two convolutions that share a weight in one layout', async (t) => {
  const b = new OnnxBuilder();
  const x = b.conv('conv1', 'image', 3);
  b.head(b.node('Conv', 'conv2', [x, 'conv1.weight'], {}, 3), 4);
  const graph = await assertSame(t, b.model());
  t.is(graph.nodes[0]?.parameters.weight, graph.nodes[1]?.parameters.weight);
});

test('a weight read in two layouts stays with the first; the second node is opaque and says why', (t) => {
  const b = new OnnxBuilder();
  // [3, 1, 1, 1] is the weight of a depthwise convolution of three channels, and of a plain one with a single input.
  const single = b.conv('single', b.conv('depthwise', 'image', 3, { depthwise: true }), 1);
  b.head(b.node('Conv', 'plain', [single, 'depthwise.weight'], {}, 3), 3);
  const { nodes } = importModel(b.model());
  t.is(nodes[0]?.op, 'DepthwiseConv');
  const reason = 'its weight is shared with a node that reads it in another layout';
  t.like(nodes[2], { op: 'Opaque', name: 'plain', attributes: { onnxOp: 'Conv', reason } });
});

test('limits of Clip: one side, none, and the largest float as none', async (t) => {
  const attributes = (name: string, given: Record<string, { float: number }>): OnnxBuilder => {
    const b = new OnnxBuilder({ opset: 9 });
    b.head(b.node('Clip', name, [b.conv('conv', 'image', 6)], given), 3);
    return b;
  };
  const found = [
    { min: { float: -0.5 } },
    { max: { float: 0.5 } },
    { min: { float: 0 }, max: { float: 3.4028234663852886e38 } },
  ];
  const limits: unknown[] = [];
  for (const given of found) {
    const graph = await assertSame(t, attributes('clip', given as Record<string, { float: number }>).model());
    limits.push([graph.nodes[1]?.attributes.low, graph.nodes[1]?.attributes.high]);
  }
  const b = new OnnxBuilder();
  b.head(b.node('Clip', 'clip', [b.conv('conv', 'image', 6), '', b.weight('high', [], [1])]), 3);
  const graph = await assertSame(t, b.model());
  limits.push([graph.nodes[1]?.attributes.low, graph.nodes[1]?.attributes.high]);
  t.deepEqual(limits, [
    [-0.5, null],
    [null, 0.5],
    [0, null],
    [null, 1],
  ]);
});

test('an exact zero variance is finite through epsilon alone', async (t) => {
  const b = plain();
  const variance = b.initializers.find(({ name }) => name === 'norm.variance');
  if (variance) setFloatData(variance, new Float32Array(8));
  const { output } = referenceForward(await assertSame(t, b.model()), new Float32Array(2 * 16 * 16 * 3), 2);
  t.true(output.every(Number.isFinite));
});

for (const [pad, kernel, stride] of [
  ['SAME_UPPER', 3, 2],
  ['SAME_LOWER', 3, 2],
  ['SAME_UPPER', 2, 1],
  ['VALID', 3, 2],
] as const) {
  test(`auto_pad ${pad}, window ${kernel}, stride ${stride}`, async (t) => {
    const b = new OnnxBuilder();
    const weight = b.weight('w', [4, 3, kernel, kernel], normals(new Random(2), [4, 3, kernel, kernel], 0, 0.3));
    const attributes = { auto_pad: pad, strides: [stride, stride], kernel_shape: [kernel, kernel] };
    b.head(b.node('Conv', 'conv', ['image', weight], attributes, 4), 3);
    await assertSame(t, b.model());
  });
}

test('dilated and depthwise convolutions with bias, unequal strides and pads', async (t) => {
  const b = new OnnxBuilder();
  const weight = b.weight('w', [6, 3, 3, 2], normals(new Random(3), [6, 3, 3, 2], 0, 0.3));
  const bias = b.weight('b', [6], [1, 2, 3, 4, 5, 6]);
  const window = { strides: [1, 2], pads: [2, 1, 0, 1], dilations: [2, 1], kernel_shape: [3, 2] };
  const x = b.node('Conv', 'conv', ['image', weight, bias], window, 6);
  b.head(b.conv('depth', x, 6, { depthwise: true, kernel: 5, stride: 2, bias: true }), 3);
  const graph = await assertSame(
    t,
    b.model(),
    'Conv Affine DepthwiseConv Affine GlobalAveragePool Flatten Gemm Affine',
  );
  t.deepEqual([...graph.synthetic], ['conv before bias', 'depth before bias', 'logits before bias']);
});

for (const transposed of [true, false]) {
  test(`Gemm with transB ${Number(transposed)}`, async (t) => {
    const b = new OnnxBuilder();
    b.gemm('logits', b.node('Flatten', 'flat', ['image'], {}, 3 * 16 * 16), 4, transposed);
    const graph = await assertSame(t, b.model(), 'Flatten Gemm Affine');
    const weight = graph.parameters.get('logits.weight');
    t.deepEqual(weight?.shape, [4, 768]);
    t.deepEqual(weight?.origin.permutation, transposed ? [0, 1] : [1, 0]);
  });
}

test('MatMul and Add are a fully connected layer', async (t) => {
  const b = new OnnxBuilder();
  const pooled = b.node('Flatten', 'flat', [b.node('GlobalAveragePool', 'pool', [b.conv('conv', 'image', 6)])]);
  const product = b.node('MatMul', 'product', [pooled, b.weight('w', [6, 4], normals(new Random(4), [6, 4]))], {}, 4);
  b.node('Add', 'logits', [b.weight('b', [4], [1, 2, 3, 4]), product], {}, 4);
  await assertSame(t, b.model(), 'Conv GlobalAveragePool Flatten Gemm Affine');
});

for (const [how, shape] of [
  ['[C, 1, 1]', [6, 1, 1]],
  ['[1, C, 1, 1]', [1, 6, 1, 1]],
] as const) {
  test(`Add of a constant ${how} to a map is a bias`, async (t) => {
    const b = new OnnxBuilder();
    b.head(b.node('Add', 'biased', [b.conv('conv', 'image', 6), b.weight('b', shape, [1, 2, 3, 4, 5, 6])]), 3);
    await assertSame(t, b.model(), 'Conv Affine GlobalAveragePool Flatten Gemm Affine');
  });
}

for (const shape of [[6], [1, 6], [6, 1], [1, 1, 1, 6]]) {
  test(`Add of a constant [${shape}] to a map of 6x6 pixels and 6 channels is no bias`, (t) => {
    const b = new OnnxBuilder({ size: 6 });
    b.head(b.node('Add', 'columns', [b.conv('conv', 'image', 6), b.weight('b', shape, [1, 2, 3, 4, 5, 6])]), 3);
    const graph = importModel(b.model(), 6);
    t.like(graph.nodes[1], { op: 'Opaque', name: 'columns', attributes: { onnxOp: 'Add' } });
  });
}

/** Ways to bring the features of a map to a vector. */
const flattenings: Record<string, (b: OnnxBuilder, x: string) => string> = {
  'Flatten of the whole map': (b, x) => b.node('Flatten', 'flat', [x], {}, b.channels(x) * 256),
  'Reshape to [0, -1]': (b, x) => b.node('Reshape', 'flat', [pool(b, x), b.integers('s', [2], [0, -1])]),
  'Reshape to [-1, C]': (b, x) => b.node('Reshape', 'flat', [pool(b, x), b.integers('s', [2], [-1, b.channels(x)])]),
  'Reshape to a shape computed from the batch': (b, x) => {
    const pooled = pool(b, x);
    const batch = b.node('Gather', 'batch', [b.node('Shape', 'shape', [pooled]), b.integers('zero', [], [0])], {
      axis: 0,
    });
    const first = b.node('Unsqueeze', 'first', [batch, b.integers('axes', [1], [0])]);
    const target = b.node('Concat', 'target', [first, b.integers('rest', [1], [-1])], { axis: 0 });
    return b.node('Reshape', 'flat', [pooled, target], {}, b.channels(x));
  },
  'Reshape to a slice of the shape and the product of the rest': (b, x) => {
    const shape = b.node('Shape', 'shape', [x]);
    const one = (name: string, value: number) => b.integers(name, [1], [value]);
    const batch = b.node('Slice', 'batch', [shape, one('s0', 0), one('e0', 1), one('a0', 0)]);
    const rows = b.node('Slice', 'rows', [shape, one('s1', 2), one('e1', 3), one('a1', 0)]);
    const features = b.node('Mul', 'features', [rows, one('columns', 16 * b.channels(x))]);
    const target = b.node('Concat', 'target', [batch, features], { axis: 0 });
    return b.node('Reshape', 'flat', [x, target], {}, 256 * b.channels(x));
  },
  'ReduceMean without the axes': (b, x) => b.node('ReduceMean', 'flat', [x], { axes: [2, 3], keepdims: 0 }),
  'ReduceMean with negative axes, then Flatten': (b, x) =>
    b.node('Flatten', 'flat', [b.node('ReduceMean', 'mean', [x], { axes: [-1, -2] })]),
  'AveragePool over the map, then Squeeze': (b, x) =>
    b.node('Squeeze', 'flat', [
      b.node('AveragePool', 'mean', [x], { kernel_shape: [16, 16] }),
      b.integers('axes', [2], [2, 3]),
    ]),
};
const pool = (b: OnnxBuilder, x: string): string => b.node('GlobalAveragePool', 'pool', [x]);

for (const [title, flatten] of Object.entries(flattenings)) {
  test(title, async (t) => {
    const b = new OnnxBuilder();
    b.gemm('logits', flatten(b, b.conv('conv', 'image', 5)), 3);
    const graph = await assertSame(t, b.model());
    t.false(ops(graph).includes('Opaque'), ops(graph));
  });
}

test('ReduceMean of opset 18 takes its axes as an input', async (t) => {
  const b = new OnnxBuilder({ opset: 18 });
  const mean = b.node('ReduceMean', 'mean', [b.conv('conv', 'image', 5), b.integers('axes', [2], [2, 3])], {
    keepdims: 0,
  });
  b.gemm('logits', mean, 3);
  await assertSame(t, b.model(), 'Conv GlobalAveragePool Gemm Affine');
});

test('a final softmax is noted, and logits end before it', (t) => {
  const b = plain();
  b.node('Softmax', 'probabilities', [b.node('Identity', 'same', ['logits'])]);
  const graph = importModel(b.model(['probabilities']));
  t.is(graph.tail, 'softmax');
  t.is(graph.output, 'logits');
  t.is(importModel(plain().model()).tail, 'none');
});

test('batch and size, fixed or symbolic', (t) => {
  const shapeOfInput = (options: OnnxOptions, imageSize?: number) => {
    const graph = importModel(plain(options).model(), imageSize);
    return graph.shapes.get(graph.input);
  };
  t.deepEqual(shapeOfInput({ batch: 1, size: 32 }), [32, 32, 3]);
  t.deepEqual(shapeOfInput({ batch: 'batch', size: 32 }), [32, 32, 3]);
  t.deepEqual(shapeOfInput({ batch: 'N', size: 'S' }), [224, 224, 3]);
  t.deepEqual(shapeOfInput({ batch: 'N', size: 'S' }, 48), [48, 48, 3]);
  t.deepEqual(shapeOfInput({ batch: 1, size: 32 }, 48), [48, 48, 3]);
});

test('nodes without a name are called after their op and output', (t) => {
  const b = plain();
  for (const node of b.nodes) node.name = '';
  t.deepEqual(
    importModel(b.model())
      .nodes.slice(0, 2)
      .map(({ name }) => name),
    ['Conv_conv', 'BatchNormalization_norm'],
  );
});

test('branches that do not reach the output are dropped', (t) => {
  const b = plain();
  b.conv('unused', 'image', 4);
  t.false(importModel(b.model()).nodes.some(({ name }) => name === 'unused'));
});

test('constants that are neither floats nor whole numbers stay with the node that reads them', (t) => {
  const b = new OnnxBuilder();
  const zero = b.weight('zero', [], [0]);
  const last = b.initializers.at(-1);
  if (last) [last.dataType, last.rawData] = [DataType.UINT8, Uint8Array.of(128)];
  const scale = b.weight('step', [], [0.1]);
  const quantized = b.node('QuantizeLinear', 'quantize', ['image', scale, zero]);
  b.head(b.conv('conv', b.node('DequantizeLinear', 'dequantize', [quantized, scale, zero]), 4), 3);
  const opaque = importModel(b.model()).nodes.filter(({ op }) => op === 'Opaque');
  t.deepEqual(opaque.map(({ name }) => name).slice(0, 2), ['quantize', 'dequantize']);
});

test('what no rule reads stays, with its reason', (t) => {
  const b = new OnnxBuilder();
  const grouped = b.weight('w', [6, 1, 1, 1], new Float32Array(6));
  let x = b.node('Conv', 'grouped', ['image', grouped], { group: 3 }, 6);
  x = b.node('Sigmoid', 'sigmoid', [x]);
  b.head(b.node('Conv', 'custom', [x, b.weight('v', [4, 6, 1, 1], new Float32Array(24))], {}, 4), 3);
  const last = b.nodes.at(-4);
  if (last) last.domain = 'com.example';
  const graph = importModel(b.model());
  const opaque = graph.nodes
    .filter(({ op }) => op === 'Opaque')
    .map(({ name, attributes }) => [name, attributes.onnxOp, attributes.reason]);
  t.deepEqual(opaque[0], ['grouped', 'Conv', 'grouped convolution (group 3) has no kernel yet']);
  t.deepEqual(opaque[1], ['sigmoid', 'Sigmoid', 'no kernel']);
});

test('every parameter of MobileNetV2 goes back to the bytes of its file', async (t) => {
  const file = await mobileNetFile();
  const { graph, unknown } = importGraph(file, undefined);
  t.deepEqual(unknown, []);
  const tensors = new Map(weightTensors(file.proto).map((tensor) => [tensor.name, tensor]));
  t.true(graph.parameters.size > 250);
  for (const { name, data, origin } of graph.parameters.values()) {
    const tensor = tensors.get(origin.tensor ?? '');
    t.true(tensor !== undefined, name);
    if (tensor) t.deepEqual(toFileLayout(data, origin), floatData(tensor), name);
  }
});

test('tensors of other float types', (t) => {
  const values = Float32Array.of(0, 1, -2, 0.5, 65504, 2 ** -24, -(2 ** -14), 1 / 3);
  for (const [dataType, relative] of [
    [DataType.DOUBLE, 0],
    [DataType.FLOAT16, 2 ** -11],
    [DataType.BFLOAT16, 2 ** -8],
  ] as const) {
    const tensor = makeTensor('w', [8], values);
    tensor.dataType = dataType;
    setFloatData(tensor, values);
    const read = floatData(tensor);
    assertClose(t, read, values, { rtol: relative, atol: 0.5 * 2 ** -24 }, `type ${dataType}`);
    setFloatData(tensor, read);
    t.deepEqual(floatData(tensor), read, `type ${dataType}: what was read is written unchanged`);
  }
});

test('float16: every finite half goes through float32 and back', (t) => {
  const halves = Uint16Array.from({ length: 65536 }, (_, i) => i).filter((half) => (half & 0x7c00) !== 0x7c00);
  const tensor = makeTensor('w', [halves.length], new Float32Array());
  tensor.dataType = DataType.FLOAT16;
  tensor.rawData = new Uint8Array(halves.buffer.slice(0));
  const values = floatData(tensor);
  t.is(values[0x3c00], 1);
  t.is(values[1], 2 ** -24);
  t.is(values[0x7bff], 65504);
  setFloatData(tensor, values);
  t.deepEqual(new Uint16Array(new Uint8Array(tensor.rawData).buffer), halves);
});

test('float16: ties go to even, small numbers to the nearest step', (t) => {
  const tensor = makeTensor('w', [6], new Float32Array());
  tensor.dataType = DataType.FLOAT16;
  setFloatData(tensor, Float32Array.of(1 + 2 ** -11, 1 + 3 * 2 ** -11, 2 ** -25, 3 * 2 ** -25, 65519, -1e-9));
  t.deepEqual([...floatData(tensor)], [1, 1 + 2 ** -9, 0, 2 ** -23, 65504, -0]);
});

test('a convolution with float16 weights', (t) => {
  const b = plain();
  const exact = importModel(b.model()).parameters.get('conv.weight')?.data ?? new Float32Array();
  const weight = b.initializers.find(({ name }) => name === 'conv.weight');
  if (weight) {
    const values = floatData(weight);
    weight.dataType = DataType.FLOAT16;
    setFloatData(weight, values);
  }
  const halved = importModel(b.model()).parameters.get('conv.weight')?.data ?? new Float32Array();
  assertClose(t, halved, exact, { rtol: 2 ** -11, atol: 1e-7 }, 'weights');
  t.notDeepEqual(halved, exact);
});
