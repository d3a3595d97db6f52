import test from 'ava';
import { UsageError } from '../../runtime/errors.ts';
import { findBlocks } from '../../runtime/graph/blocks.ts';
import type { Graph } from '../../runtime/graph/graph.ts';
import { globToRegExp } from '../../runtime/scheme/globs.ts';
import type { SchemeOptions } from '../../runtime/scheme/options.ts';
import { applyScheme } from '../../runtime/scheme/scheme.ts';
import { GraphBuilder, relu, relu6 } from '../support/graphs.ts';

/** A stem; a bottleneck with norms and, inside it, squeeze-excite with biases; a block with LayerNorm and biases. */
function normed(): Graph {
  const b = new GraphBuilder([8, 8, 3]);
  let x = b.norm('b1/n', b.conv('b1/conv', 'image', 6), relu6);
  const wide = b.norm('b2/n1', b.conv('b2/expand', x, 12), relu6);
  const squeezed = b.node('GlobalAveragePool', 'b2/pool', [wide], {}, { keepAxes: true });
  const small = b.clip('b2/relu', b.shift('b2/reduce bias', b.conv('b2/reduce', squeezed, 4)), relu);
  const raw = b.shift('b2/excite bias', b.conv('b2/excite', small, 12));
  const slopes = { function: 'hardSigmoid', alpha: 1 / 6, beta: 0.5, save: 'float' };
  const gate = b.node('Activation', 'b2/gate', [raw], {}, slopes);
  const gated = b.node('Mul', 'b2/gated', [wide, gate]);
  x = b.add('b2/add', b.norm('b2/n2', b.conv('b2/project', gated, 6)), x);
  const mixed = b.shift('b3/depth bias', b.depthwise('b3/depth', x));
  const even = b.node('LayerNorm', 'b3/ln', [mixed], { scale: [6], shift: [6] }, { epsilon: 1e-6 });
  const up = b.clip('b3/relu', b.shift('b3/up bias', b.conv('b3/up', even, 12)), relu);
  x = b.add('b3/add', b.shift('b3/down bias', b.conv('b3/down', up, 6)), x);
  b.head(x, 3);
  return b.build();
}

/** Two bottlenecks whose norms were folded into their convolutions. */
function folded(): Graph {
  const b = new GraphBuilder([8, 8, 3]);
  let x = b.shift('b1/bias', b.conv('b1/conv', 'image', 6));
  for (const name of ['b2', 'b3']) {
    const wide = b.clip(`${name}/relu`, b.shift(`${name}/expand bias`, b.conv(`${name}/expand`, x, 12)));
    x = b.add(`${name}/add`, b.shift(`${name}/project bias`, b.conv(`${name}/project`, wide, 6)), x);
  }
  b.head(x, 3);
  return b.build();
}

const head = { 'fc/weight': 'head', 'logits/shift': 'head' };
const trained = (graph: Graph, options: SchemeOptions) => Object.fromEntries(applyScheme(graph, options).trains);
const group = (name: string, ...parameters: readonly string[]) =>
  Object.fromEntries(parameters.map((parameter) => [parameter, name]));
const norms = (...parameters: readonly string[]) => group('norms', ...parameters);
const weights = (...parameters: readonly string[]) => group('weights', ...parameters);

const b3Biases = norms('b3/depth bias/shift', 'b3/up bias/shift', 'b3/down bias/shift');
const b3Weights = weights('b3/depth/weight', 'b3/up/weight', 'b3/down/weight');
const b2Biases = norms('b2/reduce bias/shift', 'b2/excite bias/shift');
const b2Weights = weights('b2/expand/weight', 'b2/reduce/weight', 'b2/excite/weight', 'b2/project/weight');

test('the nets of this file fall into the blocks it counts on', (t) => {
  const rolesOf = (graph: Graph) => findBlocks(graph).map(({ role }) => role);
  t.deepEqual(rolesOf(normed()), ['block', 'block', 'block', 'head']);
  t.deepEqual(rolesOf(folded()), ['block', 'block', 'block', 'head']);
});

test('shifts: shifts of norms of either kind, not the biases beside them', (t) => {
  t.deepEqual(trained(normed(), { name: 'shifts', blocks: 2 }), {
    ...norms('b2/n1/shift', 'b2/n2/shift', 'b3/ln/shift'),
    ...head,
  });
});

test('bias: all that is added, of norms and of convolutions', (t) => {
  t.deepEqual(trained(normed(), { name: 'bias', blocks: 1 }), { ...b3Biases, ...norms('b3/ln/shift'), ...head });
  t.deepEqual(trained(normed(), { name: 'bias', blocks: 2 }), {
    ...b2Biases,
    ...norms('b2/n1/shift', 'b2/n2/shift'),
    ...b3Biases,
    ...norms('b3/ln/shift'),
    ...head,
  });
});

test('norms: scale and shift of norms of either kind, not the biases beside them', (t) => {
  const b3 = norms('b3/ln/scale', 'b3/ln/shift');
  t.deepEqual(trained(normed(), { name: 'norms', blocks: 1 }), { ...b3, ...head });
  t.deepEqual(trained(normed(), { name: 'norms', blocks: 2 }), {
    ...norms('b2/n1/scale', 'b2/n1/shift', 'b2/n2/scale', 'b2/n2/shift'),
    ...b3,
    ...head,
  });
});

test('blocks: everything in the top blocks but the statistics; full: the same in all blocks', (t) => {
  const b3 = { ...b3Weights, ...b3Biases, ...norms('b3/ln/scale', 'b3/ln/shift'), ...head };
  const b2Norms = norms('b2/n1/scale', 'b2/n1/shift', 'b2/n2/scale', 'b2/n2/shift');
  const b2 = { ...b2Weights, ...b2Biases, ...b2Norms, ...b3 };
  const all = { ...weights('b1/conv/weight'), ...norms('b1/n/scale', 'b1/n/shift'), ...b2 };
  t.deepEqual(trained(normed(), { name: 'blocks', blocks: 0 }), head);
  t.deepEqual(trained(normed(), { name: 'blocks', blocks: 1 }), b3);
  t.deepEqual(trained(normed(), { name: 'blocks', blocks: 2 }), b2);
  t.deepEqual(trained(normed(), { name: 'blocks', blocks: 3 }), all);
  t.deepEqual(trained(normed(), { name: 'full', blocks: 0 }), all);
  t.is(applyScheme(normed(), { name: 'full', blocks: 1 }).blocks, 3);
});

test('where norms were folded, shifts, bias and norms all train the biases that stand for them', (t) => {
  const b3 = norms('b3/expand bias/shift', 'b3/project bias/shift');
  const b2 = norms('b2/expand bias/shift', 'b2/project bias/shift');
  for (const name of ['shifts', 'bias', 'norms'] as const) {
    t.deepEqual(trained(folded(), { name, blocks: 1 }), { ...b3, ...head }, name);
    t.deepEqual(trained(folded(), { name, blocks: 2 }), { ...b2, ...b3, ...head }, name);
  }
  const b3Folded = { ...weights('b3/expand/weight', 'b3/project/weight'), ...b3 };
  t.deepEqual(trained(folded(), { name: 'blocks', blocks: 1 }), { ...b3Folded, ...head });
  t.deepEqual(trained(folded(), { name: 'full', blocks: 0 }), {
    ...weights('b1/conv/weight', 'b2/expand/weight', 'b2/project/weight'),
    ...norms('b1/bias/shift'),
    ...b2,
    ...b3Folded,
    ...head,
  });
});

test('train: the tensors that match, whatever the scheme and blocks say, and no statistics', (t) => {
  t.deepEqual(trained(normed(), { name: 'head', blocks: 0, train: ['b[2-3]/*bias/shift'] }), {
    ...b2Biases,
    ...b3Biases,
  });
  t.deepEqual(trained(normed(), { name: 'full', blocks: 0, train: ['b2/n?/*', 'fc/*'] }), {
    ...norms('b2/n1/scale', 'b2/n1/shift', 'b2/n2/scale', 'b2/n2/shift'),
    'fc/weight': 'head',
  });
});

test('freeze: takes away from the scheme, from --train and from the head', (t) => {
  t.deepEqual(trained(normed(), { name: 'bias', blocks: 1, freeze: ['b3/*'] }), head);
  t.deepEqual(trained(normed(), { name: 'norms', blocks: 1, freeze: ['*/scale', 'fc/*'] }), {
    ...norms('b3/ln/shift'),
    'logits/shift': 'head',
  });
  t.deepEqual(trained(normed(), { name: 'head', blocks: 0, train: ['b3/ln/*'], freeze: ['*/s[!h]*'] }), {
    ...norms('b3/ln/shift'),
  });
});

test('train and freeze that leave nothing are refused', (t) => {
  const cases: readonly Partial<SchemeOptions>[] = [
    { freeze: ['*'] },
    { train: ['b3/*'], freeze: ['b3/*'] },
    { train: ['*/mean', '*/variance'] },
  ];
  for (const options of cases) {
    const error = t.throws(() => applyScheme(normed(), { name: 'full', blocks: 0, ...options }), {
      instanceOf: UsageError,
    });
    t.regex(error?.message ?? '', /nothing of "built" trains with these --train and --freeze patterns/);
  }
});

test('globToRegExp: matches whole names', (t) => {
  const cases: readonly (readonly [glob: string, yes: readonly string[], no: readonly string[]])[] = [
    ['b1/*', ['b1/', 'b1/n/scale', 'b1/\n'], ['b1', 'ab1/n', 'b11/n']],
    ['*', ['', 'anything/at all'], []],
    ['n?', ['n1', 'n/'], ['n', 'n12']],
    ['layer.[5-7].*', ['layer.5.w', 'layer.7.w'], ['layer.4.w', 'layer.8.w', 'layer.55.w', 'layer_5.w']],
    ['[abc]x', ['ax', 'cx'], ['dx', 'x', 'abcx']],
    ['[!a]x', ['bx', '!x', '/x'], ['ax', 'x']],
    ['[!0-9]', ['a'], ['0', '9']],
    ['[^a]', ['^', 'a'], ['b']],
    ['[a!]', ['a', '!'], ['b']],
    ['[]a]', [']', 'a'], ['b', ']a']],
    ['[.]', ['.'], ['a']],
    ['[*?]', ['*', '?'], ['a', '']],
    ['[\\]', ['\\'], [']', '[']],
    ['[5', ['[5'], ['5']],
    ['a]', ['a]'], ['a']],
    ['a.b', ['a.b'], ['axb']],
    ['(a|b)+{2}^$', ['(a|b)+{2}^$'], ['a', 'ab']],
    ['a\\d', ['a\\d'], ['a1']],
    ['Conv/W::0', ['Conv/W::0'], ['conv/w::0']],
  ];
  for (const [glob, yes, no] of cases) {
    const pattern = globToRegExp(glob);
    for (const name of yes) t.true(pattern.test(name), `${glob} matches ${JSON.stringify(name)}`);
    for (const name of no) t.false(pattern.test(name), `${glob} does not match ${JSON.stringify(name)}`);
  }
});

test('a pattern that is malformed or matches nothing is refused by its option', (t) => {
  for (const option of ['train', 'freeze'] as const) {
    for (const glob of ['[7-5]', '*[z-a]']) {
      t.throws(() => applyScheme(normed(), { name: 'full', blocks: 0, [option]: [glob] }), {
        instanceOf: UsageError,
        message: `--${option} "${glob}" is no pattern: expected *, ? and sets such as [5-7] that rise`,
      });
    }
    for (const glob of ['', '[]', '[b', '[!]', 'b2', 'b3/LN/*']) {
      const error = t.throws(() => applyScheme(normed(), { name: 'full', blocks: 0, [option]: ['b3/*', glob] }), {
        instanceOf: UsageError,
      });
      t.true(error?.message.startsWith(`--${option} "${glob}" matches no tensor of "built"\nHint: `), error?.message);
    }
  }
});

/** The graph in which `reader`'s parameter of a role is the tensor `parameter` of another node. */
function sharing(graph: Graph, reader: string, role: string, parameter: string): Graph {
  const nodes = graph.nodes.map((node) =>
    node.name === reader ? { ...node, parameters: { ...node.parameters, [role]: parameter } } : node,
  );
  const parameters = new Map(graph.parameters);
  parameters.delete(`${reader}/${role}`);
  return { ...graph, nodes, parameters };
}

test('a parameter that a frozen block reads too does not train', (t) => {
  const graph = sharing(folded(), 'b3/expand', 'weight', 'b2/expand/weight');
  const b3 = {
    ...weights('b3/project/weight'),
    ...norms('b3/expand bias/shift', 'b3/project bias/shift'),
  };
  t.deepEqual(trained(graph, { name: 'blocks', blocks: 1 }), { ...b3, ...head });
  t.deepEqual(applyScheme(graph, { name: 'blocks', blocks: 1 }).parts[2]?.trains.includes('b2/expand/weight'), false);
  t.deepEqual(trained(graph, { name: 'blocks', blocks: 2 }), {
    ...weights('b2/expand/weight', 'b2/project/weight'),
    ...norms('b2/expand bias/shift', 'b2/project bias/shift'),
    ...b3,
    ...head,
  });
  t.deepEqual(trained(graph, { name: 'head', blocks: 0, train: ['b2/expand/*', 'fc/*'] }), {
    'b2/expand/weight': 'weights',
    'fc/weight': 'head',
  });
});

test('where the only tensor that would train is shared with a frozen block, nothing trains', (t) => {
  const graph = sharing(folded(), 'b3/expand', 'weight', 'b2/expand/weight');
  const all = sharing(graph, 'b2/expand bias', 'shift', 'b3/expand bias/shift');
  t.throws(() => applyScheme(all, { name: 'blocks', blocks: 1, freeze: ['b[!2]/*', 'fc/*', 'logits/*'] }), {
    instanceOf: UsageError,
  });
});
