import test, { type ExecutionContext } from 'ava';
import { noActivation } from '../../kernels/activation.ts';
import { findBlocks } from '../../runtime/graph/blocks.ts';
import type { Graph } from '../../runtime/graph/graph.ts';
import { printGraph } from '../../runtime/graph/print.ts';
import { assertGolden } from '../support/goldens.ts';
import { GraphBuilder, relu, relu6 } from '../support/graphs.ts';
import { mobileNet } from '../support/mobilenet.ts';

/** `name: node node ...` of every block, roles other than block in brackets. */
function summary(graph: Graph): string[] {
  return findBlocks(graph).map(
    ({ name, role, nodes }) => `${name}${role === 'block' ? '' : ` (${role})`}: ${nodes.join(' ')}`,
  );
}

/** Every node in exactly one block, in order, each block from where the one before ends. */
function assertPartition(t: ExecutionContext, graph: Graph): void {
  const blocks = findBlocks(graph);
  t.deepEqual(
    blocks.flatMap(({ nodes }) => nodes),
    graph.nodes.map(({ name }) => name),
  );
  t.is(blocks.at(-1)?.output, graph.output);
  for (const [i, block] of blocks.entries()) t.is(block.input, i === 0 ? graph.input : (blocks[i - 1]?.output ?? ''));
}

test('a plain chain: each convolution with its norm and activation', (t) => {
  const b = new GraphBuilder([16, 16, 3]);
  let x = 'image';
  for (const [i, channels] of [8, 8, 16].entries()) {
    x = b.conv(`conv${i}`, x, channels, { kernel: 3 });
    x = b.norm(`norm${i}`, x, relu);
  }
  b.head(x, 4);
  const graph = b.build();
  t.deepEqual(summary(graph), [
    'conv0: conv0 norm0',
    'conv1: conv1 norm1',
    'conv2: conv2 norm2',
    'fc (head): pool fc logits',
  ]);
  assertPartition(t, graph);
});

test('a depthwise chain: depthwise and pointwise stay together', (t) => {
  const b = new GraphBuilder([16, 16, 3]);
  let x = b.norm('stem.norm', b.conv('stem.conv', 'image', 8, { kernel: 3, stride: 2 }), relu);
  for (const i of [1, 2]) {
    x = b.norm(`dw${i}.norm`, b.depthwise(`dw${i}.depth`, x), relu);
    x = b.norm(`dw${i}.norm2`, b.conv(`dw${i}.point`, x, 16), relu);
  }
  b.head(x, 4);
  const graph = b.build();
  t.deepEqual(summary(graph), [
    'stem: stem.conv stem.norm',
    'dw1: dw1.depth dw1.norm dw1.point dw1.norm2',
    'dw2: dw2.depth dw2.norm dw2.point dw2.norm2',
    'fc (head): pool fc logits',
  ]);
  assertPartition(t, graph);
});

test('linear bottlenecks end at the convolution without activation, skips at the addition; the last lone one is the neck', (t) => {
  const b = new GraphBuilder([16, 16, 3]);
  const bottleneck = (name: string, x: string, channels: number): string => {
    let y = b.norm(`${name}/expand_norm`, b.conv(`${name}/expand`, x, 24), relu6);
    y = b.norm(`${name}/depth_norm`, b.depthwise(`${name}/depth`, y), relu6);
    return b.norm(`${name}/project_norm`, b.conv(`${name}/project`, y, channels));
  };
  let x = b.norm('stem/norm', b.conv('stem/conv', 'image', 4, { kernel: 3, stride: 2 }), relu6);
  x = bottleneck('b1', x, 8);
  x = bottleneck('b2', x, 8);
  x = b.add('b3/add', x, bottleneck('b3', x, 8));
  x = b.norm('last/norm', b.conv('last/conv', x, 32), relu6);
  b.head(x, 4);
  const graph = b.build();
  // The stem's activation is no place to cut: no linear output lies between it and the first bottleneck's end.
  t.deepEqual(
    findBlocks(graph).map(({ name, role }) => `${role} ${name}`),
    ['block stem/conv', 'block b2', 'block b3', 'neck last', 'head fc'],
  );
  assertPartition(t, graph);
});

test('residual blocks with post-activation, as in ResNet', (t) => {
  const b = new GraphBuilder([16, 16, 3]);
  let x = b.norm('stem.norm', b.conv('stem.conv', 'image', 8, { kernel: 3 }), relu);
  for (const i of [1, 2]) {
    const y = b.norm(`layer${i}.norm1`, b.conv(`layer${i}.conv1`, x, 8, { kernel: 3 }), relu);
    const sum = b.add(`layer${i}.add`, b.norm(`layer${i}.norm2`, b.conv(`layer${i}.conv2`, y, 8, { kernel: 3 })), x);
    x = b.clip(`layer${i}.relu`, sum);
  }
  b.head(x, 4);
  const graph = b.build();
  t.deepEqual(
    findBlocks(graph).map(({ name, role }) => `${role} ${name}`),
    ['block stem', 'block layer1', 'block layer2', 'head fc'],
  );
  assertPartition(t, graph);
});

test('pre-activation residual blocks with and without projection, as in wide ResNets', (t) => {
  const b = new GraphBuilder([16, 16, 3]);
  let x = b.conv('conv1', 'image', 8, { kernel: 3 });
  for (const [i, channels] of [8, 16].entries()) {
    const name = `block${i}`;
    const pre = b.norm(`${name}.norm1`, x, relu);
    const middle = b.norm(`${name}.norm2`, b.conv(`${name}.conv1`, pre, channels, { kernel: 3, stride: i + 1 }), relu);
    const skip = i === 0 ? x : b.conv(`${name}.skip`, pre, channels, { stride: 2 });
    x = b.add(`${name}.add`, b.conv(`${name}.conv2`, middle, channels, { kernel: 3 }), skip);
  }
  b.head(b.norm('final', x, relu), 4);
  const graph = b.build();
  // The projection reads the activated tensor, so the residual branch begins there: the norm before it goes with it.
  t.deepEqual(summary(graph), [
    'conv1: conv1',
    'block0: block0.norm1 block0.conv1 block0.norm2 block0.conv2 block0.add',
    'block1: block1.norm1 block1.conv1 block1.norm2 block1.skip block1.conv2 block1.add final',
    'fc (head): pool fc logits',
  ]);
  assertPartition(t, graph);
});

test('a graph without convolution: the fully connected layer is the head', (t) => {
  const b = new GraphBuilder([12]);
  b.head(b.clip('relu', b.shift('bias', 'image')), 3);
  t.deepEqual(summary(b.build()), ['bias: bias relu', 'fc (head): fc logits']);
});

test('nodes that no kernel knows do not disturb the rest', (t) => {
  const b = new GraphBuilder([8, 8, 3]);
  const x = b.norm('norm1', b.conv('conv1', 'image', 8), noActivation);
  const y = b.norm('norm2', b.conv('conv2', b.node('Opaque', 'sigmoid', [x]), 8), relu);
  b.head(y, 3);
  const graph = b.build();
  assertPartition(t, graph);
  t.is(findBlocks(graph).filter(({ role }) => role === 'block').length, 2);
});

test('MobileNetV2: 17 blocks, neck and head', async (t) => {
  const graph = await mobileNet(224);
  const blocks = findBlocks(graph);
  const names = blocks.filter(({ role }) => role === 'block').map(({ name }) => name);
  t.is(names.length, 17);
  t.is(names[0], 'Conv1');
  t.deepEqual(
    names.slice(1),
    Array.from({ length: 16 }, (_, i) => `block_${i + 1}`),
  );
  t.deepEqual(
    blocks.slice(17).map(({ role, name }) => `${role} ${name}`),
    ['neck Conv_1', 'head edgeshift_head'],
  );
  assertPartition(t, graph);
});

test('MobileNetV2 as text', async (t) => {
  await assertGolden(t, 'mobilenet-v2-graph.txt', printGraph(await mobileNet(224)));
});
