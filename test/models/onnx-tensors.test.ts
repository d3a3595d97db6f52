import test from 'ava';
import { importGraph } from '../../models/onnx/import.ts';
import { weightTensors } from '../../models/onnx/model-file.ts';
import { DataType, makeTensor } from '../../models/onnx/proto.ts';
import { floatData, setFloatData } from '../../models/onnx/tensor-data.ts';
import { toFileLayout } from '../../runtime/graph/axes.ts';
import { assertClose } from '../support/compare.ts';
import { mobileNetFile } from '../support/mobilenet.ts';
import { importModel, plainNet } from '../support/onnx-models.ts';

test('every parameter of MobileNetV2 goes back to the bytes of its file', async (t) => {
  const file = await mobileNetFile();
  const { graph, unknown } = importGraph(file, undefined);
  t.deepEqual(unknown, []);
  const tensors = new Map(weightTensors(file.proto).map((tensor) => [tensor.name, tensor]));
  t.true(graph.parameters.size > 250);
  for (const { name, data, origin } of graph.parameters.values()) {
    const tensor = tensors.get(origin.tensor ?? '');
    t.true(tensor !== undefined, name);
    if (tensor) t.deepEqual(toFileLayout(data(), origin), floatData(tensor), name);
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
  const b = plainNet();
  const exact = importModel(b.model()).parameters.get('conv.weight')?.data() ?? new Float32Array();
  const weight = b.initializers.find(({ name }) => name === 'conv.weight');
  if (weight) {
    const values = floatData(weight);
    weight.dataType = DataType.FLOAT16;
    setFloatData(weight, values);
  }
  const halved = importModel(b.model()).parameters.get('conv.weight')?.data() ?? new Float32Array();
  assertClose(t, halved, exact, { rtol: 2 ** -11, atol: 1e-7 }, 'weights');
  t.notDeepEqual(halved, exact);
});
