import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { importGraph } from '../../models/onnx/import.ts';
import { openModel } from '../../models/onnx/open-model.ts';
import { ancestors, extractPrefix } from '../../models/onnx/prefix.ts';
import { AttributeType, encodeModel, type GraphProto, makeGraph, makeNode } from '../../models/onnx/proto.ts';
import { UnsupportedOpError } from '../../runtime/errors.ts';
import { countBlocks } from '../../runtime/scheme/scheme.ts';
import { assertClose } from '../support/compare.ts';
import { randomImages } from '../support/draws.ts';
import { mobileNetFile } from '../support/mobilenet.ts';
import { OnnxBuilder, runOnnxruntime } from '../support/onnx-models.ts';
import { plan as makePlan, openCpu } from '../support/training.ts';

const folder = await mkdtemp(join(tmpdir(), 'edgeshift-onnx-'));
test.after.always(() => rm(folder, { recursive: true, force: true }));

async function write(name: string, bytes: Uint8Array | string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, bytes);
  return path;
}

/** A network with ops that only onnxruntime can run between its first and its second convolution. */
function exotic(): OnnxBuilder {
  const b = new OnnxBuilder();
  let x = b.norm('norm1', b.conv('conv1', 'image', 8, { kernel: 3 }));
  x = b.node('Softplus', 'gate1', [x]);
  x = b.node('LpPool', 'pool1', [x], { kernel_shape: [2, 2], strides: [2, 2] });
  x = b.node('Softplus', 'gate2', [x]);
  x = b.relu('relu2', b.norm('norm2', b.conv('conv2', x, 8, { kernel: 3 })));
  b.head(b.relu('relu3', b.norm('norm3', b.conv('conv3', x, 8, { kernel: 3 }))), 4);
  return b;
}

test('ops without a kernel above the cut: one error names them all', async (t) => {
  const { graph } = await openModel(await write('exotic.onnx', encodeModel(exotic().model())));
  const error = t.throws(() => makePlan(graph, { blocks: countBlocks(graph) }), { instanceOf: UnsupportedOpError });
  t.deepEqual(error?.facts.ops, [
    { op: 'Softplus', nodes: ['gate1', 'gate2'], reason: 'no kernel' },
    { op: 'LpPool', nodes: ['pool1'], reason: 'no kernel' },
  ]);
  t.regex(
    error?.message ?? '',
    /\n {2}Softplus x2: "gate1", "gate2" \(no kernel\)\n {2}LpPool x1: "pool1" \(no kernel\)\nHint: /,
  );
});

test('the same ops below the cut do no harm: onnxruntime runs them', async (t) => {
  const { graph, file } = await openModel(await write('exotic-below.onnx', encodeModel(exotic().model())));
  const plan = makePlan(graph, { blocks: 2, batch: 3, microBatch: 2 });
  t.is(plan.values.cut, 'gate2');
  const seed = 6;
  const images = randomImages(seed, 3, 16);
  const engine = await openCpu(plan, graph, file);
  const logits = await engine.forward({ count: 3, images });
  const expected = await runOnnxruntime(
    encodeModel(file.proto),
    Float32Array.from(images, (pixel) => pixel / 255),
    [16, 16, 3],
  );
  assertClose(t, logits, expected, { rtol: 1e-4, atol: 1e-5 }, `logits, seed ${seed}`);
  const { loss } = await engine.gradients({ count: 3, images }, Int32Array.of(0, 1, 2));
  t.true(Number.isFinite(loss));
  await engine[Symbol.asyncDispose]();
});

test('a prefix holds what the cut needs and nothing else; at the image there is none', async (t) => {
  const file = await mobileNetFile();
  const { graph } = importGraph(file, 64);
  t.is(extractPrefix(file, graph, graph.input), null);
  const low = extractPrefix(file, graph, 'block_1_project_BN');
  const high = extractPrefix(file, graph, 'block_5_add');
  t.true((low?.length ?? Number.NaN) < (high?.length ?? Number.NaN) && (high?.length ?? Number.NaN) < 1e6);
  const map = await runOnnxruntime(high ?? new Uint8Array(), new Float32Array(2 * 64 * 64 * 3), [64, 64, 3]);
  t.is(map.length, 2 * 8 * 8 * 32);
  const vector = await runOnnxruntime(
    extractPrefix(file, graph, 'flatten_1') ?? new Uint8Array(),
    new Float32Array(64 * 64 * 3),
    [64, 64, 3],
  );
  t.is(vector.length, 1280);
});

test('what the body of an If reads from outside belongs to the prefix', (t) => {
  const body = makeGraph({ name: 'then', node: [makeNode('Relu', 'inner', ['outer'], ['inner'])] });
  const graph: GraphProto = makeGraph({
    name: 'g',
    node: [
      makeNode('Conv', 'outer', ['image', 'w'], ['outer']),
      makeNode('Conv', 'other', ['image', 'w'], ['other']),
      {
        opType: 'If',
        name: 'if',
        input: ['condition'],
        output: ['chosen'],
        attribute: [{ name: 'then_branch', type: AttributeType.GRAPH, g: body }],
      },
    ],
  });
  t.deepEqual(
    ancestors(graph, 'chosen').map(({ name }) => name),
    ['outer', 'if'],
  );
});
