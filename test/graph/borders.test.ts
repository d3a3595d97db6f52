import test from 'ava';
import { noActivation } from '../../kernels/activation.ts';
import { borders, forks } from '../../runtime/graph/borders.ts';
import { fuseActivations } from '../../runtime/graph/fuse.ts';
import { GraphBuilder, relu, relu6 } from '../support/graphs.ts';

test('a border is where one tensor is alive: never inside a residual branch', (t) => {
  const b = new GraphBuilder([8, 8, 3]);
  const x = b.conv('conv1', 'image', 4);
  const y = b.conv('conv3', b.conv('conv2', x, 4), 4);
  b.head(b.add('add', x, y), 2);
  const graph = b.build();
  t.deepEqual(borders(graph), [
    { after: -1, tensor: 'image' },
    { after: 0, tensor: 'conv1' },
    { after: 3, tensor: 'add' },
    { after: 4, tensor: 'pool' },
    { after: 5, tensor: 'fc' },
    { after: 6, tensor: 'logits' },
  ]);
  t.deepEqual([...forks(graph)], ['conv1']);
});

test('a dead branch does not move a border', (t) => {
  const b = new GraphBuilder([8, 8, 3]);
  const x = b.conv('conv1', 'image', 4);
  b.conv('unused', 'image', 4);
  b.head(x, 2);
  const found = borders(b.build());
  t.deepEqual(found.filter(({ tensor }) => tensor === 'conv1').length, 1);
  t.false(found.some(({ tensor }) => tensor === 'unused'));
});

test('an activation joins the norm before it, and only if nobody else reads that norm', (t) => {
  const b = new GraphBuilder([8, 8, 3]);
  const fused = b.clip('relu1', b.norm('norm1', b.conv('conv1', 'image', 4)), relu6);
  const shared = b.norm('norm2', b.conv('conv2', fused, 4));
  b.head(b.add('add', shared, b.clip('relu2', shared, relu)), 2);
  const before = b.build();
  const graph = fuseActivations(before);
  t.deepEqual(
    graph.nodes.map(({ name }) => name),
    ['conv1', 'norm1', 'conv2', 'norm2', 'relu2', 'add', 'pool', 'fc', 'logits'],
  );
  const norm1 = graph.nodes[1];
  t.is(norm1?.output, 'relu1', 'the tensor of the activation stays');
  t.deepEqual(norm1?.attributes, { ...relu6, epsilon: 1e-3 });
  t.false(graph.shapes.has('norm1'));
  t.deepEqual(graph.nodes[3]?.attributes, { ...noActivation, epsilon: 1e-3 });
  t.is(before.nodes[1]?.output, 'norm1', 'the graph given is left alone');
});

test('an activation after an activation stays', (t) => {
  const b = new GraphBuilder([8, 8, 3]);
  b.head(b.clip('relu6', b.norm('norm', b.conv('conv', 'image', 4), relu), relu6), 2);
  t.deepEqual(
    fuseActivations(b.build())
      .nodes.map(({ op }) => op)
      .slice(0, 3),
    ['Conv', 'Affine', 'Clip'],
  );
});
