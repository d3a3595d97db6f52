import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { Model } from '../../models/onnx/open-model.ts';
import { withDelta } from '../../runtime/delta/apply-to-graph.ts';
import { applyDelta, type Delta, readDelta, sourcesOf, writeDelta } from '../../runtime/delta/delta.ts';
import { transferDelta } from '../../runtime/delta/transfer.ts';
import { DeltaError } from '../../runtime/errors.ts';
import { toFileLayout } from '../../runtime/graph/axes.ts';
import { parameterOf } from '../../runtime/graph/graph.ts';
import { HEAD } from '../../runtime/graph/head.ts';
import { META, withMetaNetworks } from '../../runtime/scheme/meta-networks.ts';
import { assertClose } from '../support/compare.ts';
import { deltaOn, opened, renumbered, retrained, stack } from '../support/deltas.ts';

const seed = 33;
const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-transfer-'));

const old = await opened(root, 'old.onnx', stack());
const renewed = await opened(root, 'new.onnx', retrained(stack(), seed));
test.after.always(() => rm(root, { recursive: true, force: true }));

const tolerance = { rtol: 1e-5, atol: 1e-6 };

/** Holds that the learnt difference of each parameter stands on the new base, variances as a factor. */
function assertCarried(
  t: Parameters<typeof assertClose>[0],
  delta: Delta,
  from: Model,
  to: Model,
  name: string,
  twin: string,
) {
  const at = (model: Model, parameter: string): Float32Array => parameterOf(model.graph, parameter).data();
  const [base, other] = [at(from, name), at(to, twin)];
  const learnt = parameterOf(applyDelta(from.graph, delta), name).data();
  const carried = parameterOf(applyDelta(to.graph, transferDelta(delta, from, to).delta), twin).data();
  const isVariance = name.endsWith('variance');
  const expected = other.map((value, i) => {
    const [before = 0, after = 0] = [base[i], learnt[i]];
    return isVariance ? (value * after) / before : value + after - before;
  });
  assertClose(t, carried, expected, tolerance, `${name}, seed ${seed}`);
}

test('the learnt difference is put on the new base, tensor by tensor', (t) => {
  const delta = deltaOn(old, seed);
  const { carried, left, delta: result } = transferDelta(delta, old, renewed);
  t.deepEqual(left, []);
  t.true(carried.every(({ by, tensor, to }) => by === 'name' && tensor === to));
  t.is(result.base, renewed.file.sha256);
  t.like(result.notes, { seed: String(seed), transferredFrom: old.file.sha256, transferred: '17 of 17 tensors' });
  for (const name of old.graph.parameters.keys()) assertCarried(t, delta, old, renewed, name, name);
});

test('a running variance stays above zero where a sum would not', async (t) => {
  const small = stack();
  for (const tensor of small.graph?.initializer ?? []) {
    if (tensor.name === 'layer1_norm.variance') tensor.rawData = new Uint8Array(new Float32Array(8).fill(1e-3).buffer);
  }
  const narrow = await opened(root, 'narrow.onnx', small);
  const delta = deltaOn(old, seed);
  const carried = transferDelta(delta, old, narrow).delta.tensors.get('layer1_norm.variance')?.data ?? [];
  const base = parameterOf(old.graph, 'layer1_norm.variance').data();
  const learnt = delta.tensors.get('layer1_norm.variance')?.data ?? [];
  t.true(
    base.some((value, i) => 1e-3 + (learnt[i] ?? 0) - value <= 0),
    'a sum would fall below zero',
  );
  t.true([...carried].every((value) => value > 0));
  assertCarried(t, delta, old, narrow, 'layer1_norm.variance', 'layer1_norm.variance');
});

test('tensors that an exporter numbered are found by their place, also where a fully connected layer lies the other way', async (t) => {
  const numbered = await opened(root, 'numbered.onnx', renumbered(retrained(stack(), seed)));
  const delta = deltaOn(old, seed);
  const { carried, left, delta: result } = transferDelta(delta, old, numbered);
  t.deepEqual(left, []);
  t.true(carried.every(({ by }) => by === 'place'));
  const twins = [...numbered.graph.parameters.keys()];
  for (const [i, name] of [...old.graph.parameters.keys()].entries()) {
    if (!name.endsWith('variance')) assertCarried(t, delta, old, numbered, name, twins[i] ?? '');
  }
  const turned = await opened(root, 'turned.onnx', stack({ transposed: false }));
  const across = transferDelta(delta, old, turned);
  t.false(across.left.some(({ tensor }) => tensor === 'layer0.weight'));
  t.deepEqual(across.delta.tensors.get('logits.weight')?.shape ?? [12, 5], [12, 5]);
  t.is(result.tensors.size, delta.tensors.size);
});

test('a layer more in the middle: what lies below and above is carried, the rest named with its reason', async (t) => {
  const before = await opened(root, 'three.onnx', renumbered(stack({ layers: [8, 8, 12] })));
  const after = stack({ layers: [8, 8, 12] });
  const wider = stack({ layers: [8, 10, 12] });
  for (const tensor of wider.graph?.initializer ?? []) {
    const same = after.graph?.initializer.find(
      ({ name, dims }) => name === tensor.name && String(dims) === String(tensor.dims),
    );
    if (same) tensor.rawData = same.rawData;
  }
  const other = await opened(root, 'wider.onnx', renumbered(wider));
  const { carried, left } = transferDelta(deltaOn(before, seed), before, other);
  const middle = [
    'layer1.weight',
    ...['scale', 'shift', 'mean', 'variance'].map((role) => `layer1_norm.${role}`),
    'layer2.weight',
  ];
  const names = (stack().graph?.initializer ?? []).map(({ name }) => name);
  const numbers = middle.map((name) => `onnx::Weight_${300 + names.indexOf(name)}`);
  t.deepEqual(left.map(({ tensor }) => tensor).sort(), numbers.sort());
  t.is(carried.length, 11);
  for (const { reason } of left) t.regex(reason, /^it is \[.*\], in the new base \[.*\]$/);
});

test('a network of other weights in the same place gets nothing', async (t) => {
  const stranger = await opened(root, 'stranger.onnx', renumbered(stack({ seed: 4321 })));
  const error = t.throws(() => transferDelta(deltaOn(old, seed), old, stranger), { instanceOf: DeltaError });
  t.regex(
    error?.message ?? '',
    /nothing of the delta can be carried over, of 17 tensors:\n.*other weights in its place \(cosine -?0\.\d\d\)/,
  );
});

test("the model's own head stays where it tells other classes apart", async (t) => {
  const seven = await opened(root, 'seven.onnx', retrained(stack({ classes: 7 }), seed));
  const { left, delta } = transferDelta(deltaOn(old, seed), old, seven);
  t.deepEqual(
    left.map(({ tensor, reason }) => [tensor, reason]),
    [
      ['logits.weight', 'head of 5 classes, the new base has 7'],
      ['logits.bias', 'head of 5 classes, the new base has 7'],
    ],
  );
  t.deepEqual(delta.classes, ['0', '1', '2', '3', '4', '5', '6']);
  t.notThrows(() => withDelta(seven.graph, delta));
});

test('a new head goes along as it is, unless its features are others', async (t) => {
  const head = [
    { name: HEAD.weight, shape: [3, 12], data: new Float32Array(36).fill(0.25) },
    { name: HEAD.bias, shape: [3], data: new Float32Array(3).fill(0.5) },
  ];
  const classes = ['x', 'y', 'z'];
  const learns = ({ name }: { readonly name: string }): boolean => !name.startsWith('logits');
  const delta = deltaOn(old, seed, { learns, classes, drop: [], own: head });
  const { carried, left, delta: result } = transferDelta(delta, old, renewed);
  t.deepEqual(left, []);
  t.deepEqual(
    carried.filter(({ by }) => by === 'own').map(({ tensor }) => tensor),
    [HEAD.weight, HEAD.bias],
  );
  t.like(result, { classes, drop: [] });
  t.deepEqual(result.tensors.get(HEAD.weight)?.data, head[0]?.data);
  t.notThrows(() => withDelta(renewed.graph, result));
  const other = await opened(root, 'features.onnx', retrained(stack({ layers: [8, 8, 16] }), seed));
  t.throws(() => transferDelta(delta, old, other), {
    instanceOf: DeltaError,
    message: /new head takes 12 features, the new base has 16 in its place\nHint: train on the new base/,
  });
});

test("a new head that stands in place of a named layer is found under the layer's new name", async (t) => {
  const proto = stack();
  for (const node of proto.graph?.node ?? []) if (node.name === 'logits') node.name = 'classifier';
  const other = await opened(root, 'classifier.onnx', retrained(proto, seed));
  const own = [
    { name: HEAD.weight, shape: [2, 12], data: new Float32Array(24).fill(1) },
    { name: HEAD.bias, shape: [2], data: new Float32Array(2) },
  ];
  const delta = deltaOn(old, seed, {
    learns: ({ name }) => name.startsWith('layer2'),
    classes: ['a', 'b'],
    drop: ['logits'],
    own,
  });
  t.deepEqual(transferDelta(delta, old, other).delta.drop, ['classifier']);
  const poolless = stack();
  for (const node of poolless.graph?.node ?? []) if (node.name === 'pool') node.name = 'mean';
  const unknown = await opened(root, 'mean.onnx', retrained(poolless, seed));
  t.throws(() => transferDelta({ ...delta, drop: ['pool'] }, old, unknown), {
    instanceOf: DeltaError,
    message: /new head stands in place of "pool", which the new base does not have/,
  });
});

test('meta networks go along where the new base has the same parts', async (t) => {
  const deep = { layers: [8, 8, 12, 12] };
  const from = await opened(root, 'deep.onnx', stack(deep));
  const to = await opened(root, 'deep-new.onnx', retrained(stack(deep), seed));
  const parts = [1, 2];
  const own = [...withMetaNetworks(from.graph, { parts, seed }).parameters.values()]
    .filter(({ name }) => name.startsWith(META))
    .map(({ name, origin, data }) => ({ name, shape: origin.shape, data: toFileLayout(data(), origin) }));
  const delta = { ...deltaOn(from, seed, { learns: () => false, own }), metaParts: parts };
  const { left, delta: result } = transferDelta(delta, from, to);
  t.deepEqual(left, []);
  t.deepEqual(result.metaParts, parts);
  t.notThrows(() => withDelta(to.graph, result));
  const shorter = await opened(root, 'shorter.onnx', retrained(stack(), seed));
  const error = t.throws(() => transferDelta(delta, from, shorter), { instanceOf: DeltaError });
  t.regex(
    error?.message ?? '',
    /nothing of the delta can be carried over[\s\S]*cannot be cut into parts of 1, 2 blocks/,
  );
});

test('the result is written and read like any delta', async (t) => {
  const { delta } = transferDelta(deltaOn(old, seed), old, renewed);
  const path = join(root, 'carried.safetensors');
  await writeDelta(path, delta, sourcesOf(delta));
  const read = await readDelta(path);
  t.deepEqual([...read.tensors.keys()], [...delta.tensors.keys()]);
  t.deepEqual(read.notes, delta.notes);
});

test('a delta of another base, or the same base twice, is refused', (t) => {
  const delta = deltaOn(old, seed);
  t.throws(() => transferDelta(delta, renewed, old), {
    instanceOf: DeltaError,
    message: /was learnt on another model/,
  });
  t.throws(() => transferDelta(delta, old, old), { instanceOf: DeltaError, message: /there is nothing to carry over/ });
  const strange = deltaOn(old, seed, { own: [{ name: 'nothing', shape: [1], data: new Float32Array(1) }] });
  t.throws(() => transferDelta(strange, old, renewed), { instanceOf: DeltaError, message: /holds "nothing" \[1\]/ });
});
