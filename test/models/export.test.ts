import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { InferenceSession } from 'onnxruntime-node';
import { exportModel } from '../../models/onnx/export.ts';
import { readModelFile } from '../../models/onnx/model-file.ts';
import { openModel } from '../../models/onnx/open-model.ts';
import { DataType, encodeModel, type ModelProto, makeNode } from '../../models/onnx/proto.ts';
import { floatData, setFloatData } from '../../models/onnx/tensor-data.ts';
import type { Delta } from '../../runtime/delta/delta.ts';
import { DeltaError, ModelError } from '../../runtime/errors.ts';
import { OnnxBuilder, runOnnxruntime } from '../support/onnx-models.ts';
import { largestDifference, type ShortTraining, type TrainedModel, trainAndExport } from '../support/train-export.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-export-'));
test.after.always(() => rm(root, { recursive: true, force: true }));

const TOLERANCE = 1e-4;

/** Initializers of a model as bytes, by name. */
const tensorsOf = ({ graph }: ModelProto): Map<string, Uint8Array> =>
  new Map(graph?.initializer.map(({ name, rawData }) => [name, rawData]));

/** Trains, exports, and holds the file to the engine and to the file it came from. */
async function exported(t: ExecutionContext, model: ModelProto, options: ShortTraining = {}): Promise<TrainedModel> {
  const trained = await trainAndExport(await mkdtemp(join(root, 'm-')), model, options);
  const difference = largestDifference(trained.own, trained.bare);
  t.true(difference <= TOLERANCE, `probabilities differ by ${difference}`);
  const before = tensorsOf(trained.base.proto);
  for (const [name, bytes] of tensorsOf(trained.exported)) {
    if (name.startsWith('edgeshift_head')) continue;
    const same = Buffer.compare(bytes, before.get(name) ?? new Uint8Array()) === 0;
    t.is(same, !trained.delta.tensors.has(name), `${name} ${same ? 'is as before' : 'has changed'}`);
  }
  return trained;
}

/** Three convolutions with norms kept, the middle one depthwise and a residual sum above. */
function keptNorms(options = {}): OnnxBuilder {
  const b = new OnnxBuilder({ size: 16, seed: 4, ...options });
  const stem = b.relu6('stem_relu', b.norm('stem_norm', b.conv('stem', 'image', 8, { kernel: 3, stride: 2 })));
  const wide = b.relu6('expand_relu', b.norm('expand_norm', b.conv('expand', stem, 16)));
  const depth = b.relu6('depth_relu', b.norm('depth_norm', b.conv('depth', wide, 16, { kernel: 3, depthwise: true })));
  const sum = b.add('sum', b.norm('project_norm', b.conv('project', depth, 8)), stem);
  b.head(sum, 5);
  return b;
}

const nodesOf = ({ graph }: ModelProto): string[] => (graph?.node ?? []).map(({ name }) => name);

for (const [scheme, learnt] of Object.entries({
  head: [],
  shifts: ['expand_norm.shift', 'depth_norm.shift', 'project_norm.shift'],
  mobiletl: [
    ...['expand.weight', 'expand_norm.shift', 'depth.weight', 'depth_norm.shift', 'project.weight'],
    ...['project_norm.scale', 'project_norm.shift'],
  ],
})) {
  test(`${scheme}: norms that were kept learn in their own tensors, and the structure stays`, async (t) => {
    const config = { scheme: scheme as 'head', blocks: 1 };
    const { delta, base, exported: file } = await exported(t, keptNorms().model(), { config });
    t.deepEqual([...delta.tensors.keys()], [...learnt, 'edgeshift_head.weight', 'edgeshift_head.bias']);
    t.deepEqual(nodesOf(file), [...nodesOf(base.proto).slice(0, -1), 'edgeshift_head']);
    t.is(file.graph?.output[0]?.name, 'logits', "the output keeps the user's name");
  });
}

test('folded norms: the convolution has a bias, and that is what learns', async (t) => {
  const b = new OnnxBuilder({ size: 16, seed: 5 });
  const stem = b.relu('stem_relu', b.conv('stem', 'image', 8, { kernel: 3, stride: 2, bias: true }));
  const depth = b.relu('depth_relu', b.conv('depth', stem, 8, { kernel: 3, depthwise: true, bias: true }));
  b.head(b.conv('project', depth, 12, { bias: true }), 5);
  const { delta } = await exported(t, b.model(), { config: { scheme: 'shifts', blocks: 1 } });
  t.true(delta.tensors.has('depth.bias') && delta.tensors.has('project.bias'));
  t.false([...delta.tensors.keys()].some((name) => /^(stem|depth|project)\.weight$/.test(name)));
  await exported(t, b.model(), { config: { scheme: 'mobiletl', blocks: 1 } });
});

test('a head that is kept is changed in place: no node comes or goes', async (t) => {
  const model = keptNorms().model();
  const {
    delta,
    base,
    exported: file,
  } = await exported(t, model, {
    classes: ['a', 'b', 'c', 'd', 'e'],
    config: { scheme: 'mobiletl', blocks: 1 },
  });
  t.is(delta.drop, null);
  t.true(delta.tensors.has('logits.weight') && delta.tensors.has('logits.bias'));
  t.deepEqual(file.graph?.node, base.proto.graph?.node);
  t.deepEqual(file.graph?.output, base.proto.graph?.output);
});

test('a Gemm with an untransposed weight, and MatMul + Add, learn in the layout of the file', async (t) => {
  const b = new OnnxBuilder({ size: 16, seed: 6 });
  const flat = b.node('Flatten', 'flat', [
    b.node('GlobalAveragePool', 'pool', [b.conv('conv', 'image', 6, { bias: true })]),
  ]);
  const hidden = b.relu('hidden_relu', b.gemm('hidden', flat, 7, false));
  b.weight(
    'out.weight',
    [7, 3],
    Float32Array.from({ length: 21 }, (_, i) => Math.sin(i)),
  );
  b.weight('out.bias', [3], [0.1, -0.2, 0.3]);
  b.node('Add', 'logits', [b.node('MatMul', 'product', [hidden, 'out.weight'], {}, 3), 'out.bias']);
  const { delta } = await exported(t, b.model(), { config: { scheme: 'mobiletl', blocks: 1 } });
  t.deepEqual(delta.tensors.get('out.weight')?.shape, [7, 3]);
});

for (const drop of ['pool', 'sum', 'project_norm']) {
  test(`a head in place of "${drop}" stands on a map, flattened as the file does`, async (t) => {
    const { exported: file, delta } = await exported(t, keptNorms().model(), {
      config: { scheme: 'mobiletl', blocks: 0, drop: [drop] },
    });
    t.deepEqual(delta.drop, [drop]);
    const names = nodesOf(file);
    t.deepEqual(names.slice(-2), ['edgeshift_head.flatten', 'edgeshift_head']);
    t.false(names.includes('pool'));
    t.true(names.every((name) => nodesOf(keptNorms().model()).includes(name) || name.startsWith('edgeshift_head')));
  });
}

test('a final softmax and the name of the output stay', async (t) => {
  const b = keptNorms();
  b.node('Softmax', 'probabilities', ['logits'], { axis: 1 });
  const { exported: file, bare } = await exported(t, b.model(['probabilities']), { config: { scheme: 'head' } });
  t.is(file.graph?.output[0]?.name, 'probabilities');
  t.is(file.graph?.node.at(-1)?.opType, 'Softmax');
  for (let n = 0; n < bare.length; n += 3) {
    const sum = bare.subarray(n, n + 3).reduce((total, value) => total + value, 0);
    t.true(Math.abs(sum - 1) <= 1e-5, 'rows are probabilities');
  }
});

test('frozen layers that only onnxruntime knows stay as they are', async (t) => {
  const b = new OnnxBuilder({ size: 16, seed: 7 });
  const stem = b.relu('stem_relu', b.conv('stem', 'image', 8, { kernel: 3, bias: true }));
  const pooled = b.node('LpPool', 'max', [stem], { kernel_shape: [2, 2], strides: [2, 2] });
  b.head(b.relu('top_relu', b.conv('top', pooled, 12, { bias: true })), 5);
  const { exported: file } = await exported(t, b.model(), { config: { scheme: 'mobiletl', blocks: 1 } });
  t.true(nodesOf(file).includes('max'));
});

test('an initializer that several layers share stays one', async (t) => {
  const b = new OnnxBuilder({ size: 16, seed: 8 });
  b.weight('shared.bias', [8], new Float32Array(8));
  const shared = (name: string, x: string, kernel: number): string => {
    const y = b.conv(name, x, 8, { kernel });
    b.nodes.at(-1)?.input.push('shared.bias');
    return b.relu(`${name}_relu`, y);
  };
  b.head(shared('c', shared('b', shared('a', 'image', 3), 3), 1), 5);
  const all = await exported(t, b.model(), { config: { scheme: 'full' } });
  t.true(all.delta.tensors.has('shared.bias'));
  // One that the frozen part reads too does not train: what runs there has the old values.
  const top = await exported(t, b.model(), { config: { scheme: 'shifts', blocks: 1 } });
  t.false(top.delta.tensors.has('shared.bias'));
});

test('weights in Constant nodes are written back into them, whatever name their tensor has', async (t) => {
  const b = keptNorms();
  // Every second weight moves; its tensor takes the name of an initializer that stays.
  const moved = b.initializers.filter((_, i) => i % 2 === 0);
  const model = b.model();
  const graph = model.graph;
  if (!graph) throw new Error('no graph');
  graph.initializer = b.initializers.filter((_, i) => i % 2 === 1);
  const decoy = graph.initializer[0]?.name ?? '';
  for (const tensor of moved) {
    const constant = makeNode('Constant', `${tensor.name}.constant`, [], [tensor.name]);
    constant.attribute = [{ ...makeNode('Constant', '', [], [], { value: 1 }).attribute[0], type: 4 } as never];
    for (const attribute of constant.attribute) attribute.t = { ...tensor, name: decoy };
    graph.node.unshift(constant);
  }
  const { delta, exported: file } = await exported(t, model, { config: { scheme: 'mobiletl', blocks: 1 } });
  const learnt = moved.filter(({ name }) => delta.tensors.has(name));
  t.true(learnt.length >= 3, 'some of what learns lies in Constant nodes');
  for (const { name } of learnt) {
    const value = file.graph?.node.find(({ output }) => output[0] === name)?.attribute[0]?.t;
    t.deepEqual(value && floatData(value), delta.tensors.get(name)?.data, name);
  }
});

test('float16 weights are written back as float16', async (t) => {
  const b = new OnnxBuilder({ size: 16, seed: 9 });
  const half = b.node('Cast', 'half', ['image'], { to: DataType.FLOAT16 });
  const flat = b.node('Flatten', 'flat', [
    b.node('GlobalAveragePool', 'pool', [b.conv('conv', half, 6, { bias: true })]),
  ]);
  b.node('Cast', 'logits', [b.gemm('scores', flat, 3)], { to: DataType.FLOAT });
  for (const tensor of b.initializers) {
    const data = floatData(tensor);
    tensor.dataType = DataType.FLOAT16;
    setFloatData(tensor, data);
  }
  const path = join(root, 'half.onnx');
  await writeFile(path, encodeModel(b.model()));
  const file = await readModelFile(path);
  const learnt = Float32Array.of(0.1, -0.25, 1 / 3, 1e-7, 65504, 2);
  const tensors = new Map([['conv.bias', { name: 'conv.bias', shape: [6], data: learnt }]]);
  const out = join(root, 'half-out.onnx');
  await exportModel(file, { ...handMade(file.sha256), tensors }, out);
  const bias = (await readModelFile(out)).proto.graph?.initializer.find(({ name }) => name === 'conv.bias');
  t.is(bias?.dataType, DataType.FLOAT16);
  t.is(bias?.rawData.length, 12);
  // The nearest halves: 0.1 and 1/3 have 11 significant bits, 1e-7 is two steps of 2^-24.
  const halves = [0.0999755859375, -0.25, 0.333251953125, 2 * 2 ** -24, 65504, 2];
  t.deepEqual(bias && [...floatData(bias)], halves);
  const output = await runOnnxruntime(await readFile(out), new Float32Array(16 * 16 * 3).fill(0.5), [16, 16, 3]);
  t.is(output.length, 3, 'onnxruntime runs it');
});

const handMade = (base: string): Delta => ({
  ...{ base, imageSize: 16, classes: ['a', 'b', 'c'], drop: null, notes: {}, tensors: new Map() },
  preprocessing: { scale: [1, 1, 1], bias: [0, 0, 0] },
});

test('another image size than the file was made for is declared', async (t) => {
  const { exportedPath } = await exported(t, keptNorms().model(), { config: { scheme: 'head', imageSize: 24 } });
  t.is((await openModel(exportedPath)).imageSize, 24);
});

test('the same delta twice gives the same bytes', async (t) => {
  const { basePath, delta, exportedPath } = await exported(t, keptNorms().model(), {
    config: { scheme: 'mobiletl', blocks: 1 },
  });
  const again = join(root, 'again.onnx');
  await exportModel(await readModelFile(basePath), delta, again);
  t.true((await readFile(again)).equals(await readFile(exportedPath)));
});

test('the exported file says its classes and preprocessing, and can be trained further', async (t) => {
  const first = await exported(t, keptNorms().model(), {
    config: { scheme: 'mobiletl', blocks: 1, preprocessing: { scale: [0.01, 0.02, 0.03], bias: [-1, 0, 1] } },
    classes: ['x', 'ÿ', 'z'],
  });
  const opened = await openModel(first.exportedPath);
  t.deepEqual(opened.classes, ['x', 'ÿ', 'z']);
  t.deepEqual(opened.preprocessing, first.delta.preprocessing);
  const kept = await exported(t, first.exported, { classes: ['x', 'ÿ', 'z'], config: { scheme: 'shifts', blocks: 1 } });
  t.is(kept.delta.drop, null);
  t.deepEqual(nodesOf(kept.exported), nodesOf(first.exported));
  const more = await exported(t, first.exported, {
    classes: ['x', 'y', 'z', 'w'],
    config: { scheme: 'shifts', blocks: 1 },
  });
  t.deepEqual(nodesOf(more.exported), nodesOf(first.exported));
  t.deepEqual((await openModel(more.exportedPath)).classes, ['x', 'y', 'z', 'w']);
});

test('a delta for another base, or of other tensors, is refused and nothing is written', async (t) => {
  const folder = await mkdtemp(join(root, 'refused-'));
  const path = join(folder, 'base.onnx');
  await writeFile(path, encodeModel(keptNorms().model()));
  const { sha256 } = await readModelFile(path);
  const out = join(folder, 'out.onnx');
  const attempt = async (delta: Delta): Promise<void> => exportModel(await readModelFile(path), delta, out);
  await t.throwsAsync(attempt(handMade('0'.repeat(64))), {
    instanceOf: DeltaError,
    message: /learnt on another model/,
  });
  const tensor = (name: string, values: number) =>
    new Map([[name, { name, shape: [values], data: new Float32Array(values) }]]);
  await t.throwsAsync(attempt({ ...handMade(sha256), tensors: tensor('no.such', 3) }), {
    instanceOf: DeltaError,
    message: /"no.such"/,
  });
  await t.throwsAsync(attempt({ ...handMade(sha256), tensors: tensor('stem_norm.shift', 3) }), {
    instanceOf: DeltaError,
    message: /"stem_norm.shift" with 3 values, .* has \[8\]/,
  });
  t.deepEqual(await readdir(folder), ['base.onnx']);
});

test('external data files are taken into the exported file', async (t) => {
  const folder = await mkdtemp(join(root, 'external-'));
  const model = keptNorms().model();
  const [first] = model.graph?.initializer ?? [];
  if (!first) throw new Error('no weights');
  await writeFile(join(folder, 'weights.bin'), first.rawData);
  first.rawData = new Uint8Array();
  first.dataLocation = 1;
  first.externalData = [{ $typeName: 'onnx.StringStringEntryProto', key: 'location', value: 'weights.bin' }];
  await writeFile(join(folder, 'base.onnx'), encodeModel(model));
  const trained = await trainAndExport(folder, join(folder, 'base.onnx'), { config: { scheme: 'shifts', blocks: 1 } });
  const difference = largestDifference(trained.own, trained.bare);
  t.true(difference <= TOLERANCE, `probabilities differ by ${difference}`);
  const session = await InferenceSession.create(await readFile(trained.exportedPath));
  t.deepEqual(session.outputNames, ['logits'], 'it needs no other file');
  await session.release();
});

test('a classifier that is a convolution: named with drop it gives way, else the error says how', async (t) => {
  const b = new OnnxBuilder({ size: 16, seed: 10 });
  const stem = b.relu('stem_relu', b.conv('stem', 'image', 8, { kernel: 3, stride: 2, bias: true }));
  const fire = b.relu('fire_relu', b.conv('fire', stem, 6, { bias: true }));
  const scores = b.relu('scores_relu', b.conv('scores', fire, 5, { bias: true }));
  b.node('Flatten', 'logits', [b.node('GlobalAveragePool', 'pool', [scores])]);
  const config = { scheme: 'mobiletl', blocks: 1 } as const;
  await t.throwsAsync(exported(t, b.model(), { config }), {
    instanceOf: ModelError,
    message: /no fully connected layer.*\nHint: name the layers to drop with --drop; the last ones are .*"scores"/,
  });
  const { exported: file, delta } = await exported(t, b.model(), { config: { ...config, drop: ['scores'] } });
  t.deepEqual(delta.drop, ['scores']);
  t.deepEqual(nodesOf(file).slice(-2), ['edgeshift_head.flatten', 'edgeshift_head']);
});

test('a head on a map that is channels-last in the file', async (t) => {
  const b = new OnnxBuilder({ size: 8, seed: 11, opset: 17 });
  const x = b.node('Transpose', 'last', [b.conv('conv', 'image', 6, { bias: true })], { perm: [0, 2, 3, 1] });
  const inputs = [x, b.weight('scale', [6], [1, 2, 3, 1, 2, 3]), b.weight('shift', [6], [1, 0, 0, 0, 0, 1])];
  const norm = b.node('LayerNormalization', 'norm', inputs, { axis: -1 });
  b.head(b.node('Transpose', 'first', [norm], { perm: [0, 3, 1, 2] }), 4);
  const { exported: file } = await exported(t, b.model(), { config: { scheme: 'head', drop: ['pool'] } });
  const added = ['edgeshift_head.transpose', 'edgeshift_head.flatten', 'edgeshift_head'];
  t.deepEqual(nodesOf(file).slice(-3), added);
});

test('weights in a list of a Constant node are written back into it', async (t) => {
  const b = new OnnxBuilder({ size: 8, seed: 12 });
  b.head(b.add('sum', b.conv('conv', 'image', 3), 'shift'), 2);
  const constant = makeNode('Constant', 'list', [], ['shift']);
  constant.attribute = [{ ...makeNode('Constant', '', [], [], { value_floats: 1 }).attribute[0], type: 6 } as never];
  for (const attribute of constant.attribute) attribute.floats = [1, 2, 3];
  b.nodes.unshift(constant);
  const model = b.model();
  // The list is one value a channel only along the last axis, so the layer lies behind a transposition.
  const nodes = model.graph?.node ?? [];
  const at = nodes.findIndex(({ name }) => name === 'sum');
  const [turned, back] = [makeNode('Transpose', 'last', ['conv'], ['last'], { perm: [0, 2, 3, 1] }), nodes[at]];
  if (back) back.input = ['last', 'shift'];
  nodes.splice(at, 0, turned);
  nodes.splice(at + 2, 0, makeNode('Transpose', 'first', ['sum'], ['first'], { perm: [0, 3, 1, 2] }));
  for (const node of nodes) if (node.name === 'pool') node.input = ['first'];
  const path = join(root, 'list.onnx');
  await writeFile(path, encodeModel(model));
  const file = await readModelFile(path);
  const tensors = new Map([['shift', { name: 'shift', shape: [3], data: Float32Array.of(4, 5, 6) }]]);
  const out = join(root, 'list-out.onnx');
  await exportModel(file, { ...handMade(file.sha256), imageSize: 8, tensors }, out);
  const list = (await readModelFile(out)).proto.graph?.node.find(({ name }) => name === 'list');
  t.deepEqual(list?.attribute[0]?.floats, [4, 5, 6]);
});
