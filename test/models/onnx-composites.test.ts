/** What exporters write as several ops, and the ops that torchvision's networks need: read as one, equal in onnxruntime. */
import test from 'ava';
import { makeNode } from '../../models/onnx/proto.ts';
import { Random } from '../../runtime/train/random.ts';
import { normals } from '../support/draws.ts';
import { assertSame, opsOf } from '../support/onnx-check.ts';
import { OnnxBuilder } from '../support/onnx-models.ts';

/** One activation written as a graph between a convolution and the head. */
type Writing = (b: OnnxBuilder, x: string) => string;

const number = (b: OnnxBuilder, name: string, value: number): string => b.weight(name, [], [value]);

const two =
  (op: string, name: string, right: number): Writing =>
  (b, x) =>
    b.node(op, name, [x, number(b, `${name}.c`, right)]);
const relu6 = (b: OnnxBuilder, x: string): string => b.relu6('six', two('Add', 'plus3', 3)(b, x));

const writings: Readonly<Record<string, readonly [name: string, opset: number, write: Writing][]>> = {
  hardSwish: [
    ['the op', 14, (b, x) => b.node('HardSwish', 'y', [x])],
    [
      'x * HardSigmoid(x)',
      13,
      (b, x) => b.node('Mul', 'y', [b.node('HardSigmoid', 'h', [x], { alpha: { float: 1 / 6 } }), x]),
    ],
    ['(x * Clip(x + 3, 0, 6)) / 6', 11, (b, x) => two('Div', 'y', 6)(b, b.node('Mul', 'm', [x, relu6(b, x)]))],
    [
      'x * (Clip(3 + x) * 0.1666667)',
      12,
      (b, x) => {
        const sum = b.node('Add', 'plus3', [number(b, 'three', 3), x]);
        return b.node('Mul', 'y', [two('Mul', 'm', 1 / 6)(b, b.relu6('six', sum)), x]);
      },
    ],
    ['(x / 6) * Clip(x + 3, 0, 6)', 9, (b, x) => b.node('Mul', 'y', [two('Div', 'd', 6)(b, x), relu6(b, x)])],
    [
      'x * Clip(Relu(x + 3), max 6) / 6',
      9,
      (b, x) => {
        const sum = b.relu('r', two('Add', 'plus3', 3)(b, x));
        return two('Div', 'y', 6)(b, b.node('Mul', 'm', [x, b.node('Clip', 'six', [sum], { max: { float: 6 } })]));
      },
    ],
  ],
  hardSigmoid: [
    ['Clip(x + 3, 0, 6) / 6', 11, (b, x) => two('Div', 'y', 6)(b, relu6(b, x))],
    ['the op', 13, (b, x) => b.node('HardSigmoid', 'y', [x], { alpha: { float: 0.3 }, beta: { float: 0.4 } })],
    ['the op with its defaults', 13, (b, x) => b.node('HardSigmoid', 'y', [x])],
  ],
  silu: [['x * Sigmoid(x)', 13, (b, x) => b.node('Mul', 'y', [x, b.node('Sigmoid', 's', [x])])]],
  gelu: [
    ['the op', 20, (b, x) => b.node('Gelu', 'y', [x])],
    [
      '(x * (Erf(x / sqrt 2) + 1)) * 0.5',
      13,
      (b, x) => {
        const erf = two('Add', 'plus1', 1)(b, b.node('Erf', 'e', [two('Div', 'd', Math.SQRT2)(b, x)]));
        return two('Mul', 'y', 0.5)(b, b.node('Mul', 'm', [x, erf]));
      },
    ],
    [
      '(0.5 x) * (1 + Erf(x * 0.7071))',
      13,
      (b, x) => {
        const erf = two('Add', 'plus1', 1)(b, b.node('Erf', 'e', [two('Mul', 'd', Math.SQRT1_2)(b, x)]));
        return b.node('Mul', 'y', [erf, two('Mul', 'half', 0.5)(b, x)]);
      },
    ],
  ],
  geluTanh: [
    ['the op', 20, (b, x) => b.node('Gelu', 'y', [x], { approximate: 'tanh' })],
    [
      '0.5 x (1 + Tanh(0.798 (x + 0.0447 x^3)))',
      13,
      (b, x) => {
        const sum = b.node('Add', 's', [x, two('Mul', 'k', 0.044715)(b, two('Pow', 'p', 3)(b, x))]);
        const tanh = b.node('Tanh', 't', [two('Mul', 'q', Math.sqrt(2 / Math.PI))(b, sum)]);
        return b.node('Mul', 'y', [two('Mul', 'half', 0.5)(b, x), two('Add', 'plus1', 1)(b, tanh)]);
      },
    ],
  ],
  sigmoid: [['the op', 13, (b, x) => b.node('Sigmoid', 'y', [x])]],
  tanh: [['the op', 13, (b, x) => b.node('Tanh', 'y', [x])]],
  leakyRelu: [['the op', 13, (b, x) => b.node('LeakyRelu', 'y', [x], { alpha: { float: 0.2 } })]],
  elu: [['the op', 13, (b, x) => b.node('Elu', 'y', [x])]],
};

for (const [name, ways] of Object.entries(writings)) {
  for (const [title, opset, write] of ways) {
    test(`${name}: ${title}, opset ${opset}`, async (t) => {
      const b = new OnnxBuilder({ opset, size: 6 });
      b.head(write(b, b.conv('conv', 'image', 5, { bias: true })), 3);
      const ops = 'Conv Affine Activation GlobalAveragePool Flatten Gemm Affine';
      const graph = await assertSame(t, b.model(), ops, 6);
      t.is(graph.nodes[2]?.attributes.function, name);
    });
  }
}

test('a pattern whose middle somebody else reads is left as it is', async (t) => {
  const b = new OnnxBuilder({ size: 6 });
  const x = b.conv('conv', 'image', 4, { bias: true });
  const gate = b.node('Sigmoid', 'gate', [x]);
  b.head(b.add('sum', b.node('Mul', 'silu', [x, gate]), gate), 3);
  await assertSame(t, b.model(), 'Conv Affine Activation Mul Add GlobalAveragePool Flatten Gemm Affine', 6);
});

test('squeeze and excite: a gate of one factor a channel', async (t) => {
  const b = new OnnxBuilder({ size: 6 });
  const x = b.conv('conv', 'image', 4, { bias: true });
  const squeezed = b.relu('fc1_relu', b.conv('fc1', b.node('GlobalAveragePool', 'squeeze', [x]), 2, { bias: true }));
  const gate = b.node('HardSigmoid', 'gate', [b.conv('fc2', squeezed, 4, { bias: true })]);
  b.head(b.node('Mul', 'excite', [gate, x]), 3);
  const graph = await assertSame(t, b.model(), undefined, 6);
  t.deepEqual(graph.nodes.find(({ op }) => op === 'Mul')?.inputs, ['conv', 'gate']);
  t.is(graph.nodes.filter(({ op }) => op === 'Opaque').length, 0);
});

test('windows: grouped convolution, pools with ceil, counted pads and a Pad before', async (t) => {
  const b = new OnnxBuilder({ size: 13 });
  let x = b.conv('stem', 'image', 6, { kernel: 3, bias: true });
  const weight = normals(new Random(2), [8, 3, 3, 3], 0, 0.3);
  x = b.node('Conv', 'grouped', [x, b.weight('w', [8, 3, 3, 3], weight)], { group: 2, pads: [1, 1, 1, 1] }, 8);
  x = b.node('MaxPool', 'max', [x], { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1 });
  x = b.node('Pad', 'none', [x, b.integers('no pads', [8], [0, 0, 0, 0, 0, 0, 0, 0])]);
  const pads = { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [1, 1] };
  x = b.node('AveragePool', 'mean', [x], { ...pads, count_include_pad: 1 });
  x = b.node('AveragePool', 'mean2', [x], pads);
  x = b.node('Pad', 'frame', [x, b.integers('pads', [8], [0, 0, 1, 0, 0, 0, 2, 1])]);
  x = b.node('AveragePool', 'mean3', [x], { kernel_shape: [3, 3], strides: [2, 2] });
  b.head(b.node('GlobalMaxPool', 'top', [x]), 3);
  const ops =
    'Conv Affine GroupedConv MaxPool AveragePool AveragePool AveragePool MaxPool GlobalAveragePool Flatten Gemm Affine';
  await assertSame(t, b.model(), ops, 13);
});

test('channels: concat, split, slice and shuffle', async (t) => {
  const b = new OnnxBuilder({ size: 6 });
  const x = b.node('Concat', 'both', [b.conv('a', 'image', 4), b.conv('c', 'image', 2)], { axis: 1 }, 6);
  b.nodes.push(makeNode('Split', 'split', [x, b.integers('parts', [2], [2, 4])], ['low', 'high'], { axis: 1 }));
  const slice = [b.integers('from', [1], [-3]), b.integers('to', [1], [2 ** 31]), b.integers('axes', [1], [1])];
  b.node('Slice', 'end', ['high', ...slice], {}, 3);
  const joined = b.node('Concat', 'joined', ['low', 'end', b.conv('d', 'image', 1)], { axis: -3 }, 6);
  const apart = b.node('Reshape', 'apart', [joined, b.integers('five', [5], [0, 3, 2, 6, 6])]);
  const turned = b.node('Transpose', 'turned', [apart], { perm: [0, 2, 1, 3, 4] });
  const shuffled = b.node('Reshape', 'shuffled', [turned, b.integers('four', [4], [0, -1, 6, 6])], {}, 6);
  b.head(b.conv('e', shuffled, 4), 3);
  const graph = await assertSame(t, b.model(), undefined, 6);
  t.regex(opsOf(graph), /Concat ChannelSlice ChannelSlice ChannelSlice Conv Concat ChannelShuffle Conv/);
});

test('numbers and constants a channel: Affine, where what cannot learn is a statistic', async (t) => {
  const b = new OnnxBuilder({ size: 6 });
  let x = two('Div', 'stretched', 0.25)(b, two('Sub', 'centred', 0.5)(b, 'image'));
  x = two('Add', 'more', 0.3)(b, two('Mul', 'times', 2)(b, b.conv('conv', x, 4)));
  const values = [0.5, 2, 3, -1];
  x = b.node('Mul', 'scaled', [b.weight('gamma', [4, 1, 1], values), x]);
  x = b.node('Sub', 'less', [x, b.weight('mu', [1, 4, 1, 1], values)]);
  b.head(b.node('Div', 'divided', [x, b.weight('sigma', [1, 4, 1, 1], [1, 2, 3, 4])]), 3);
  const graph = await assertSame(t, b.model(), undefined, 6);
  const roles = graph.nodes.map(({ parameters }) => Object.keys(parameters).join()).slice(0, 8);
  t.deepEqual(roles, ['mean', 'variance', 'weight', 'variance', 'mean', 'scale', 'mean', 'variance']);
  t.is(graph.parameters.get('mu')?.origin.tensor, 'mu');
});
