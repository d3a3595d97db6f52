/**
 * @file TensorFlow.js's training steps on demand: the same tensors learn as in edgeshift's plan, the frozen part runs outside
 * of the gradient. Arguments as those of step-server.ts; `threads` does not matter, since in Node it has one.
 *
 * The backend is wasm where @tensorflow/tfjs-backend-wasm is installed and has every kernel the step needs (it has none for
 * the weight gradients of convolutions), else the plain JavaScript one. The first step is taken before it is ready.
 */
import * as tf from '@tensorflow/tfjs';
import { prepareTraining, trainedNames } from '../../runtime/train/prepare.ts';
import { Random } from '../../runtime/train/random.ts';
import { serveSteps } from './line-server.ts';
import { LEARNING_RATE, MOMENTUM, type StepServerOptions, stepConfig } from './step-options.ts';
import { TfjsNetwork } from './tfjs-network.ts';

const options = JSON.parse(process.argv[2] ?? '{}') as StepServerOptions;
const { batch, size, classes } = options;
const { graph, plan } = await prepareTraining(stepConfig(options), classes);
const random = new Random(1);
const pixels = Float32Array.from({ length: batch * size * size * 3 }, () => random.uniform());
const targets = Int32Array.from({ length: batch }, () => random.integer(0, classes - 1));

/** Builds the step on a backend and takes it once. @throws Error if the backend lacks a kernel */
async function build(backend: string): Promise<{ step: () => Promise<number>; trainableParameters: number }> {
  await tf.setBackend(backend);
  const network = new TfjsNetwork(graph, trainedNames(graph, plan));
  const optimizer = tf.train.momentum(LEARNING_RATE, MOMENTUM);
  const images = tf.tensor4d(pixels, [batch, size, size, 3]);
  const labels = tf.oneHot(tf.tensor1d(targets, 'int32'), classes).toFloat();
  const { variables } = network;
  const step = async (): Promise<number> => {
    const frozen = network.frozen(images);
    const loss = optimizer.minimize(
      () => tf.losses.softmaxCrossEntropy(labels, network.logits(images, frozen)).asScalar(),
      true,
      variables,
    ) as tf.Scalar;
    const [value = Number.NaN] = await loss.data();
    tf.dispose([loss, ...frozen.values()]);
    return value;
  };
  await step();
  return { step, trainableParameters: variables.reduce((sum, variable) => sum + variable.size, 0) };
}

/** Registers the wasm backend; false if it is not installed. */
async function findWasm(): Promise<boolean> {
  const name = '@tensorflow/tfjs-backend-wasm';
  try {
    await import(name);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND') return false;
    throw error;
  }
}

tf.env().set('PROD', true);
let why = 'its wasm backend is not installed';
let built: Awaited<ReturnType<typeof build>> | null = null;
if (await findWasm()) {
  try {
    built = await build('wasm');
  } catch (error) {
    why = `wasm: ${error instanceof Error ? error.message : error}`;
  }
}
const backend = built ? 'wasm' : 'cpu';
const { step, trainableParameters } = built ?? (await build('cpu'));
await serveSteps({ trainableParameters, backend, why: built ? null : why, tfjs: tf.version_core }, step);
