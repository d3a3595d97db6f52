/** What the ONNX project's cases have found to be misread, held by small models: their package is not installed everywhere. */
import test from 'ava';
import { DataType, makeTensor, makeValueInfo } from '../../models/onnx/proto.ts';
import { importModel, OnnxBuilder } from '../support/onnx-models.ts';

/** Why the node of that op was not read. */
function reasonOf(b: OnnxBuilder, op: string): unknown {
  const opaque = importModel(b.model(), 16).nodes.find(({ attributes }) => attributes.onnxOp === op);
  return opaque?.attributes.reason;
}

test('a Transpose without a permutation reverses the axes', (t) => {
  const b = new OnnxBuilder();
  b.node('Transpose', 'logits', [b.conv('conv', 'image', 4)]);
  t.is(reasonOf(b, 'Transpose'), 'only between NCHW and NHWC; it permutes [3,2,1,0]');
});

for (const training of [false, true]) {
  test(`a Dropout with training mode ${training}`, (t) => {
    const b = new OnnxBuilder();
    b.weight('ratio', [], [0.5]);
    const mode = makeTensor('mode', [], new Float32Array());
    b.initializers.push({ ...mode, dataType: DataType.BOOL, rawData: Uint8Array.of(Number(training)) });
    b.head(b.node('Dropout', 'dropout', [b.conv('conv', 'image', 4), 'ratio', 'mode']), 5);
    t.is(reasonOf(b, 'Dropout'), training ? 'it is exported in training mode' : undefined);
  });
}

test('a Dropout whose mask is read', (t) => {
  const b = new OnnxBuilder();
  b.node('Dropout', 'dropout', [b.conv('conv', 'image', 4)]);
  b.nodes.at(-1)?.output.push('mask');
  b.head(b.node('Where', 'where', ['mask', 'dropout', 'dropout'], {}, 4), 5);
  t.is(reasonOf(b, 'Dropout'), 'its mask is an output too');
});

test('a softmax over another axis than the classes is not the end of a classifier', (t) => {
  const b = new OnnxBuilder();
  b.head(b.relu('relu', b.conv('conv', 'image', 4)), 5);
  b.node('Softmax', 'probabilities', ['logits'], { axis: 0 });
  const graph = importModel(b.model(['probabilities']));
  t.is(graph.tail, 'none');
  t.is(graph.nodes.at(-1)?.attributes.reason, 'only at the end, over the classes of [N, classes]');
});

test('a softmax over the pixels or channels of a map is refused', (t) => {
  const b = new OnnxBuilder();
  b.node('Softmax', 'probabilities', [b.conv('conv', 'image', 4)], { axis: 1 });
  t.throws(() => importModel(b.model(['probabilities'])), {
    code: 'MODEL',
    message: /Softmax "probabilities": only at the end, over the classes of \[N, classes\]; its input is \[16,16,4\]/,
  });
});

test('a softmax over the channels of one pixel is one over the classes', (t) => {
  const b = new OnnxBuilder();
  b.node('Softmax', 'probabilities', [b.node('GlobalAveragePool', 'pool', [b.conv('conv', 'image', 4)])], { axis: 1 });
  t.is(importModel(b.model(['probabilities'])).tail, 'softmax');
});

test('values declared as integers are not computed with', (t) => {
  const b = new OnnxBuilder();
  b.head(b.relu('relu', b.node('Cast', 'cast', [b.conv('conv', 'image', 4)], { to: DataType.INT32 })), 5);
  const model = b.model();
  const info = makeValueInfo('cast', ['N', 4, 16, 16]);
  if (info.type?.value.case === 'tensorType') info.type.value.value.elemType = DataType.INT32;
  model.graph?.valueInfo.push(info);
  const opaque = importModel(model, 16).nodes.find(({ attributes }) => attributes.onnxOp === 'Relu');
  t.is(opaque?.attributes.reason, 'its input is not float32, float16 or bfloat16');
});
