/** TensorFlow.js's side of the benchmarks computes what onnxruntime does, so its time is that of the same work. */
import * as tf from '@tensorflow/tfjs';
import test from 'ava';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { extractPrefix } from '../../models/onnx/prefix.ts';
import { Random } from '../../runtime/train/random.ts';
import { TfjsNetwork } from '../../tools/bench/tfjs-network.ts';
import { network } from '../support/networks.ts';

/** Float32 over a few dozen layers, summed in another order; as a share of the largest logit. */
const TOLERANCE = 1e-3;

const SIZE = 32;

for (const name of ['mobilenet_v3_small-kept-opset18', 'efficientnet_b0-kept-opset12', 'resnet50-kept-opset11']) {
  test(`${name}: logits, and gradients of what learns`, async (t) => {
    const { file, graph } = await network(name, SIZE);
    const trained = graph.nodes.slice(-12).flatMap(({ parameters }) => Object.values(parameters));
    const learning = trained.filter((parameter) => !/running|mean|var/.test(parameter));
    const random = new Random(1);
    const pixels = Float32Array.from({ length: SIZE * SIZE * 3 }, () => random.uniform());
    const planes = Float32Array.from(pixels, (_, i) => pixels[(i % SIZE ** 2) * 3 + Math.floor(i / SIZE ** 2)] ?? 0);
    const session = await InferenceSession.create(extractPrefix(file, graph, graph.output) as Uint8Array, {
      intraOpNumThreads: 1,
      logSeverityLevel: 3,
    });
    const feeds = { [session.inputNames[0] ?? '']: new Tensor('float32', planes, [1, 3, SIZE, SIZE]) };
    const expected = (await session.run(feeds))[session.outputNames[0] ?? '']?.data as Float32Array;
    await session.release();

    await tf.setBackend('cpu');
    const tfjs = new TfjsNetwork(graph, learning);
    t.is(tfjs.variables.length, learning.length);
    const images = tf.tensor4d(pixels, [1, SIZE, SIZE, 3]);
    const frozen = tfjs.frozen(images);
    t.true(frozen.size > 0);
    const actual = tfjs.logits(images, frozen).dataSync();
    const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const worst = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - (actual[i] ?? Number.NaN))), 0);
    t.is(actual.length, expected.length);
    t.true(worst <= TOLERANCE * largest, `${worst} of ${largest}`);

    const { grads } = tf.variableGrads(() => tfjs.logits(images, frozen).square().sum().asScalar(), tfjs.variables);
    t.is(Object.keys(grads).length, learning.length);
    for (const [variable, gradient] of Object.entries(grads)) {
      t.true(Number.isFinite(gradient.abs().sum().dataSync()[0]), variable);
    }
  });
}
