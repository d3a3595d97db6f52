import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { type CoefficientTable, learnCoefficients } from '../../runtime/delta/coefficients.ts';
import { applyDelta, type Delta } from '../../runtime/delta/delta.ts';
import { LabelledLoss } from '../../runtime/delta/labelled-loss.ts';
import { learntBlocks, mergedDelta, openMerge } from '../../runtime/delta/merge.ts';
import { DeltaError } from '../../runtime/errors.ts';
import { parameterOf } from '../../runtime/graph/graph.ts';
import { HEAD } from '../../runtime/graph/head.ts';
import { openDataset } from '../../runtime/train/data/dataset.ts';
import { assertClose } from '../support/compare.ts';
import { deltaOn, opened, stack } from '../support/deltas.ts';
import { toyImages } from '../support/train-images.ts';

const seed = 51;
const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-merge-'));

const model = await opened(root, 'base.onnx', stack());
test.after.always(() => rm(root, { recursive: true, force: true }));

const named = (...deltas: readonly Delta[]) => deltas.map((delta, i) => ({ name: `board-${i}`, delta }));
const tolerance = { rtol: 1e-5, atol: 1e-6 };

/** Values of a parameter after a merge. */
function merged(deltas: readonly Delta[], coefficients: readonly number[], name: string): Float32Array {
  const boards = named(...deltas);
  const delta = mergedDelta(boards, openMerge(model.graph, boards), () => coefficients, 'test');
  return parameterOf(applyDelta(model.graph, delta), name).data();
}

const learnt = (delta: Delta, name: string): Float32Array => parameterOf(applyDelta(model.graph, delta), name).data();
const [one, other] = [deltaOn(model, seed), deltaOn(model, seed + 1)];

test('an average lies between its deltas, variances between by their logarithm', (t) => {
  const [a, b] = [learnt(one, 'layer1.weight'), learnt(other, 'layer1.weight')];
  const between = a.map((value, i) => 0.25 * value + 0.75 * (b[i] ?? 0));
  assertClose(t, merged([one, other], [0.25, 0.75], 'layer1.weight'), between, tolerance, `seed ${seed}`);
  const [v, w] = [learnt(one, 'layer1_norm.variance'), learnt(other, 'layer1_norm.variance')];
  const geometric = v.map((value, i) => Math.sqrt(value * (w[i] ?? 0)));
  assertClose(t, merged([one, other], [0.5, 0.5], 'layer1_norm.variance'), geometric, tolerance, `seed ${seed}`);
});

test('coefficients take differences times a number: 1 and 0 give one of the deltas, 0 and 0 the base', (t) => {
  for (const name of ['layer2.weight', 'layer0_norm.variance', 'logits.bias']) {
    assertClose(t, merged([one, other], [1, 0], name), learnt(one, name), tolerance, `${name}, seed ${seed}`);
    assertClose(t, merged([one, other], [0, 0], name), parameterOf(model.graph, name).data(), tolerance, name);
  }
});

test('what one of the deltas has not learnt counts as the base', (t) => {
  const some = deltaOn(model, seed, { learns: ({ name }) => name.startsWith('layer0') });
  const base = parameterOf(model.graph, 'layer1.weight').data();
  const expected = learnt(other, 'layer1.weight').map((value, i) => ((base[i] ?? 0) + value) / 2);
  assertClose(t, merged([some, other], [0.5, 0.5], 'layer1.weight'), expected, tolerance, `seed ${seed}`);
  const boards = named(some, some);
  t.deepEqual([...mergedDelta(boards, openMerge(model.graph, boards), () => [0.5, 0.5], 'x').tensors.keys()].sort(), [
    ...['layer0.weight', 'layer0_norm.mean', 'layer0_norm.scale', 'layer0_norm.shift', 'layer0_norm.variance'],
  ]);
});

const withHead = (value: number, classes: readonly string[], drop: readonly string[] = []): Delta =>
  deltaOn(model, seed, {
    ...{ classes, drop, learns: ({ name }: { readonly name: string }) => name.startsWith('layer2') },
    own: [
      { name: HEAD.weight, shape: [classes.length, 12], data: new Float32Array(12 * classes.length).fill(value) },
      { name: HEAD.bias, shape: [classes.length], data: new Float32Array(classes.length).fill(value) },
    ],
  });

test('new heads are averaged, since no base has one', (t) => {
  const boards = named(withHead(1, ['x', 'y']), withHead(3, ['x', 'y']));
  const tensors = openMerge(model.graph, boards);
  const at = (coefficients: readonly number[]): number =>
    mergedDelta(boards, tensors, () => coefficients, 'test').tensors.get(HEAD.weight)?.data[0] ?? Number.NaN;
  t.is(at([0.5, 0.5]), 2);
  t.is(at([1, 0]), 1);
  t.is(at([0.25, 0.75]), 2.5);
});

for (const [what, changes, message] of [
  ['another base', { base: 'e'.repeat(64) }, /expected the same base model \(sha256\)/],
  [
    'other classes',
    { classes: ['a', 'b', 'c', 'd', 'z'] },
    /"board-0" and "board-1" cannot be merged: .* classes of the head/,
  ],
  ['another image size', { imageSize: 32 }, /the same image size, found 16 and 32/],
  ['other parts', { metaParts: [1] }, /the same parts with meta networks/],
] as const) {
  test(`a delta of ${what} is not merged`, (t) => {
    t.throws(() => openMerge(model.graph, named(one, { ...one, ...changes })), { instanceOf: DeltaError, message });
  });
}

test('a new head is not merged with the own one, nor one in another place', (t) => {
  const two = withHead(1, ['a', 'b', 'c', 'd', 'e']);
  t.throws(() => openMerge(model.graph, named(one, two)), { message: /kind of head/ });
  t.throws(() => openMerge(model.graph, named(two, { ...two, drop: ['pool'] })), { message: /layers dropped/ });
});

test('learning finds the coefficients that a loss has its minimum at, block by block', async (t) => {
  const best: CoefficientTable = [
    [0.9, 0.1],
    [0.2, 0.7],
    [0.5, 0.5],
  ];
  const loss = async (table: CoefficientTable): Promise<number> =>
    table.flatMap((row, b) => row.map((value, d) => (value - (best[b]?.[d] ?? 0)) ** 2)).reduce((a, b) => a + b, 0);
  const found = await learnCoefficients({ blocks: 3, deltas: 2, loss, pull: 0 });
  assertClose(t, found.table.flat(), best.flat(), { rtol: 0, atol: 0.02 }, 'coefficients');
  t.true(found.lossAfter < 0.002 && found.lossBefore > 0.4);
  t.true(found.evaluations <= 1 + 3 * (3 * 2 + 2 * 6));
  t.deepEqual(await learnCoefficients({ blocks: 3, deltas: 2, loss, pull: 0 }), found, 'nothing in it is random');
});

test('a loss that is never better, or never a number, leaves the plain average', async (t) => {
  const start = [[0.5, 0.5]];
  const flat = await learnCoefficients({ blocks: 1, deltas: 2, loss: async () => 1 });
  t.deepEqual(flat.table, start);
  const broken = await learnCoefficients({ blocks: 1, deltas: 2, loss: async () => Number.NaN });
  t.deepEqual(broken.table, start);
});

test('on labelled images a delta that only adds noise is left out, block by block', async (t) => {
  const data = await toyImages(join(root, 'images'), { classes: 3, perClass: 6, seed });
  const base = await opened(root, 'three.onnx', stack({ classes: 3 }));
  const classes = ['class-0', 'class-1', 'class-2'];
  const { dataset } = await openDataset(data, { imageSize: 16, storeFolder: root, classes });
  await using _ = dataset;
  const boards = named(
    deltaOn(base, seed, { classes, learns: ({ name }) => name.startsWith('logits') }),
    deltaOn(base, seed + 7, { classes }),
  );
  const tensors = openMerge(base.graph, boards);
  const blocks = learntBlocks(tensors);
  const labelled = await LabelledLoss.open(base.file.path, boards[0]?.delta as Delta, tensors, dataset, 1);
  const ask = (table: CoefficientTable) => labelled.score((block) => table[blocks.indexOf(block)] ?? []);
  const { table, lossBefore, lossAfter } = await learnCoefficients({
    ...{ blocks: blocks.length, deltas: 2, loss: async (rows: CoefficientTable) => (await ask(rows)).loss },
  });
  t.true(lossAfter < 0.8 * lossBefore, `${lossBefore} before, ${lossAfter} after, seed ${seed}`);
  const after = await ask(table);
  t.is(after.loss, lossAfter);
  t.true(after.accuracy >= (await ask(blocks.map(() => [0.5, 0.5]))).accuracy);
});
