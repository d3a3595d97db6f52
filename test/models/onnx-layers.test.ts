/** What exporters write for each layer, read by importGraph and run in float64: the result is onnxruntime's. */
import test from 'ava';
import { setFloatData } from '../../models/onnx/tensor-data.ts';
import { Random } from '../../runtime/train/random.ts';
import { normals } from '../support/draws.ts';
import { assertSame, opsOf } from '../support/onnx-check.ts';
import { importModel, OnnxBuilder, plainNet } from '../support/onnx-models.ts';
import { referenceForward } from '../support/reference-forward.ts';

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
  const b = plainNet();
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
    t.false(opsOf(graph).includes('Opaque'), opsOf(graph));
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
