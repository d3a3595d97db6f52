/**
 * @file Bare onnxruntime inference on demand, with its own defaults but for the number of threads. Arguments: ONNX file,
 * batch, image size, threads.
 */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { Random } from '../../runtime/train/random.ts';
import { serveSteps } from './line-server.ts';

const [model = '', ...numbers] = process.argv.slice(2);
const [batch = 1, size = 224, threads = 1] = numbers.map(Number);
const session = await InferenceSession.create(model, { intraOpNumThreads: threads, logSeverityLevel: 3 });
const random = new Random(1);
const pixels = Float32Array.from({ length: batch * 3 * size * size }, () => random.uniform());
const feeds = { [session.inputNames[0] ?? '']: new Tensor('float32', pixels, [batch, 3, size, size]) };

await serveSteps({}, async () => {
  await session.run(feeds);
  return null;
});
await session.release();
