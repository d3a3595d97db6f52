import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { importWithProbes, openModel } from '../../models/onnx/open-model.ts';
import {
  AttributeType,
  DataType,
  encodeModel,
  type ModelProto,
  makeGraph,
  makeNode,
  makeTensor,
  makeValueInfo,
} from '../../models/onnx/proto.ts';
import { ModelError, UnsupportedOpError } from '../../runtime/errors.ts';
import { countBlocks } from '../../runtime/scheme/scheme.ts';
import { importModel, modelFile, OnnxBuilder, plainNet } from '../support/onnx-models.ts';
import { plan } from '../support/training.ts';

const refusal = (message: RegExp) => ({ instanceOf: ModelError, message });

test('weights that are not finite are refused with tensor and index', (t) => {
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const b = new OnnxBuilder();
    const weight = new Float32Array(24).fill(1);
    weight[7] = value;
    b.head(b.node('Conv', 'conv', ['image', b.weight('bad', [8, 3, 1, 1], weight)], {}, 8), 2);
    t.throws(() => importModel(b.model()), refusal(new RegExp(`^tensor "bad": value 7 is ${value}`)));
  }
});

test('a tensor shorter than its shape is refused', (t) => {
  const b = new OnnxBuilder();
  b.head(b.node('Conv', 'conv', ['image', b.weight('short', [8, 3, 1, 1], new Float32Array(23))], {}, 8), 2);
  t.throws(() => importModel(b.model()), refusal(/^tensor "short": expected 24 values for \[8,3,1,1\], found 23/));
});

test('shapes that do not fit together are refused with model and node', (t) => {
  const b = new OnnxBuilder();
  b.head(b.node('Conv', 'conv', ['image', b.weight('w', [8, 4, 1, 1], new Float32Array(32))], {}, 8), 2);
  t.throws(() => importModel(b.model()), refusal(/^model "tiny\.onnx": Conv "conv": expected a map of 4 channels/));
});

test('models with two outputs are refused', (t) => {
  t.throws(
    () => importModel(plainNet().model(['logits', 'relu'])),
    refusal(/^model "tiny\.onnx" has 2 outputs \("logits", "relu"\): expected one/),
  );
});

test('inputs that are not one square RGB image are refused', (t) => {
  const withInput = (...input: ReturnType<typeof makeValueInfo>[]): ModelProto => {
    const model = plainNet().model();
    if (model.graph) model.graph.input = input;
    return model;
  };
  const integers = makeValueInfo('image', ['N', 3, 16, 16]);
  if (integers.type?.value.case === 'tensorType') integers.type.value.value.elemType = DataType.UINT8;
  const image = makeValueInfo('image', ['N', 3, 16, 16]);
  const cases: [ModelProto, RegExp][] = [
    [withInput(), /expected one float32 image input \[N, 3, H, W\], found none$/],
    [withInput(image, makeValueInfo('mask', [1, 16])), /found "image" \[N, 3, 16, 16\], "mask" \[1, 16\]$/],
    [withInput(makeValueInfo('image', ['N', 768])), /found "image" \[N, 768\]$/],
    [withInput(integers), /expected one float32 image input/],
    [
      withInput(makeValueInfo('image', ['N', 1, 16, 16])),
      /expected images of 3 channels \(NCHW\), found input "image" \[N, 1, 16, 16\]$/,
    ],
    [withInput(makeValueInfo('image', ['N', 16, 16, 3])), /expected images of 3 channels/],
    [withInput(makeValueInfo('image', ['N', 3, 16, 32])), /expected square images.*\nHint: .*--image-size/],
  ];
  for (const [model, message] of cases) t.throws(() => importModel(model), refusal(message));
});

test('two tensors of one name are refused with the name', (t) => {
  const twice = plainNet();
  twice.weight('conv.weight', [1], [0]);
  t.throws(
    () => importModel(twice.model()),
    refusal(/the name "conv\.weight" stands for an initializer twice: .*\nHint: /),
  );
  const outputs = plainNet();
  const model = outputs.model();
  model.graph?.node.push(makeNode('Relu', 'other', ['conv'], ['norm']));
  t.throws(
    () => importModel(model),
    refusal(/the name "norm" stands for an output of BatchNormalization "norm" and an output of Relu "other"/),
  );
  const both = plainNet();
  both.weight('relu6', [1], [0]);
  t.throws(() => importModel(both.model()), refusal(/"relu6" stands for an initializer and an output of Clip "relu6"/));
});

test('a norm without its statistics is refused with node and role', (t) => {
  const lost = plainNet();
  const model = lost.model();
  if (model.graph) model.graph.initializer = lost.initializers.filter(({ name }) => name !== 'norm.mean');
  t.throws(
    () => importModel(model),
    refusal(/BatchNormalization "norm": its mean is "norm\.mean", which the file does not hold\nHint: /),
  );
  const short = plainNet();
  short.nodes.find(({ opType }) => opType === 'BatchNormalization')?.input.splice(3);
  t.throws(
    () => importModel(short.model()),
    refusal(
      /^model "tiny\.onnx": BatchNormalization "norm": expected scale, shift, mean and variance, found no mean and no variance/,
    ),
  );
});

/** A convolution, an If whose branches read it, a convolution and the head. */
function branching(): OnnxBuilder {
  const b = new OnnxBuilder();
  const x = b.conv('conv', 'image', 4);
  const condition = makeTensor('condition', [], Float32Array.of(1));
  [condition.dataType, condition.rawData] = [DataType.BOOL, Uint8Array.of(1)];
  b.initializers.push(condition);
  b.node('If', 'choice', ['condition'], { then_branch: 'Relu', else_branch: 'Tanh' }, 4);
  for (const attribute of b.nodes.at(-1)?.attribute ?? []) {
    const [name, op] = [attribute.name, new TextDecoder().decode(attribute.s)];
    delete (attribute as { s?: Uint8Array }).s;
    const output = [makeValueInfo(`${name}.y`, ['N', 4, 16, 16])];
    attribute.g = makeGraph({ name, node: [makeNode(op, `${name}.op`, [x], [`${name}.y`])], output });
    attribute.type = AttributeType.GRAPH;
  }
  b.head(b.relu('relu', b.conv('second', 'choice', 4, { bias: true })), 3);
  return b;
}

test('control flow above the cut is refused by op and node; below it onnxruntime runs it', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'edgeshift-onnx-'));
  const path = join(folder, 'if.onnx');
  await writeFile(path, encodeModel(branching().model()));
  const { graph } = await openModel(path);
  await rm(folder, { recursive: true });
  const opaque = graph.nodes.find(({ name }) => name === 'choice');
  t.like(opaque, { op: 'Opaque', inputs: ['conv'], attributes: { onnxOp: 'If', reason: 'no kernel' } });
  t.deepEqual(graph.shapes.get('choice'), [16, 16, 4]);
  const blocks = countBlocks(graph);
  t.throws(() => plan(graph, { blocks }), {
    instanceOf: UnsupportedOpError,
    message: /If x1: "choice" \(no kernel\)\nHint: .*fewer/,
  });
  t.is(plan(graph, { blocks: 1 }).values.cut, 'choice');
});

/** A loop that repeats a ReLU three times, between two convolutions. */
function looping(): OnnxBuilder {
  const b = new OnnxBuilder();
  const x = b.conv('conv', 'image', 4);
  const condition = makeTensor('condition', [], Float32Array.of(1));
  [condition.dataType, condition.rawData] = [DataType.BOOL, Uint8Array.of(1)];
  b.initializers.push(condition);
  b.node('Loop', 'repeat', [b.integers('trips', [], [3]), 'condition', x], { body: '' }, 4);
  const typed = (name: string, elemType: number, dims: readonly (number | string)[]) => {
    const info = makeValueInfo(name, dims);
    if (info.type?.value.case === 'tensorType') info.type.value.value.elemType = elemType;
    return info;
  };
  for (const attribute of b.nodes.at(-1)?.attribute ?? []) {
    delete (attribute as { s?: Uint8Array }).s;
    attribute.g = makeGraph({
      name: 'body',
      input: [typed('i', DataType.INT64, []), typed('go', DataType.BOOL, []), makeValueInfo('state', ['N', 4, 16, 16])],
      node: [makeNode('Identity', 'again', ['go'], ['goes']), makeNode('Relu', 'inner', ['state'], ['next'])],
      output: [typed('goes', DataType.BOOL, []), makeValueInfo('next', ['N', 4, 16, 16])],
    });
    attribute.type = AttributeType.GRAPH;
  }
  b.head(b.relu('relu', b.conv('second', 'repeat', 4, { bias: true })), 3);
  return b;
}

/** A recurrent layer over the pooled features, taken as a sequence of one. */
function recurrent(): OnnxBuilder {
  const b = new OnnxBuilder();
  const hidden = 5;
  const pooled = b.node('GlobalAveragePool', 'pool', [b.relu('relu', b.conv('conv', 'image', 4, { bias: true }))]);
  const flat = b.node('Flatten', 'flat', [pooled], { axis: 1 });
  const sequence = b.node('Unsqueeze', 'sequence', [flat, b.integers('axis', [1], [0])]);
  const weights = ['w', 'r'].map((name, i) => {
    const dims = [1, 4 * hidden, i === 0 ? 4 : hidden];
    return b.weight(name, dims, new Float32Array(4 * hidden * (dims[2] ?? 0)).fill(0.1));
  });
  const lstm = makeNode('LSTM', 'lstm', [sequence, ...weights], ['', 'last'], { hidden_size: hidden });
  b.nodes.push(lstm);
  const features = b.node('Squeeze', 'features', ['last', 'axis'], {}, hidden);
  b.gemm('logits', features, 3);
  return b;
}

for (const [op, build, name] of [
  ['Loop', looping, 'repeat'],
  ['LSTM', recurrent, 'lstm'],
] as const) {
  test(`${op} above the cut is refused by op and node; below it the head trains`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'edgeshift-onnx-'));
    const path = join(folder, 'model.onnx');
    await writeFile(path, encodeModel(build().model()));
    const { graph } = await openModel(path);
    await rm(folder, { recursive: true });
    t.throws(() => plan(graph, { scheme: 'full' }), {
      instanceOf: UnsupportedOpError,
      message: new RegExp(`${op} x1: "${name}" \\(no kernel\\)[\\s\\S]*\\nHint: .*fewer`),
    });
    t.true(plan(graph, { scheme: 'head' }).fits);
  });
}

test('a shape that onnxruntime cannot tell either is refused with the tensor', async (t) => {
  const b = new OnnxBuilder();
  b.nodes.push(makeNode('Mystery', 'mystery', [b.conv('conv', 'image', 4)], ['secret'], {}, 'com.example'));
  b.head(b.relu('relu', b.conv('second', 'secret', 4)), 3);
  const file = modelFile(b.model());
  await t.throwsAsync(
    importWithProbes(file, undefined),
    refusal(/^model "tiny\.onnx": the shape of "secret" and \d tensors above it is not in the file, .*\nHint: /),
  );
});
