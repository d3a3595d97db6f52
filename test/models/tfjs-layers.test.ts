import * as tf from '@tensorflow/tfjs';
import test from 'ava';
import { layersModelFromParts } from '../../models/tfjs/layers-model.ts';
import { toOnnx } from '../../models/tfjs/to-onnx.ts';
import { convert, image, layer, merge, nodesOf, sameOutputs, sequential } from './tfjs-cases.ts';
import { randomInput, randomizeWeights, runOnnx, saveModel, toModelJson } from './tfjs-oracle.ts';

test.before(async () => {
  await tf.setBackend('cpu');
});

test(
  'BatchNormalization stays a node, with and without gamma and beta, on maps and vectors',
  sameOutputs,
  sequential([
    tf.layers.batchNormalization({ epsilon: 1e-2, ...image(5, 4) }),
    tf.layers.batchNormalization({ scale: false, center: false }),
    tf.layers.globalAveragePooling2d({}),
    tf.layers.batchNormalization({}),
  ]),
  ['BatchNormalization', 'BatchNormalization', 'GlobalAveragePool', 'Flatten', 'BatchNormalization'],
);

test(
  'ReLU, ReLU(max 6), LeakyReLU, Softmax over channels',
  sameOutputs,
  sequential([
    tf.layers.conv2d({ filters: 8, kernelSize: 3, ...image(6, 6) }),
    tf.layers.leakyReLU({ alpha: 0.2 }),
    tf.layers.reLU({}),
    tf.layers.reLU({ maxValue: 6 }),
    tf.layers.softmax({ axis: -1 }),
  ]),
  ['Conv', 'LeakyRelu', 'Relu', 'Clip', 'Softmax'],
);

for (const activation of ['relu', 'relu6', 'softmax', 'linear', 'sigmoid', 'tanh'] as const) {
  test(
    `Activation ${activation}, alone and fused into Conv2D and Dense`,
    sameOutputs,
    sequential([
      tf.layers.conv2d({ filters: 4, kernelSize: 3, activation, ...image(6, 5) }),
      tf.layers.activation({ activation }),
      tf.layers.globalMaxPooling2d({}),
      tf.layers.dense({ units: 5, activation }),
    ]),
  );
}

test('Add, Multiply and Concatenate of three', sameOutputs, () => {
  const input = tf.input({ shape: [5, 4, 3] });
  const [a, b, c] = [1, 2, 3].map(() => layer(tf.layers.conv2d({ filters: 4, kernelSize: 1 }), input));
  if (!a || !b || !c) throw new Error('three branches');
  const sum = merge(tf.layers.add(), [a, b, c]);
  const product = merge(tf.layers.multiply(), [sum, b]);
  const joined = merge(tf.layers.concatenate(), [sum, product, c]);
  return tf.model({ inputs: input, outputs: merge(tf.layers.concatenate({ axis: 2 }), [joined, joined]) });
});

test('Squeeze-excite: Reshape to [1,1,C] and Multiply broadcast', sameOutputs, () => {
  const input = tf.input({ shape: [5, 4, 6] });
  const pooled = layer(tf.layers.globalAveragePooling2d({}), input);
  const map = layer(tf.layers.reshape({ targetShape: [1, 1, 6] }), pooled);
  const gate = layer(tf.layers.conv2d({ filters: 6, kernelSize: 1, activation: 'sigmoid' }), map);
  return tf.model({ inputs: input, outputs: merge(tf.layers.multiply(), [input, gate]) });
});

test(
  'Flatten of a 3x2 map into Dense permutes the rows',
  sameOutputs,
  sequential([
    tf.layers.conv2d({ filters: 4, kernelSize: 3, ...image(5, 4) }),
    tf.layers.flatten(),
    tf.layers.dropout({ rate: 0.5 }),
    tf.layers.dense({ units: 7, activation: 'relu' }),
    tf.layers.dense({ units: 3, activation: 'softmax' }),
  ]),
  ['Conv', 'Flatten', 'Gemm', 'Relu', 'Gemm', 'Softmax'],
);

test(
  'Flatten of a 3x2 map that something else reads gets a Transpose',
  sameOutputs,
  sequential([
    tf.layers.conv2d({ filters: 4, kernelSize: 3, ...image(5, 4) }),
    tf.layers.flatten(),
    tf.layers.batchNormalization(),
    tf.layers.dense({ units: 3 }),
  ]),
  ['Conv', 'Transpose', 'Flatten', 'BatchNormalization', 'Gemm'],
);

test('Reshape between maps and vectors', sameOutputs, () => {
  const input = tf.input({ shape: [4, 6, 2] });
  const other = layer(tf.layers.reshape({ targetShape: [2, -1, 4] }), input);
  const vector = layer(tf.layers.reshape({ targetShape: [48] }), other);
  return tf.model({ inputs: input, outputs: layer(tf.layers.dense({ units: 4 }), vector) });
});

test(
  'AveragePooling2D over the whole map becomes GlobalAveragePool; the Dropout behind it goes',
  sameOutputs,
  sequential([
    tf.layers.averagePooling2d({ poolSize: 5, ...image(5, 5) }),
    tf.layers.flatten(),
    tf.layers.dropout({ rate: 0.5 }),
  ]),
  ['GlobalAveragePool', 'Flatten', 'Identity'],
);

test('Sequential model nested in a functional one', sameOutputs, () => {
  const block = tf.sequential({
    layers: [
      tf.layers.conv2d({ filters: 3, kernelSize: 3, padding: 'same', ...image(6, 6) }),
      tf.layers.batchNormalization(),
    ],
  });
  const input = tf.input({ shape: [6, 6, 3] });
  return tf.model({ inputs: input, outputs: merge(tf.layers.add(), [input, layer(block, input)]) });
});

test('Nested functional model called twice', sameOutputs, () => {
  const inner = tf.input({ shape: [6, 6, 3] });
  const convolved = layer(tf.layers.conv2d({ filters: 3, kernelSize: 3, padding: 'same' }), inner);
  const block = tf.model({ inputs: inner, outputs: layer(tf.layers.reLU({}), convolved) });
  const input = tf.input({ shape: [6, 6, 3] });
  return tf.model({ inputs: input, outputs: merge(tf.layers.add(), [layer(block, layer(block, input)), input]) });
});

test('One convolution called twice', sameOutputs, () => {
  const shared = tf.layers.conv2d({ filters: 3, kernelSize: 3, padding: 'same' });
  const input = tf.input({ shape: [6, 6, 3] });
  return tf.model({ inputs: input, outputs: layer(shared, layer(shared, input)) });
});

test('names and layouts: nodes after layers, initializers after weights', async (t) => {
  const model = tf.sequential({
    layers: [
      tf.layers.conv2d({ name: 'stem', filters: 4, kernelSize: 3, ...image(6, 6) }),
      tf.layers.depthwiseConv2d({ name: 'deep', kernelSize: 3, depthMultiplier: 2, useBias: false }),
      tf.layers.globalAveragePooling2d({ name: 'pool' }),
      tf.layers.dense({ name: 'head', units: 5, activation: 'softmax' }),
    ],
  });
  const { graph, opsetImport, irVersion } = await convert(model, 1);
  t.is(irVersion, 8n);
  t.is(opsetImport[0]?.version, 17n);
  t.deepEqual(
    graph?.node.map((node) => node.name),
    ['stem', 'deep', 'pool', 'pool/flatten', 'head', 'head/softmax'],
  );
  t.deepEqual(
    graph?.initializer.map(({ name, dims }) => `${name} [${dims}]`),
    ['stem/kernel [4,3,3,3]', 'stem/bias [4]', 'deep/depthwise_kernel [8,1,3,3]', 'head/kernel [5,8]', 'head/bias [5]'],
  );
  t.deepEqual(
    graph?.output.map((output) => output.name),
    ['head'],
  );
});

test('imageSize converts for another size; the whole-map pool stays global', async (t) => {
  const model = tf.sequential({
    layers: [
      tf.layers.conv2d({ filters: 4, kernelSize: 3, strides: 2, padding: 'same', ...image(12, 12) }),
      tf.layers.averagePooling2d({ poolSize: 6 }),
      tf.layers.flatten(),
    ],
  });
  randomizeWeights(model, 3);
  const saved = await saveModel(model);
  const onnx = toOnnx(layersModelFromParts(toModelJson(saved), saved.weightBytes), { imageSize: 9 });
  t.deepEqual(
    nodesOf(onnx).map((node) => node.opType),
    ['Conv', 'GlobalAveragePool', 'Flatten'],
  );
  t.deepEqual((await runOnnx(onnx, randomInput([2, 9, 9, 3], 4))).shape, [2, 4]);
});
