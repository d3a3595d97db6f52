/** Layer norms and linear layers on channels-last maps, as ConvNeXt has them: the Transposes around them vanish. */
import test from 'ava';
import { extractPrefix } from '../../models/onnx/prefix.ts';
import { encodeModel } from '../../models/onnx/proto.ts';
import { borders } from '../../runtime/graph/borders.ts';
import { elements, type Graph, shapeOf } from '../../runtime/graph/graph.ts';
import { Random } from '../../runtime/train/random.ts';
import { assertClose } from '../support/compare.ts';
import { normals } from '../support/draws.ts';
import { assertSame } from '../support/onnx-check.ts';
import { importModel, modelFile, OnnxBuilder, runOnnxruntime } from '../support/onnx-models.ts';
import { referenceForward } from '../support/reference-forward.ts';

const SIZE = 8;

function weights(b: OnnxBuilder, name: string, dims: readonly number[], mean = 0, deviation = 0.3): string {
  return b.weight(name, dims, normals(new Random(dims.length + name.length), dims, mean, deviation));
}

/** Mean, deviation and scale written out, over the last axis or axis 1. */
function writtenNorm(b: OnnxBuilder, name: string, x: string, axis: number, dims: readonly number[]): string {
  const mean = b.node('ReduceMean', `${name}.mean`, [x], { axes: [axis] });
  const centred = b.node('Sub', `${name}.centred`, [x, mean]);
  const square = b.node('Pow', `${name}.square`, [centred, b.weight(`${name}.two`, [], [2])]);
  const variance = b.node('ReduceMean', `${name}.variance`, [square], { axes: [axis] });
  const sum = b.node('Add', `${name}.sum`, [variance, b.weight(`${name}.epsilon`, [], [1e-6])]);
  const normal = b.node('Div', `${name}.normal`, [centred, b.node('Sqrt', `${name}.root`, [sum])]);
  const scaled = b.node('Mul', `${name}.scaled`, [normal, weights(b, `${name}.weight`, dims, 1)]);
  return b.node('Add', name, [scaled, weights(b, `${name}.bias`, dims)]);
}

/** One ConvNeXt block with its stem and a norm in the downsampling; `written` writes out every norm. */
function tinyConvNext(written: boolean): OnnxBuilder {
  const b = new OnnxBuilder({ size: SIZE, opset: 17 });
  const last = (name: string, x: string): string => b.node('Transpose', name, [x], { perm: [0, 2, 3, 1] });
  const first = (name: string, x: string): string => b.node('Transpose', name, [x], { perm: [0, 3, 1, 2] });
  const norm = (name: string, x: string): string => {
    const dims = [b.channels(x)];
    if (written) return writtenNorm(b, name, x, -1, dims);
    const inputs = [x, weights(b, `${name}.weight`, dims, 1), weights(b, `${name}.bias`, dims)];
    return b.node('LayerNormalization', name, inputs, { axis: -1, epsilon: { float: 1e-6 } });
  };
  const linear = (name: string, x: string, channels: number): string => {
    const product = b.node(
      'MatMul',
      `${name}.product`,
      [x, weights(b, `${name}.weight`, [b.channels(x), channels])],
      {},
      channels,
    );
    return b.node('Add', name, [weights(b, `${name}.bias`, [channels]), product]);
  };
  const stem = first('stem.first', norm('stem.norm', last('stem.last', b.conv('stem', 'image', 6, { bias: true }))));
  let x = norm('norm', last('last', b.conv('depth', stem, 6, { kernel: 3, depthwise: true, bias: true })));
  x = linear('narrow', b.node('Tanh', 'bend', [linear('wide', x, 12)]), 6);
  x = b.node('Mul', 'layer scale', [weights(b, 'gamma', [6, 1, 1]), first('back', x)]);
  x = b.add('sum', x, stem);
  x = b.conv('down', first('down.first', norm('down.norm', last('down.last', x))), 8, { bias: true });
  x = b.node('GlobalAveragePool', 'pool', [x]);
  const flat = b.node('Flatten', 'flat', [first('top.first', norm('top.norm', last('top.last', x)))]);
  b.gemm('logits', flat, 4);
  return b;
}

for (const written of [false, true]) {
  test(`a ConvNeXt block, norms ${written ? 'written out' : 'as ops'}`, async (t) => {
    const graph = await assertSame(t, tinyConvNext(written).model(), undefined, SIZE);
    const ops = new Set(graph.nodes.map(({ op }) => op));
    t.false(ops.has('Opaque'));
    t.is(graph.nodes.filter(({ op }) => op === 'LayerNorm').length, 4);
    t.deepEqual(graph.parameters.get('wide.weight')?.shape, [12, 1, 1, 6]);
    t.deepEqual(graph.parameters.get('wide.weight')?.origin, {
      tensor: 'wide.weight',
      shape: [6, 12],
      permutation: [1, 0],
    });
  });
}

test('a norm over axis 1, written out', async (t) => {
  const b = new OnnxBuilder({ size: SIZE, opset: 13 });
  b.head(writtenNorm(b, 'norm', b.conv('conv', 'image', 5, { bias: true }), 1, [5, 1, 1]), 3);
  await assertSame(t, b.model(), 'Conv Affine LayerNorm GlobalAveragePool Flatten Gemm Affine', SIZE);
});

test('a norm over all of an image is no norm of its channels', (t) => {
  const b = new OnnxBuilder({ size: SIZE, opset: 17 });
  const x = b.conv('conv', 'image', 5, { bias: true });
  const dims = [5, SIZE, SIZE];
  const inputs = [x, weights(b, 'w', dims), weights(b, 'b', dims)];
  b.head(b.node('LayerNormalization', 'norm', inputs, { axis: 1 }), 3);
  const opaque = importModel(b.model()).nodes.find(({ op }) => op === 'Opaque');
  t.is(opaque?.attributes.reason, 'only over the channels of each pixel');
});

/** The part of a graph above a border. */
const above = (graph: Graph, after: number, tensor: string): Graph => ({
  ...graph,
  input: tensor,
  nodes: graph.nodes.slice(after + 1),
});

test('cut anywhere, the prefix in onnxruntime and the rest in float64 give the logits', async (t) => {
  const seed = 5;
  const file = modelFile(tinyConvNext(false).model());
  const graph = importModel(file.proto, SIZE);
  const images = Float32Array.from(normals(new Random(seed), [2, SIZE, SIZE, 3]));
  const expected = await runOnnxruntime(encodeModel(file.proto), images, [SIZE, SIZE, 3]);
  const cuts = borders(graph).filter(({ after, tensor }) => after >= 0 && !graph.synthetic.has(tensor));
  t.true(
    cuts.some(({ tensor }) => tensor === 'down.norm'),
    'one of them is channels-last in the file',
  );
  for (const { after, tensor } of cuts) {
    const prefix = extractPrefix(file, graph, tensor) ?? new Uint8Array();
    const features = await runOnnxruntime(prefix, images, [SIZE, SIZE, 3]);
    t.is(features.length, 2 * elements(shapeOf(graph, tensor)), tensor);
    const { output } = referenceForward(above(graph, after, tensor), features, 2);
    assertClose(t, output, expected, { rtol: 1e-4, atol: 1e-5 }, `cut "${tensor}", seed ${seed}`);
  }
});
