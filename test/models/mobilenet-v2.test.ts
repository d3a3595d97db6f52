import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as pureTf from '@tensorflow/tfjs';
import test from 'ava';
import { z } from 'zod';
import { ensureMobileNetV2, readMobileNetV2Manifest, readPackagedModel } from '../../models/mobilenet-v2/build.ts';
import { decodeModel, type ModelProto } from '../../models/onnx/proto.ts';
import { layersModelFromParts } from '../../models/tfjs/layers-model.ts';
import { ModelError } from '../../runtime/errors.ts';
import { maxDifference, randomInput, runOnnx } from './tfjs-oracle.ts';

const packagedSchema = z.object({
  modelTopology: z.record(z.string(), z.unknown()),
  weightsManifest: z.tuple([z.object({ weights: z.array(z.custom<pureTf.io.WeightsManifestEntry>()) })]),
});

/** TensorFlow's native binding where someone has installed it, else tfjs's own JavaScript. */
async function tensorFlow(): Promise<{ tf: typeof pureTf; name: string }> {
  const name = '@tensorflow/tfjs-node';
  try {
    return { tf: await import(name), name };
  } catch {
    await pureTf.setBackend('cpu');
    return { tf: pureTf, name: '@tensorflow/tfjs' };
  }
}

async function built(folder: string): Promise<ModelProto> {
  return decodeModel(new Uint8Array(await readFile(await ensureMobileNetV2(folder))));
}

const cache = await mkdtemp(join(tmpdir(), 'edgeshift-mobilenet-'));
test.after.always(() => rm(cache, { recursive: true, force: true }));

test.serial('built once, rebuilt where damaged, nothing left beside it', async (t) => {
  const path = await ensureMobileNetV2(cache);
  const bytes = await readFile(path);
  await writeFile(path, bytes.subarray(0, 1000));
  t.is(await ensureMobileNetV2(cache), path);
  t.true(bytes.equals(await readFile(path)));
  t.deepEqual(await readdir(cache), ['mobilenet-v2.onnx']);
});

test.serial('structure: norms kept, pads folded, symbolic batch, metadata', async (t) => {
  const { graph, metadataProps, opsetImport } = await built(cache);
  const counts: Record<string, number> = {};
  for (const { opType } of graph?.node ?? []) counts[opType] = (counts[opType] ?? 0) + 1;
  t.deepEqual(counts, {
    Conv: 52,
    BatchNormalization: 52,
    Clip: 35,
    Add: 10,
    GlobalAveragePool: 1,
    Flatten: 1,
    Gemm: 3,
    Relu: 2,
    Softmax: 1,
  });
  t.is(opsetImport[0]?.version, 17n);
  const manifest = await readMobileNetV2Manifest();
  const names = new Set(graph?.node.map((node) => node.name));
  t.true(manifest.dropLayers.every((name) => names.has(name)));
  t.true(graph?.node.some((node) => node.output.includes(manifest.features.tensor)));
  const metadata = Object.fromEntries(metadataProps.map(({ key, value }) => [key, value]));
  t.deepEqual(metadata, {
    'edgeshift.preprocessing': '{"scale":[0.00392156862745098,0.00392156862745098,0.00392156862745098],"bias":[0,0,0]}',
    'edgeshift.drop_layers': 'dense_1,dense_1/relu,dense_2,dense_2/relu,dense_3,dense_3/softmax',
  });
});

test.serial('exact zero variances survive the conversion', async (t) => {
  const { json, weightBytes } = await readPackagedModel(await readMobileNetV2Manifest());
  const { weights } = layersModelFromParts(json, weightBytes);
  const countZeros = (data: Float32Array) => data.reduce((count, value) => count + (value === 0 ? 1 : 0), 0);
  const { graph } = await built(cache);
  let zeros = 0;
  for (const tensor of graph?.initializer ?? []) {
    if (!tensor.name.endsWith('/moving_variance')) continue;
    const written = new Float32Array(new Uint8Array(tensor.rawData).buffer);
    t.is(countZeros(written), countZeros(weights.get(tensor.name)?.data ?? new Float32Array(1)), tensor.name);
    zeros += countZeros(written);
  }
  t.true(zeros > 0, 'the package is known to hold zero variances');
});

test.serial('probabilities equal those of TensorFlow.js on two random images', async (t) => {
  const seed = 5;
  const { tf, name } = await tensorFlow();
  const { json, weightBytes } = await readPackagedModel(await readMobileNetV2Manifest());
  const { modelTopology, weightsManifest } = packagedSchema.parse(json);
  const weightSpecs = weightsManifest[0].weights;
  const weightData = new Uint8Array(weightBytes).buffer;
  const model = await tf.loadLayersModel(tf.io.fromMemory({ modelTopology, weightSpecs, weightData }));

  const input = randomInput([2, 224, 224, 3], seed);
  const predicted = model.predict(tf.tensor4d(input.dataSync(), [2, 224, 224, 3]));
  if (Array.isArray(predicted)) throw new Error('the model has several outputs');
  const expected = await predicted.data<'float32'>();
  const actual = await runOnnx(await built(cache), input);
  const difference = maxDifference(expected, actual.data);
  t.log(`${name}: largest difference ${difference}`);
  t.true(difference <= 1e-5, `seed ${seed}: differs by ${difference}, allowed 1e-5`);
});

test('package that is absent, or whose files are not the expected ones', async (t) => {
  const manifest = await readMobileNetV2Manifest();
  const { source } = manifest;
  await t.throwsAsync(readPackagedModel({ ...manifest, source: { ...source, package: 'edgeshift-no-such-package' } }), {
    instanceOf: ModelError,
    message: /edgeshift-no-such-package, which holds the weights, is not installed/,
  });
  const modelFile = { ...source.modelFile, sha256: '0'.repeat(64) };
  await t.throwsAsync(readPackagedModel({ ...manifest, source: { ...source, modelFile } }), {
    instanceOf: ModelError,
    message: /model\.min\.js: sha256 c32f.* is not the expected 0000/,
  });
  const absent = [{ path: 'dist/absent.js', sha256: '0'.repeat(64) }];
  await t.throwsAsync(readPackagedModel({ ...manifest, source: { ...source, weightFiles: absent } }), {
    instanceOf: ModelError,
    message: /absent\.js: this file of nsfwjs is missing/,
  });
});

test('cache folder that cannot be made', async (t) => {
  const file = join(cache, '..', `${Date.now()}-edgeshift-file`);
  await writeFile(file, '');
  await t.throwsAsync(ensureMobileNetV2(join(file, 'cache')), { instanceOf: ModelError, message: /cannot be written/ });
  await rm(file);
});
