import test from 'ava';
import { differentiate } from '../../runtime/autodiff/autodiff.ts';
import { gradientName, type TrainingGraph } from '../../runtime/autodiff/training-graph.ts';
import { UnsupportedOpError } from '../../runtime/errors.ts';
import { GraphBuilder, relu, relu6 } from '../support/graphs.ts';

/** `pass op node` of every backward or accumulate step. */
function backward(training: TrainingGraph): string[] {
  return training.steps.filter(({ pass }) => pass !== 'forward').map(({ pass, op, node }) => `${pass} ${op} ${node}`);
}

function chain() {
  const b = new GraphBuilder([8, 8, 3]);
  const x = b.norm('norm1', b.conv('conv1', 'image', 4, { kernel: 3 }), relu6);
  b.head(b.norm('norm2', b.conv('conv2', x, 8), relu6), 3);
  return b.build();
}

test('nothing is built below the lowest trained parameter', (t) => {
  const training = differentiate(chain(), new Set(['fc/weight']));
  t.is(training.cut, 'pool');
  t.deepEqual(
    training.prefix.map(({ name }) => name),
    ['conv1', 'norm1', 'conv2', 'norm2', 'pool'],
  );
  t.deepEqual(backward(training), ['backward SoftmaxCrossEntropy loss', 'backward Affine logits', 'backward Gemm fc']);
  const gemm = training.steps.at(-1);
  t.deepEqual(gemm?.dInputs, [null], 'no gradient for what lies below');
  t.deepEqual(gemm?.dParameters, { weight: 'fc/weight' });
});

test('weights keep their input, shifts keep one bit, frozen linear ops keep nothing', (t) => {
  const kept = (trains: string[]) => {
    const { values } = differentiate(chain(), new Set(trains));
    return [...values.values()].flatMap(({ name, savedBy, kind }) =>
      savedBy && savedBy !== 'loss' ? [`${kind} ${name}`] : [],
    );
  };
  t.deepEqual(kept(['norm1/shift']), ['saved norm1 mask', 'saved norm2 mask']);
  t.deepEqual(kept(['norm1/shift', 'conv2/weight']), ['activation norm1', 'saved norm1 mask', 'saved norm2 mask']);
  t.deepEqual(kept(['norm2/scale', 'fc/weight']), ['activation conv2', 'saved norm2 mask', 'activation pool']);
});

test('a tensor read twice gets the sum of both gradients, in one buffer', (t) => {
  const b = new GraphBuilder([8, 8, 3]);
  const x = b.shift('shift', b.conv('stem', 'image', 4));
  const y = b.conv('branch', x, 4);
  b.head(b.add('add', x, y), 3);
  const training = differentiate(b.build(), new Set(['shift/shift']));
  t.true(backward(training).includes('accumulate Accumulate shift'), backward(training).join('\n'));
  const sum = training.steps.find(({ pass }) => pass === 'accumulate');
  t.is(sum?.output, gradientName('shift'), 'the fresh gradient of the branch is added to');
  t.deepEqual(sum?.inputs, [gradientName('add')]);
});

test('x + x: the shared gradient is copied before it is added to itself', (t) => {
  const b = new GraphBuilder([8, 8, 3]);
  const x = b.shift('shift', b.conv('stem', 'image', 4));
  b.head(b.add('add', x, x), 3);
  const training = differentiate(b.build(), new Set(['shift/shift']));
  t.deepEqual(
    training.steps.filter(({ pass }) => pass === 'accumulate').map(({ op, inputs, output }) => [op, inputs, output]),
    [
      ['Copy', ['d add'], 'd shift'],
      ['Accumulate', ['d add'], 'd shift'],
    ],
  );
});

test('a branch that leads to nothing trained is not differentiated', (t) => {
  const b = new GraphBuilder([8, 8, 3]);
  const stem = b.conv('stem', 'image', 4);
  const frozen = b.norm('frozen', b.conv('left', stem, 4), relu);
  const trained = b.conv('right', stem, 4);
  b.head(b.add('add', frozen, trained), 3);
  const steps = backward(differentiate(b.build(), new Set(['right/weight'])));
  t.false(
    steps.some((step) => /frozen|left|stem/.test(step)),
    steps.join('\n'),
  );
});

test('the cut is the smallest tensor inside the lowest trained block', (t) => {
  const bottlenecks = (stride: number) => {
    const b = new GraphBuilder([16, 16, 3]);
    let x = 'image';
    for (const name of ['b1', 'b2']) {
      x = b.norm(`${name}/n1`, b.conv(`${name}/expand`, x, 24), relu6);
      x = b.norm(`${name}/n2`, b.depthwise(`${name}/depth`, x, { stride }), relu6);
      x = b.norm(`${name}/n3`, b.conv(`${name}/project`, x, 8));
    }
    b.head(x, 3);
    return b.build();
  };
  t.is(differentiate(bottlenecks(1), new Set(['b2/expand/weight'])).cut, 'b1/n3');
  t.is(differentiate(bottlenecks(1), new Set(['b2/n2/shift'])).cut, 'b1/n3', 'not the larger tensors next to it');
  t.is(
    differentiate(bottlenecks(2), new Set(['b2/n2/shift'])).cut,
    'b2/depth',
    'a quarter of the pixels, thrice the channels',
  );
  t.is(differentiate(bottlenecks(1), new Set(['b1/n3/shift'])).cut, 'image');
});

test('of tensors of one size the latest is the cut', (t) => {
  const b = new GraphBuilder([8, 8, 3]);
  b.head(b.norm('norm2', b.conv('conv2', b.norm('norm1', b.conv('conv1', 'image', 4), relu), 4), relu), 3);
  t.is(differentiate(b.build(), new Set(['norm2/shift'])).cut, 'conv2');
});

test('ops that cannot be trained are named all at once, and do no harm below the cut', (t) => {
  const b = new GraphBuilder([8, 8, 3]);
  let x = b.norm('norm0', b.conv('conv0', 'image', 4), relu);
  for (const [name, onnxOp] of [
    ['s1', 'Sigmoid'],
    ['s2', 'Sigmoid'],
    ['pool1', 'MaxPool'],
  ] as const) {
    x = b.node('Opaque', name, [x], {}, { onnxOp, reason: 'no kernel' });
  }
  b.head(b.norm('norm1', b.conv('conv1', x, 8), relu), 3);
  const graph = b.build();
  const error = t.throws(() => differentiate(graph, new Set(['conv0/weight'])), { instanceOf: UnsupportedOpError });
  t.deepEqual(error?.facts.ops, [
    { op: 'Sigmoid', nodes: ['s1', 's2'], reason: 'no kernel' },
    { op: 'MaxPool', nodes: ['pool1'], reason: 'no kernel' },
  ]);
  t.regex(
    error?.message ?? '',
    /model "built"[\s\S]*\n {2}Sigmoid x2: "s1", "s2" \(no kernel\)\n {2}MaxPool x1: "pool1"[\s\S]*\nHint: .*--blocks/,
  );
  t.notThrows(() => differentiate(graph, new Set(['conv1/weight'])));
});

test('statistics cannot be trained', (t) => {
  t.throws(() => differentiate(chain(), new Set(['norm1/mean'])), {
    instanceOf: UnsupportedOpError,
    message: /Affine x1: "norm1" \(its mean cannot be trained\)/,
  });
});
