import test, { type ExecutionContext } from 'ava';
import { importGraph } from '../../models/onnx/import.ts';
import { encodeModel } from '../../models/onnx/proto.ts';
import type { SchemeOptions } from '../../runtime/scheme/options.ts';
import { assertClose } from '../support/compare.ts';
import { randomImages } from '../support/draws.ts';
import { mobileNetFile } from '../support/mobilenet.ts';
import { runOnnxruntime } from '../support/onnx-models.ts';
import { plan as makePlan, openCpu } from '../support/training.ts';

const seed = 11;

function softmax(logits: Float32Array, classes: number): Float64Array {
  const probabilities = Float64Array.from(logits, Math.exp);
  for (let from = 0; from < logits.length; from += classes) {
    const row = probabilities.subarray(from, from + classes);
    const sum = row.reduce((total, value) => total + value, 0);
    row.forEach((value, c) => {
      row[c] = value / sum;
    });
  }
  return probabilities;
}

const check = test.macro(
  async (t: ExecutionContext, scheme: SchemeOptions['name'], blocks: number, microBatch: number) => {
    const file = await mobileNetFile();
    const { graph } = importGraph(file, undefined);
    t.is(graph.tail, 'softmax');
    const plan = makePlan(graph, { scheme, blocks, batch: 3, microBatch });
    const images = randomImages(seed, 3, 224);
    const engine = await openCpu(plan, graph, file);
    const logits = await engine.forward({ count: 3, images });
    const pixels = Float32Array.from(images, (pixel) => pixel / 255);
    const expected = await runOnnxruntime(encodeModel(file.proto), pixels, [224, 224, 3]);
    assertClose(t, softmax(logits, plan.classes), expected, { rtol: 1e-4, atol: 1e-5 }, `probabilities, seed ${seed}`);
    const features = await engine.features(images, 3);
    const again = await engine.forward({ count: 3, features });
    t.deepEqual(again, logits, 'from cached features the same');
    await engine[Symbol.asyncDispose]();
  },
);

test('MobileNetV2 with its own head equals onnxruntime: everything in the prefix', check, 'head', 0, 2);
test('MobileNetV2 with its own head equals onnxruntime: 3 blocks outside the prefix', check, 'mobiletl', 3, 3);
test('MobileNetV2 with its own head equals onnxruntime: no prefix', check, 'mobiletl', 17, 1);
