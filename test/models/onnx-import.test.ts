/** How exporters write a model around its layers: opsets, constants, names, inputs and outputs. */
import test from 'ava';
import { AttributeType, DataType, makeGraph, makeModel, makeValueInfo } from '../../models/onnx/proto.ts';
import { Random } from '../../runtime/train/random.ts';
import { normals } from '../support/draws.ts';
import { assertSame } from '../support/onnx-check.ts';
import { importModel, OnnxBuilder, type OnnxOptions, parameterValuesOf, plainNet } from '../support/onnx-models.ts';

const PLAIN = 'Conv Affine GlobalAveragePool Flatten Gemm Affine';

for (let opset = 7; opset <= 22; opset++) {
  test(`opset ${opset}: limits of Clip as ${opset < 11 ? 'attributes' : 'inputs'}`, async (t) => {
    const graph = await assertSame(t, plainNet({ opset }).model(), PLAIN);
    t.like(graph.nodes[1]?.attributes, { low: 0, high: 6 });
  });
}

test('weights in Constant nodes read as initializers do', async (t) => {
  const b = plainNet();
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
  t.deepEqual(parameterValuesOf(graph), parameterValuesOf(importModel(model)));
});

test('weights that are also listed as inputs, as before IR version 4', async (t) => {
  const b = plainNet({ opset: 8 });
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

test('a final softmax is noted, and logits end before it', (t) => {
  const b = plainNet();
  b.node('Softmax', 'probabilities', [b.node('Identity', 'same', ['logits'])]);
  const graph = importModel(b.model(['probabilities']));
  t.is(graph.tail, 'softmax');
  t.is(graph.output, 'logits');
  t.is(importModel(plainNet().model()).tail, 'none');
});

test('batch and size, fixed or symbolic', (t) => {
  const shapeOfInput = (options: OnnxOptions, imageSize?: number) => {
    const graph = importModel(plainNet(options).model(), imageSize);
    return graph.shapes.get(graph.input);
  };
  t.deepEqual(shapeOfInput({ batch: 1, size: 32 }), [32, 32, 3]);
  t.deepEqual(shapeOfInput({ batch: 'batch', size: 32 }), [32, 32, 3]);
  t.deepEqual(shapeOfInput({ batch: 'N', size: 'S' }), [224, 224, 3]);
  t.deepEqual(shapeOfInput({ batch: 'N', size: 'S' }, 48), [48, 48, 3]);
  t.deepEqual(shapeOfInput({ batch: 1, size: 32 }, 48), [48, 48, 3]);
});

test('nodes without a name are called after their op and output', (t) => {
  const b = plainNet();
  for (const node of b.nodes) node.name = '';
  t.deepEqual(
    importModel(b.model())
      .nodes.slice(0, 2)
      .map(({ name }) => name),
    ['Conv_conv', 'BatchNormalization_norm'],
  );
});

test('branches that do not reach the output are dropped', (t) => {
  const b = plainNet();
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
  const weight = b.weight('w', [6, 3, 1], new Float32Array(18));
  let x = b.node('Conv', 'one-dimensional', ['image', weight], {}, 6);
  x = b.node('Softplus', 'softplus', [x]);
  b.head(b.node('Conv', 'custom', [x, b.weight('v', [4, 6, 1, 1], new Float32Array(24))], {}, 4), 3);
  const last = b.nodes.at(-4);
  if (last) last.domain = 'com.example';
  const graph = importModel(b.model());
  const opaque = graph.nodes
    .filter(({ op }) => op === 'Opaque')
    .map(({ name, attributes }) => [name, attributes.onnxOp, attributes.reason]);
  t.deepEqual(opaque[0], ['one-dimensional', 'Conv', 'only two-dimensional convolutions of maps']);
  t.deepEqual(opaque[1], ['softplus', 'Softplus', 'no kernel']);
});
