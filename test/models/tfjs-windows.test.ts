import * as tf from '@tensorflow/tfjs';
import test from 'ava';
import { image, layer, merge, sameOutputs, sequential } from './tfjs-cases.ts';

test.before(async () => {
  await tf.setBackend('cpu');
});

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
