import test from 'ava';
import { differentiate } from '../../runtime/autodiff/autodiff.ts';
import type { Graph } from '../../runtime/graph/graph.ts';
import { lifetimes } from '../../runtime/plan/lifetimes.ts';
import { GraphBuilder, relu, relu6 } from '../support/graphs.ts';

/** Values that share memory with others, storage by storage. */
function shared(graph: Graph, trains: readonly string[]): string[] {
  const training = differentiate(graph, new Set(trains));
  return lifetimes(training, { imageElements: 1, prefixBatch: 1 })
    .filter(({ values }) => values.length > 1)
    .map(({ values }) => values.join(' = '));
}

function chain(): Graph {
  const b = new GraphBuilder([8, 8, 3]);
  b.head(b.norm('norm', b.conv('conv', 'image', 4), relu6), 3);
  return b.build();
}

test('norms, activations and biases take the memory of their input, forwards and backwards', (t) => {
  t.deepEqual(shared(chain(), ['conv/weight']), ['conv = norm', 'fc = logits', 'd logits = d fc', 'd norm = d conv']);
});

test('an input that is kept is not overwritten', (t) => {
  const groups = shared(chain(), ['norm/scale', 'norm/shift']);
  t.false(
    groups.some((group) => group.startsWith('conv =')),
    groups.join('\n'),
  );
});

test('a tensor that somebody reads later is not overwritten; the last reader may', (t) => {
  const b = new GraphBuilder([8, 8, 3]);
  const x = b.conv('conv', 'image', 4);
  const y = b.clip('relu', x, relu);
  b.head(b.add('add', b.conv('branch', y, 4), x), 3);
  const groups = shared(b.build(), ['conv/weight']);
  t.false(
    groups.some((group) => /\bconv = relu\b/.test(group)),
    groups.join('\n'),
  );
  t.true(
    groups.some((group) => group.includes('branch = add')),
    groups.join('\n'),
  );
});

test('x + x is not done in place', (t) => {
  const b = new GraphBuilder([8, 8, 3]);
  b.head(b.add('add', b.conv('conv', 'image', 4), 'conv'), 3);
  const groups = shared(b.build(), ['conv/weight']);
  t.false(
    groups.some((group) => group.includes('add')),
    groups.join('\n'),
  );
});
