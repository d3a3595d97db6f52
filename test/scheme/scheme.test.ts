import test from 'ava';
import { UsageError } from '../../runtime/errors.ts';
import type { SchemeOptions } from '../../runtime/scheme/options.ts';
import { applyScheme, countBlocks } from '../../runtime/scheme/scheme.ts';
import { GraphBuilder, relu6 } from '../support/graphs.ts';
import { mobileNet } from '../support/mobilenet.ts';

/** Two linear bottlenecks, a neck and a head. */
function net() {
  const b = new GraphBuilder([16, 16, 3]);
  let x = 'image';
  for (const name of ['b1', 'b2']) {
    x = b.norm(`${name}/n1`, b.conv(`${name}/expand`, x, 12), relu6);
    x = b.norm(`${name}/n2`, b.depthwise(`${name}/depth`, x), relu6);
    x = b.norm(`${name}/n3`, b.conv(`${name}/project`, x, 6));
  }
  b.head(b.norm('neck/n', b.conv('neck/conv', x, 24), relu6), 3);
  return b.build();
}

const head = { 'fc/weight': 'head', 'logits/shift': 'head' };

function trained(name: SchemeOptions['name'], blocks: number): Record<string, string> {
  return Object.fromEntries(applyScheme(net(), { name, blocks }).trains);
}

test('head trains the head alone, whatever blocks says', (t) => {
  t.deepEqual(trained('head', 0), head);
  t.deepEqual(trained('head', 2), head);
});

test('shifts trains the shifts of the top blocks, the neck and the head', (t) => {
  t.deepEqual(trained('shifts', 1), {
    'b2/n1/shift': 'norms',
    'b2/n2/shift': 'norms',
    'b2/n3/shift': 'norms',
    'neck/n/shift': 'norms',
    ...head,
  });
  t.deepEqual(trained('shifts', 0), head, 'the neck goes with the first block');
});

test('mobiletl trains weights, internal shifts, and the last norm with its scale', (t) => {
  t.deepEqual(trained('mobiletl', 1), {
    'b2/expand/weight': 'weights',
    'b2/n1/shift': 'norms',
    'b2/depth/weight': 'weights',
    'b2/n2/shift': 'norms',
    'b2/project/weight': 'weights',
    'b2/n3/scale': 'norms',
    'b2/n3/shift': 'norms',
    'neck/conv/weight': 'weights',
    'neck/n/shift': 'norms',
    ...head,
  });
});

test('parts say block by block what trains', (t) => {
  const { parts, blocks, derivative } = applyScheme(net(), { name: 'mobiletl', blocks: 1 });
  t.deepEqual(
    parts.map(({ block, trains }) => [block.name, block.role, trains.length]),
    [
      ['b1', 'block', 0],
      ['b2', 'block', 7],
      ['neck', 'neck', 2],
      ['fc', 'head', 2],
    ],
  );
  t.is(blocks, 1);
  t.is(derivative, 'exact');
});

test('more blocks train what fewer do, and never the statistics', async (t) => {
  const graph = await mobileNet(64);
  t.is(countBlocks(graph), 17);
  for (const name of ['shifts', 'mobiletl'] as const) {
    let below = new Set<string>();
    for (let blocks = 0; blocks <= 17; blocks++) {
      const { trains } = applyScheme(graph, { name, blocks });
      t.true(
        [...below].every((parameter) => trains.has(parameter)),
        `${name} ${blocks}`,
      );
      t.true(trains.size > below.size, `${name} ${blocks}`);
      t.false([...trains.keys()].some((parameter) => /moving_(mean|variance)/.test(parameter)));
      below = new Set(trains.keys());
    }
  }
});

test('a number of blocks that does not exist is refused with what there is', (t) => {
  for (const blocks of [-1, 3, 1.5, Number.NaN]) {
    t.throws(() => applyScheme(net(), { name: 'shifts', blocks }), {
      instanceOf: UsageError,
      message: `--blocks must be a whole number from 0 to 2 (the blocks of "built"): ${blocks}`,
    });
  }
});
