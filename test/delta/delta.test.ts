import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { applyDelta, type Delta, learntTensor, readDelta, requireBase, writeDelta } from '../../runtime/delta/delta.ts';
import { writeTensors } from '../../runtime/delta/safetensors.ts';
import { DeltaError } from '../../runtime/errors.ts';
import { type Graph, parameterOf } from '../../runtime/graph/graph.ts';
import { replaceHead } from '../../runtime/graph/head.ts';
import { Random } from '../../runtime/train/random.ts';
import { normals } from '../support/draws.ts';
import { importModel, OnnxBuilder } from '../support/onnx-models.ts';

const seed = 21;
const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-delta-'));
test.after.always(() => rm(root, { recursive: true, force: true }));

const facts: Omit<Delta, 'tensors'> = {
  base: 'f'.repeat(64),
  imageSize: 16,
  classes: ['cat', 'dög "x"', ''],
  preprocessing: { scale: [0.1, 0.2, 0.3], bias: [-1, 0, 1] },
  drop: ['a', 'b,c'],
  notes: { scheme: 'head' },
};

/** Every layout a file tensor can have: conv 3x3, depthwise, 1x1, vectors, a matrix in both orders. */
function everyLayout(): Graph {
  const b = new OnnxBuilder({ size: 16, seed });
  const dense = b.norm('dense_norm', b.conv('dense', 'image', 6, { kernel: 3, stride: 2 }));
  const depth = b.conv('depth', dense, 6, { kernel: 3, depthwise: true, bias: true });
  const flat = b.node('Flatten', 'flat', [b.node('GlobalAveragePool', 'pool', [b.conv('point', depth, 10)])]);
  b.gemm('logits', b.relu('hidden_relu', b.gemm('hidden', flat, 7, true)), 3, false);
  return importModel(b.model());
}

/** The graph with other values in every parameter, in the layout of the file. */
async function changed(graph: Graph, name: string): Promise<Delta> {
  const path = join(root, name);
  const random = new Random(seed);
  const tensors = [...graph.parameters.values()].map((parameter) =>
    learntTensor(parameter, async () => Float32Array.from(normals(random, parameter.shape))),
  );
  await writeDelta(path, facts, tensors);
  return readDelta(path);
}

test('a delta is read as it was written', async (t) => {
  const delta = await changed(everyLayout(), 'facts.safetensors');
  t.like(delta, { ...facts, classes: [...facts.classes], drop: ['a', 'b,c'] });
  const path = join(root, 'kept.safetensors');
  await writeDelta(path, { ...facts, drop: null }, []);
  t.is((await readDelta(path)).drop, null);
});

test('tensors lie in the file as in the ONNX file: conv OIHW, depthwise O1HW, gemm in its own order', async (t) => {
  const graph = everyLayout();
  const { tensors } = await changed(graph, 'layouts.safetensors');
  const expected = {
    'dense.weight': [6, 3, 3, 3],
    'depth.weight': [6, 1, 3, 3],
    'point.weight': [10, 6, 1, 1],
    'hidden.weight': [7, 10],
    'logits.weight': [7, 3],
    'dense_norm.shift': [6],
  };
  for (const [name, shape] of Object.entries(expected)) t.deepEqual(tensors.get(name)?.shape, shape, name);
  // Spelled out for one: graph [O, kh, kw, I], file [O, I, kh, kw].
  const parameter = parameterOf(graph, 'dense.weight');
  const data = Float32Array.from(parameter.data(), (_, i) => i);
  const file = await learntTensor(parameter, async () => data).read();
  for (const [o, y, x, i] of [
    [0, 0, 0, 0],
    [5, 2, 1, 0],
    [3, 1, 2, 2],
  ] as const) {
    t.is(file[((o * 3 + i) * 3 + y) * 3 + x], ((o * 3 + y) * 3 + x) * 3 + i);
  }
});

test('applying a delta gives the graph the learnt values, in every layout', async (t) => {
  const graph = everyLayout();
  const applied = applyDelta(graph, await changed(graph, 'apply.safetensors'));
  const random = new Random(seed);
  for (const [name, { shape }] of graph.parameters) {
    const expected = Float32Array.from(normals(random, shape));
    t.deepEqual(parameterOf(applied, name).data(), expected, name);
    t.notDeepEqual(parameterOf(graph, name).data(), expected, 'the graph itself is as before');
    t.deepEqual(parameterOf(applied, name).shape, shape);
  }
});

test('a new head belongs to the graph with that head', async (t) => {
  const graph = everyLayout();
  const replaced = replaceHead(graph, { classes: 4, seed });
  const delta = await changed(replaced, 'head.safetensors');
  t.notThrows(() => applyDelta(replaced, delta));
  t.throws(() => applyDelta(graph, delta), {
    instanceOf: DeltaError,
    message: /"edgeshift_head.weight" \[4,7\], which the model does not have/,
  });
  const other = replaceHead(graph, { classes: 5, seed });
  t.throws(() => applyDelta(other, delta), { instanceOf: DeltaError, message: /\[4,7\], of shape \[5,7\]/ });
});

test('a delta for another base is refused', async (t) => {
  const delta = await changed(everyLayout(), 'base.safetensors');
  t.notThrows(() => requireBase(delta, { path: 'm.onnx', sha256: facts.base }));
  const error = t.throws(() => requireBase(delta, { path: 'm.onnx', sha256: 'e'.repeat(64) }), {
    instanceOf: DeltaError,
  });
  t.regex(error?.message ?? '', /belongs to sha256 f{64}, "m.onnx" is e{64}\nHint: /);
});

test('a safetensors file of something else is no delta', async (t) => {
  const path = join(root, 'other.safetensors');
  await writeTensors(path, [], { format: 'pt' });
  await t.throwsAsync(readDelta(path), {
    instanceOf: DeltaError,
    message: /is not a delta: expected format "edgeshift-delta-1", found "pt"/,
  });
  const metadata = { image_size: '8', classes: '["a"', preprocessing: '{}', drop: 'null' };
  await writeTensors(path, [], { format: 'edgeshift-delta-1', base_sha256: facts.base, ...metadata });
  await t.throwsAsync(readDelta(path), { instanceOf: DeltaError, message: /its metadata are not what a delta has/ });
});
