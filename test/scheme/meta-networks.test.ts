import test from 'ava';
import { UsageError } from '../../runtime/errors.ts';
import { parameterOf, shapeOf } from '../../runtime/graph/graph.ts';
import { findParts, META, newOutput, partition, withMetaNetworks } from '../../runtime/scheme/meta-networks.ts';
import { applyScheme } from '../../runtime/scheme/scheme.ts';
import { GraphBuilder, relu } from '../support/graphs.ts';
import { network } from '../support/networks.ts';

/** Three residual blocks after a stem; the second halves the map. */
function residual() {
  const b = new GraphBuilder([8, 8, 3]);
  let x = b.norm('stem_norm', b.conv('stem', 'image', 4, { kernel: 3 }), relu);
  for (const [index, channels, stride] of [
    [1, 4, 1],
    [2, 8, 2],
    [3, 8, 1],
  ] as const) {
    const inner = b.norm(`b${index}.norm1`, b.conv(`b${index}.conv1`, x, channels, { kernel: 3, stride }), relu);
    const outer = b.norm(`b${index}.norm2`, b.conv(`b${index}.conv2`, inner, channels, { kernel: 3 }));
    const shortcut = stride === 1 ? x : b.conv(`b${index}.shortcut`, x, channels, { stride });
    x = b.clip(`b${index}.relu`, b.add(`b${index}.add`, outer, shortcut));
  }
  b.head(x, 5);
  return b.build();
}

for (const [blocks, parts, expected] of [
  [18, 4, [3, 3, 6, 6]],
  [18, 5, [3, 3, 3, 3, 6]],
  [12, 4, [2, 2, 4, 4]],
  [12, 5, [2, 2, 2, 2, 4]],
  [16, 4, [3, 3, 5, 5]],
  [16, 5, [2, 2, 4, 4, 4]],
  [9, 3, [3, 3, 3]],
  [9, 5, [1, 2, 1, 2, 3]],
  [6, 4, [1, 1, 2, 2]],
  [6, 5, [1, 1, 1, 1, 2]],
  [6, 2, [3, 3]],
  [6, 6, [1, 1, 1, 1, 1, 1]],
  [5, 4, [1, 1, 1, 2]],
  [7, 1, [7]],
] as const) {
  test(`${blocks} blocks in ${parts} parts: ${expected}`, (t) => t.deepEqual(partition(blocks, parts), expected));
}

test('any number of parts holds every block once', (t) => {
  for (let blocks = 1; blocks <= 20; blocks++) {
    for (let parts = 1; parts <= blocks; parts++) {
      const sizes = partition(blocks, parts);
      t.is(sizes.length, parts);
      t.is(
        sizes.reduce((sum, size) => sum + size, 0),
        blocks,
      );
      t.true(
        sizes.every((size) => size >= 1),
        `${blocks} in ${parts}: ${sizes}`,
      );
    }
  }
});

test('whatever read a part reads its new output; the frozen part and the head are as they were', (t) => {
  const graph = residual();
  const parts = findParts(graph, [1, 2]);
  t.deepEqual(
    parts.map(({ input, output }) => [input, output]),
    [
      ['stem_norm', 'b1.relu'],
      ['b1.relu', 'b3.relu'],
    ],
  );
  const extended = withMetaNetworks(graph, { parts: [1, 2], seed: 3 });
  const readers = (tensor: string): string[] =>
    extended.nodes.flatMap(({ name, inputs }) => (inputs.includes(tensor) ? [name] : []));
  t.deepEqual(readers('b1.relu'), [`${META}.1.norm`, `${META}.1.distance`]);
  const [first, second] = parts.map(newOutput);
  t.deepEqual(readers(first ?? ''), [`${META}.1.distance`, 'b2.conv1', 'b2.shortcut', `${META}.2.conv`]);
  t.deepEqual(readers(second ?? ''), [`${META}.2.distance`, 'pool']);
  const conv = extended.nodes.find(({ name }) => name === `${META}.2.conv`);
  t.deepEqual(conv?.attributes.strides, [2, 2]);
  t.deepEqual(shapeOf(extended, second ?? ''), shapeOf(graph, 'b3.relu'));
  t.is(extended.output, graph.output);
  for (const name of graph.parameters.keys()) t.is(parameterOf(extended, name), parameterOf(graph, name));
});

test("start values are PyTorch's, the same for the same seed", (t) => {
  const extended = withMetaNetworks(residual(), { parts: 3, seed: 3 });
  const of = (what: string): Float32Array => parameterOf(extended, `${META}.2.${what}`).data();
  const bound = 1 / Math.sqrt(9 * 4);
  const weight = of('conv.weight');
  t.true(weight.every((value) => Math.abs(value) <= bound));
  t.true(Math.abs(Math.hypot(...weight) / Math.sqrt(weight.length) / (bound / Math.sqrt(3)) - 1) < 0.15, 'seed 3');
  for (const norm of ['norm', 'conv_norm']) {
    for (const [role, value] of Object.entries({ scale: 1, shift: 0, mean: 0, variance: 1 })) {
      t.true(
        of(`${norm}.${role}`).every((each) => each === value),
        `${norm}.${role}`,
      );
    }
  }
  const again = withMetaNetworks(residual(), { parts: 3, seed: 3 });
  t.deepEqual(parameterOf(again, `${META}.2.conv.weight`).data(), weight);
  const other = withMetaNetworks(residual(), { parts: 3, seed: 4 });
  t.notDeepEqual(parameterOf(other, `${META}.2.conv.weight`).data(), weight);
});

test('meta networks train, their running statistics follow, everything else is frozen', (t) => {
  const extended = withMetaNetworks(residual(), { parts: [1, 2], seed: 1 });
  const { trains } = applyScheme(extended, { name: 'blocks', blocks: 0, head: false, train: [`${META}.*`] });
  const roles = ['conv.weight', ...['conv_norm', 'norm'].flatMap((norm) => [`${norm}.scale`, `${norm}.shift`])];
  const running = ['conv_norm', 'norm'].flatMap((norm) => [`${norm}.mean`, `${norm}.variance`]);
  const named = (names: readonly string[]): string[] =>
    [1, 2].flatMap((k) => names.map((name) => `${META}.${k}.${name}`));
  t.deepEqual([...trains.keys()].sort(), [...named(roles), ...named(running)].sort());
  for (const name of named(running)) t.is(trains.get(name), 'statistics');
  t.is(trains.get(`${META}.1.norm.scale`), 'norms');
  t.is(trains.get(`${META}.1.conv.weight`), 'weights');
});

test('a norm above the last join is no part of the last part', async (t) => {
  const { graph } = await network('wrn_16_2-normalize-kept-opset13', 32);
  const parts = findParts(graph, 4);
  t.deepEqual(
    parts.map(({ blocks }) => blocks.length),
    [1, 1, 2, 2],
  );
  for (const { output } of parts) t.is(graph.nodes.find((node) => node.output === output)?.op, 'Add', output);
});

test('by default there is a part for every three blocks, four at most', async (t) => {
  for (const [name, sizes] of [
    ['wrn_16_2-normalize-kept-opset13', [3, 3]],
    ['wrn_40_2-kept-opset12', [3, 3, 6, 6]],
  ] as const) {
    const { graph } = await network(name, 32);
    t.deepEqual(
      findParts(graph, 'auto').map(({ blocks }) => blocks.length),
      sizes,
      name,
    );
  }
});

test('parts that cannot be are refused', (t) => {
  const graph = residual();
  t.throws(() => findParts(graph, 4), { instanceOf: UsageError, message: /whole number from 1 to 3, .*: 4$/ });
  t.throws(() => findParts(graph, [1, 1]), { instanceOf: UsageError, message: /3 blocks of "built".*parts of 1, 1/ });
  t.throws(() => findParts(graph, [3, 0]), { instanceOf: UsageError });
  t.throws(() => findParts(graph, []), { instanceOf: UsageError });
});
