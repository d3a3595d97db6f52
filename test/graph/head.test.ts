import test from 'ava';
import { ModelError, UsageError } from '../../runtime/errors.ts';
import { HEAD, replaceHead } from '../../runtime/graph/head.ts';
import { GraphBuilder, relu } from '../support/graphs.ts';

function chain() {
  const b = new GraphBuilder([8, 8, 3]);
  b.head(b.norm('norm', b.conv('conv', 'image', 6, { kernel: 3 }), relu), 4);
  return b.build();
}

test('by default the last fully connected layer and what is above it give way', (t) => {
  const graph = replaceHead(chain(), { classes: 7, seed: 3 });
  t.deepEqual(
    graph.nodes.map(({ name }) => name),
    ['conv', 'norm', 'pool', HEAD.node, `${HEAD.node}.shift`],
  );
  t.deepEqual(graph.shapes.get(graph.output), [7]);
  t.deepEqual(graph.parameters.get(HEAD.weight)?.shape, [7, 6]);
  t.deepEqual(graph.parameters.get(HEAD.bias)?.data(), new Float32Array(7));
  t.is(graph.parameters.get(HEAD.weight)?.origin.tensor, null);
  t.false(graph.parameters.has('fc/weight'), 'weights of dropped layers are gone');
  t.false(graph.shapes.has('fc'), 'tensors of dropped layers are gone');
});

test('weights are within 1/sqrt(features), differ from seed to seed and only from seed to seed', (t) => {
  const weight = (seed: number) =>
    replaceHead(chain(), { classes: 50, seed }).parameters.get(HEAD.weight)?.data() ?? [];
  const first = [...weight(1)];
  t.deepEqual(first, [...weight(1)]);
  t.notDeepEqual(first, [...weight(2)]);
  const bound = 1 / Math.sqrt(6);
  t.true(first.every((value) => Math.abs(value) <= bound));
  t.true(Math.max(...first.map(Math.abs)) >= 0.9 * bound);
});

test('a head on a map flattens it first', (t) => {
  const graph = replaceHead(chain(), { classes: 2, drop: ['pool'], seed: 1 });
  t.deepEqual(
    graph.nodes.slice(2).map(({ op }) => op),
    ['Flatten', 'Gemm', 'Affine'],
  );
  t.deepEqual(graph.parameters.get(HEAD.weight)?.shape, [2, 8 * 8 * 6]);
});

test('the lowest dropped node decides, in whatever order they are named', (t) => {
  const graph = replaceHead(chain(), { classes: 2, drop: ['logits', 'fc', 'pool'], seed: 1 });
  t.deepEqual(graph.nodes.map(({ name }) => name).slice(0, 2), ['conv', 'norm']);
  t.is(graph.nodes[2]?.inputs[0], 'norm');
});

test('layers of which none exists, and models without a fully connected one, are refused with what there is', (t) => {
  const refused = {
    instanceOf: UsageError,
    message: /^--drop names no layer of "built": "dense", "top"; .*"pool", "fc", "logits"$/,
  };
  t.throws(() => replaceHead(chain(), { classes: 2, drop: ['dense', 'top'], seed: 1 }), refused);
  const b = new GraphBuilder([8, 8, 3]);
  b.norm('logits', b.conv('conv', 'image', 6));
  t.throws(() => replaceHead(b.build(), { classes: 2, seed: 1 }), {
    instanceOf: ModelError,
    message: /^model "built" has no fully connected layer[\s\S]*\nHint: .*--drop.* "conv", "logits"$/,
  });
});
