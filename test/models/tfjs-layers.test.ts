import * as tf from '@tensorflow/tfjs';
import test from 'ava';
import type { NodeProto } from '../../models/onnx/proto.ts';
import { layersModelFromParts } from '../../models/tfjs/layers-model.ts';
import { toOnnx } from '../../models/tfjs/to-onnx.ts';
import {
  loadInTfjs,
  maxDifference,
  randomInput,
  randomizeWeights,
  runOnnx,
  runTfjs,
  type SavedModel,
  saveModel,
  toModelJson,
} from './tfjs-oracle.ts';

const tolerance = 1e-4;

test.before(async () => {
  await tf.setBackend('cpu');
});

async function convert(model: tf.LayersModel, seed: number) {
  randomizeWeights(model, seed);
  const saved = await saveModel(model);
  return toOnnx(layersModelFromParts(toModelJson(saved), saved.weightBytes));
}

function nodesOf(model: ReturnType<typeof toOnnx>): readonly NodeProto[] {
  return model.graph?.node ?? [];
}

/** Same outputs from the Keras model in tfjs and its ONNX in onnxruntime, on a batch of two. */
const sameOutputs = test.macro(async (t, build: () => tf.LayersModel, opTypes: readonly string[] | null = null) => {
  const seed = 7;
  const model = build();
  const onnx = await convert(model, seed);
  const [, ...sides] = model.inputs[0]?.shape ?? [];
  const input = randomInput([2, ...sides.map((extent) => extent ?? 1)], seed + 1);
  const expected = await runTfjs(model, input);
  const actual = await runOnnx(onnx, input);
  t.deepEqual(actual.shape, expected.shape);
  const difference = maxDifference(expected.data, actual.data);
  t.true(difference <= tolerance, `seed ${seed}: differs by ${difference}, allowed ${tolerance}`);
  t.true(
    expected.data.some((value) => Math.abs(value) > 1e-3),
    'the model must not be constant zero',
  );
  if (opTypes)
    t.deepEqual(
      nodesOf(onnx).map((node) => node.opType),
      opTypes,
    );
});

const sequential = (layers: readonly tf.layers.Layer[]) => () => tf.sequential({ layers: [...layers] });
const image = (height: number, width: number, channels = 3) => ({ inputShape: [height, width, channels] });

for (const [height, width] of [
  [9, 7],
  [8, 6],
] as const) {
  for (const strides of [1, 2, 3]) {
    for (const kernelSize of [1, 2, 3, 5]) {
      test(
        `Conv2D same x=[2,3,${height},${width}] k=${kernelSize} stride=${strides}`,
        sameOutputs,
        sequential([
          tf.layers.conv2d({
            filters: 4,
            kernelSize,
            strides,
            padding: 'same',
            activation: 'relu',
            ...image(height, width),
          }),
        ]),
      );
    }
  }
  test(
    `DepthwiseConv2D same stride=2 multiplier=3 x=[2,4,${height},${width}]`,
    sameOutputs,
    sequential([
      tf.layers.depthwiseConv2d({
        kernelSize: 3,
        strides: 2,
        padding: 'same',
        depthMultiplier: 3,
        activation: 'relu6',
        ...image(height, width, 4),
      }),
    ]),
    ['Conv', 'Clip'],
  );
  test(
    `SeparableConv2D same stride=2 x=[2,3,${height},${width}]`,
    sameOutputs,
    sequential([
      tf.layers.separableConv2d({
        filters: 5,
        kernelSize: 3,
        strides: 2,
        padding: 'same',
        depthMultiplier: 2,
        ...image(height, width),
      }),
    ]),
    ['Conv', 'Conv'],
  );
  for (const padding of ['same', 'valid'] as const) {
    test(
      `MaxPooling2D and AveragePooling2D ${padding} x=[2,3,${height},${width}]`,
      sameOutputs,
      sequential([
        tf.layers.maxPooling2d({ poolSize: 3, strides: 2, padding, ...image(height, width) }),
        tf.layers.averagePooling2d({ poolSize: [3, 2], strides: 1, padding }),
      ]),
    );
  }
}

test(
  'Conv2D valid, dilation 2, no bias, kernel 3x2',
  sameOutputs,
  sequential([
    tf.layers.conv2d({
      filters: 4,
      kernelSize: [3, 2],
      dilationRate: 2,
      useBias: false,
      activation: 'tanh',
      ...image(9, 7),
    }),
  ]),
);

test(
  'ZeroPadding2D folds into a valid convolution',
  sameOutputs,
  sequential([
    tf.layers.zeroPadding2d({
      padding: [
        [0, 1],
        [2, 1],
      ],
      ...image(8, 8),
    }),
    tf.layers.depthwiseConv2d({ kernelSize: 3, strides: 2, padding: 'valid' }),
  ]),
  ['Conv'],
);

test(
  'ZeroPadding2D in front of a pool stays a Pad',
  sameOutputs,
  sequential([
    tf.layers.zeroPadding2d({
      padding: [
        [1, 1],
        [0, 1],
      ],
      ...image(7, 6),
    }),
    tf.layers.maxPooling2d({ poolSize: 3, strides: 2 }),
  ]),
  ['Pad', 'MaxPool'],
);

test(
  'ZeroPadding2D with two readers stays a Pad',
  sameOutputs,
  () => {
    const input = tf.input({ shape: [6, 6, 3] });
    const padded = layer(tf.layers.zeroPadding2d({ padding: 1 }), input);
    const a = layer(tf.layers.conv2d({ filters: 2, kernelSize: 3 }), padded);
    const b = layer(tf.layers.conv2d({ filters: 2, kernelSize: 3 }), padded);
    return tf.model({ inputs: input, outputs: merge(tf.layers.add(), [a, b]) });
  },
  ['Pad', 'Conv', 'Conv', 'Add'],
);

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

for (const dtype of ['uint8', 'uint16', 'float16'] as const) {
  test(`weights quantised to ${dtype} give what tfjs makes of them`, async (t) => {
    const seed = 11;
    const model = tf.sequential({
      layers: [
        tf.layers.conv2d({ filters: 4, kernelSize: 3, ...image(6, 6) }),
        tf.layers.batchNormalization(),
        tf.layers.flatten(),
      ],
    });
    randomizeWeights(model, seed);
    const saved = quantise(await saveModel(model), dtype);
    const input = randomInput([2, 6, 6, 3], seed);
    const expected = await runTfjs(await loadInTfjs(saved), input);
    const actual = await runOnnx(toOnnx(layersModelFromParts(toModelJson(saved), saved.weightBytes)), input);
    const difference = maxDifference(expected.data, actual.data);
    t.true(difference <= tolerance, `seed ${seed}: differs by ${difference}, allowed ${tolerance}`);
  });
}

function quantise(saved: SavedModel, dtype: 'uint8' | 'uint16' | 'float16'): SavedModel {
  let offset = 0;
  const parts: Uint8Array[] = [];
  const weightSpecs = saved.weightSpecs.map((spec): tf.io.WeightsManifestEntry => {
    const size = spec.shape.reduce((product, extent) => product * extent, 1);
    const values = new Float32Array(saved.weightBytes.slice(offset, offset + 4 * size).buffer);
    offset += 4 * size;
    if (dtype === 'float16') {
      // Truncated halves: exact enough, since both sides decode the same bits.
      const bits = new Uint32Array(values.buffer);
      const halves = Uint16Array.from(bits, (word) => {
        const exponent = ((word >>> 23) & 0xff) - 112;
        return ((word >>> 16) & 0x8000) | (exponent <= 0 ? 0 : (exponent << 10) | ((word >>> 13) & 0x3ff));
      });
      parts.push(new Uint8Array(halves.buffer));
      return { ...spec, quantization: { dtype } };
    }
    const levels = dtype === 'uint8' ? 255 : 65535;
    const min = Math.min(...values);
    const scale = (Math.max(...values) - min) / levels || 1;
    const codes = Array.from(values, (value) => Math.round((value - min) / scale));
    parts.push(dtype === 'uint8' ? Uint8Array.from(codes) : new Uint8Array(Uint16Array.from(codes).buffer));
    return { ...spec, quantization: { dtype, min, scale } };
  });
  return { ...saved, weightSpecs, weightBytes: new Uint8Array(Buffer.concat(parts)) };
}

function layer(of: tf.layers.Layer, input: tf.SymbolicTensor): tf.SymbolicTensor {
  return single(of.apply(input));
}

function merge(of: tf.layers.Layer, inputs: tf.SymbolicTensor[]): tf.SymbolicTensor {
  return single(of.apply(inputs));
}

function single(value: ReturnType<tf.layers.Layer['apply']>): tf.SymbolicTensor {
  if (value instanceof tf.SymbolicTensor) return value;
  throw new Error('expected one symbolic tensor');
}
