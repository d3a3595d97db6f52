import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import test from 'ava';
import { decodeModel } from '../../models/onnx/proto.ts';
import { convertLayersModel } from '../../models/tfjs/convert.ts';
import { layersModelFromParts, readLayersModel } from '../../models/tfjs/layers-model.ts';
import { toOnnx } from '../../models/tfjs/to-onnx.ts';
import { ModelError, ShapeError, UnsupportedOpError } from '../../runtime/errors.ts';
import { type SavedModel, saveModel, toModelJson } from './tfjs-oracle.ts';

async function smallModel(): Promise<SavedModel> {
  await tf.setBackend('cpu');
  const layers = [
    tf.layers.conv2d({ name: 'stem', filters: 4, kernelSize: 3, inputShape: [6, 6, 3] }),
    tf.layers.globalAveragePooling2d({ name: 'pool' }),
    tf.layers.dense({ name: 'head', units: 2 }),
  ];
  return await saveModel(tf.sequential({ layers }));
}

/** Writes model.json and two shards, cut where no weight ends. */
async function writeModel(folder: string, saved: SavedModel): Promise<string> {
  const path = join(folder, 'model.json');
  const manifest = [{ paths: ['one.bin', 'two.bin'], weights: saved.weightSpecs }];
  await writeFile(path, JSON.stringify({ modelTopology: saved.modelTopology, weightsManifest: manifest }));
  await writeFile(join(folder, 'one.bin'), saved.weightBytes.subarray(0, 101));
  await writeFile(join(folder, 'two.bin'), saved.weightBytes.subarray(101));
  return path;
}

async function withFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'edgeshift-tfjs-'));
  try {
    await run(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

test('model.json with two shards is converted to an .onnx file, and nothing else is left behind', async (t) => {
  await withFolder(async (folder) => {
    const out = join(folder, 'out.onnx');
    await convertLayersModel(await writeModel(folder, await smallModel()), out);
    const { graph } = decodeModel(new Uint8Array(await readFile(out)));
    t.deepEqual(
      graph?.node.map((node) => node.name),
      ['stem', 'pool', 'pool/flatten', 'head'],
    );
    t.deepEqual(await readdir(folder), ['model.json', 'one.bin', 'out.onnx', 'two.bin']);
  });
});

test('missing shard', async (t) => {
  await withFolder(async (folder) => {
    const path = await writeModel(folder, await smallModel());
    await rm(join(folder, 'two.bin'));
    await t.throwsAsync(readLayersModel(path), { instanceOf: ModelError, message: /two\.bin: weight shard.*ENOENT/s });
  });
});

test('truncated shard', async (t) => {
  await withFolder(async (folder) => {
    const path = await writeModel(folder, await smallModel());
    await writeFile(join(folder, 'one.bin'), new Uint8Array(100));
    await t.throwsAsync(readLayersModel(path), {
      instanceOf: ModelError,
      message: /one\.bin, two\.bin hold 487 bytes but the manifest describes 488/,
    });
  });
});

test('shard outside the folder', async (t) => {
  await withFolder(async (folder) => {
    const saved = await smallModel();
    const path = join(folder, 'model.json');
    const weightsManifest = [{ paths: ['../weights.bin'], weights: saved.weightSpecs }];
    await writeFile(path, JSON.stringify({ modelTopology: saved.modelTopology, weightsManifest }));
    await t.throwsAsync(readLayersModel(path), { instanceOf: ModelError, message: /outside the model's folder/ });
  });
});

test('missing model.json, and one that is not JSON', async (t) => {
  await withFolder(async (folder) => {
    const path = join(folder, 'model.json');
    await t.throwsAsync(readLayersModel(path), {
      instanceOf: ModelError,
      message: /model\.json: the model file cannot be read/,
    });
    await writeFile(path, '<html>');
    await t.throwsAsync(readLayersModel(path), { instanceOf: ModelError, message: /not JSON/ });
  });
});

test('out path that cannot be written', async (t) => {
  await withFolder(async (folder) => {
    const path = await writeModel(folder, await smallModel());
    await t.throwsAsync(convertLayersModel(path, join(folder, 'absent', 'out.onnx')), {
      instanceOf: ModelError,
      message: /out\.onnx: the ONNX file cannot be written/,
    });
  });
});

test('JSON that is no layers model', (t) => {
  const none = new Uint8Array(0);
  for (const json of [null, [], {}, { modelTopology: 3 }]) {
    t.throws(() => layersModelFromParts(json, none), { instanceOf: ModelError, message: /"modelTopology" is missing/ });
  }
  t.throws(() => layersModelFromParts({ modelTopology: {}, weightsManifest: [] }, none), {
    instanceOf: ModelError,
    message: /no Keras model/,
  });
  const modelTopology = { class_name: 'Sequential', config: { layers: [] } };
  t.throws(() => layersModelFromParts({ modelTopology }, none), {
    instanceOf: ModelError,
    message: /"weightsManifest"/,
  });
  t.throws(() => layersModelFromParts({ modelTopology, weightsManifest: [] }, none), {
    instanceOf: ModelError,
    message: /no layers/,
  });
});

test('graph model is refused with a hint', (t) => {
  const json = { format: 'graph-model', modelTopology: { node: [] }, weightsManifest: [] };
  t.throws(() => layersModelFromParts(json, new Uint8Array(0)), {
    instanceOf: ModelError,
    message: /graph model.*\nHint: .*tensorflowjs_converter/s,
  });
});

test('every unsupported layer is listed at once, with counts and names', (t) => {
  const layers = [
    { class_name: 'InputLayer', config: { name: 'in', batch_input_shape: [null, 8, 8, 3] } },
    { class_name: 'Lambda', config: { name: 'first' } },
    { class_name: 'Lambda', config: { name: 'second' } },
    { class_name: 'Conv2D', config: { name: 'conv', data_format: 'channels_first' } },
    { class_name: 'Activation', config: { name: 'act', activation: 'gelu' } },
    { class_name: 'ReLU', config: { name: 'relu', threshold: 1 } },
  ];
  const json = { modelTopology: { class_name: 'Sequential', config: { layers } }, weightsManifest: [] };
  const error = t.throws(() => toOnnx(layersModelFromParts(json, new Uint8Array(0))), {
    instanceOf: UnsupportedOpError,
  });
  t.true(error.message.includes('Lambda x2: "first", "second" (layer type is not known)'), error.message);
  t.true(error.message.includes('Conv2D x1: "conv" (data_format "channels_first")'), error.message);
  t.true(error.message.includes('Activation x1: "act" (activation "gelu")'), error.message);
  t.true(error.message.includes('ReLU x1: "relu" (threshold 1)'), error.message);
});

function functional(layers: readonly object[], output: string): object {
  const config = { layers, input_layers: [['in', 0, 0]], output_layers: [[output, 0, 0]] };
  return { modelTopology: { class_name: 'Model', config }, weightsManifest: [] };
}
const input = {
  name: 'in',
  class_name: 'InputLayer',
  config: { batch_input_shape: [null, 8, 8, 3] },
  inbound_nodes: [],
};

test('functional graph that names an absent layer or feeds itself', (t) => {
  const relu = (name: string, from: string) => ({
    name,
    class_name: 'ReLU',
    config: {},
    inbound_nodes: [[[from, 0, 0, {}]]],
  });
  t.throws(() => layersModelFromParts(functional([input, relu('a', 'ghost')], 'a'), new Uint8Array(0)), {
    instanceOf: ModelError,
    message: /"ghost" is used but not defined/,
  });
  t.throws(() => layersModelFromParts(functional([input, relu('a', 'b'), relu('b', 'a')], 'a'), new Uint8Array(0)), {
    instanceOf: ModelError,
    message: /depends on its own output/,
  });
});

test('Keras 3 notation of inputs is understood', (t) => {
  const history = { class_name: '__keras_tensor__', config: { keras_history: ['in', 0, 0] } };
  const relu = { name: 'a', class_name: 'ReLU', config: {}, inbound_nodes: [{ args: [history], kwargs: {} }] };
  const keras3Input = { ...input, config: { batch_shape: [null, 8, 8, 3] } };
  const model = toOnnx(layersModelFromParts(functional([keras3Input, relu], 'a'), new Uint8Array(0)));
  t.deepEqual(
    model.graph?.node.map((node) => `${node.name}(${node.input})`),
    ['a(in)'],
  );
});

test('weights that are missing or do not fit', async (t) => {
  const saved = await smallModel();
  const bare = { ...saved, weightSpecs: saved.weightSpecs.filter(({ name }) => name !== 'head/kernel') };
  t.throws(() => toOnnx(layersModelFromParts(toModelJson(bare), saved.weightBytes.subarray(0, -32))), {
    instanceOf: ModelError,
    message: /Dense "head" has no weight "head\/kernel"/,
  });
  t.throws(() => layersModelFromParts(toModelJson(saved), saved.weightBytes.subarray(1)), {
    instanceOf: ModelError,
    message: /describes 488 bytes but the weight data hold 487/,
  });
  const bent = saved.weightSpecs.map((spec) => (spec.name === 'head/kernel' ? { ...spec, shape: [2, 4] } : spec));
  t.throws(() => toOnnx(layersModelFromParts(toModelJson({ ...saved, weightSpecs: bent }), saved.weightBytes)), {
    instanceOf: ShapeError,
    message: /Dense "head": expected 2 features \(weight "head\/kernel"\) but got \[N,4\]/,
  });
});

test('an input of open size needs imageSize', (t) => {
  const open = { ...input, config: { batch_input_shape: [null, null, null, 3] } };
  const relu = { name: 'a', class_name: 'ReLU', config: {}, inbound_nodes: [[['in', 0, 0, {}]]] };
  const model = layersModelFromParts(functional([open, relu], 'a'), new Uint8Array(0));
  t.throws(() => toOnnx(model), { instanceOf: ModelError, message: /leaves its size open/ });
  t.is(toOnnx(model, { imageSize: 32 }).graph?.input.length, 1);
});
