import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { importGraph } from '../../models/onnx/import.ts';
import { readModelFile } from '../../models/onnx/model-file.ts';
import { openModel } from '../../models/onnx/open-model.ts';
import { ancestors, extractPrefix } from '../../models/onnx/prefix.ts';
import {
  AttributeType,
  DataLocation,
  DataType,
  encodeModel,
  type GraphProto,
  type ModelProto,
  makeGraph,
  makeNode,
  makeValueInfo,
} from '../../models/onnx/proto.ts';
import { ModelError, UnsupportedOpError } from '../../runtime/errors.ts';
import { countBlocks } from '../../runtime/scheme/scheme.ts';
import { assertClose } from '../support/compare.ts';
import { randomImages } from '../support/draws.ts';
import { mobileNetFile } from '../support/mobilenet.ts';
import { importModel, OnnxBuilder, runOnnxruntime } from '../support/onnx-models.ts';
import { plan as makePlan, openCpu } from '../support/training.ts';

const folder = await mkdtemp(join(tmpdir(), 'edgeshift-onnx-'));
test.after.always(() => rm(folder, { recursive: true, force: true }));

async function write(name: string, bytes: Uint8Array | string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, bytes);
  return path;
}

function plain(): OnnxBuilder {
  const b = new OnnxBuilder();
  b.head(b.relu('relu', b.norm('norm', b.conv('conv', 'image', 8, { kernel: 3 }))), 4);
  return b;
}

const refusal = (message: RegExp) => ({ instanceOf: ModelError, message });

test('a file is read with its name, opset and sha256', async (t) => {
  const bytes = encodeModel(plain().model());
  const file = await readModelFile(await write('My-Net.ONNX', bytes));
  t.is(file.name, 'My-Net');
  t.is(file.opset, 17);
  t.is(file.sha256, createHash('sha256').update(bytes).digest('hex'));
  t.notThrows(() => importGraph(file, undefined));
});

test('missing, empty and foreign files are refused', async (t) => {
  await t.throwsAsync(
    readModelFile(join(folder, 'absent.onnx')),
    refusal(/^cannot read model ".*absent\.onnx": ENOENT/),
  );
  const foreign: Record<string, Uint8Array | string> = {
    'empty.onnx': '',
    'text.onnx': 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n',
    'page.onnx': '<!DOCTYPE html><html><head><title>404</title></head></html>',
    'image.onnx': Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13),
    'zip.onnx': Uint8Array.of(0x50, 0x4b, 3, 4, 20, 0, 0, 0, 8, 0, 0, 0),
    'zeros.onnx': new Uint8Array(100),
  };
  for (const [name, content] of Object.entries(foreign)) {
    const error = await t.throwsAsync(
      readModelFile(await write(name, content)),
      refusal(/is not an ONNX model or is damaged/),
      name,
    );
    t.true(error?.message.includes(`"${join(folder, name)}"`) && error.message.includes('\nHint: '), error?.message);
    t.is(error?.code, 'MODEL');
  }
});

test('a real model cut short anywhere is refused', async (t) => {
  const whole = await readFile((await mobileNetFile()).path);
  const lengths = [
    1,
    2,
    10,
    100,
    1000,
    5000,
    whole.length / 2,
    whole.length - 1000,
    whole.length - 100,
    whole.length - 10,
    whole.length - 1,
  ];
  for (const length of lengths) {
    const path = await write('cut.onnx', whole.subarray(0, Math.floor(length)));
    await t.throwsAsync(
      readModelFile(path),
      { instanceOf: ModelError },
      `${Math.floor(length)} of ${whole.length} bytes`,
    );
  }
});

test('opsets outside 7 to 25 are refused', async (t) => {
  for (const opset of [0, 6, 26]) {
    const b = new OnnxBuilder({ opset });
    b.head(b.conv('conv', 'image', 4), 2);
    const path = await write(`opset${opset}.onnx`, encodeModel(b.model()));
    await t.throwsAsync(readModelFile(path), refusal(new RegExp(`uses ONNX opset ${opset}: expected 7 to 25`)));
  }
});

/** Moves all weights into a data file, each at a multiple of 16 bytes. */
function externalize(model: ModelProto, location: string): Uint8Array {
  const parts: Uint8Array[] = [];
  let offset = 0;
  for (const tensor of model.graph?.initializer ?? []) {
    const data = Uint8Array.from(tensor.rawData);
    const padded = new Uint8Array(Math.ceil(data.length / 16) * 16);
    padded.set(data);
    parts.push(padded);
    const entry = (key: string, value: string) => ({ $typeName: 'onnx.StringStringEntryProto' as const, key, value });
    tensor.externalData = [
      entry('location', location),
      entry('offset', `${offset}`),
      entry('length', `${data.length}`),
    ];
    tensor.dataLocation = DataLocation.EXTERNAL;
    tensor.rawData = new Uint8Array();
    offset += padded.length;
  }
  return Buffer.concat(parts);
}

test('weights in an external file; the sha256 covers them', async (t) => {
  const inline = plain().model();
  const model = plain().model();
  const data = externalize(model, 'external.bin');
  const path = await write('external.onnx', encodeModel(model));
  await write('external.bin', data);
  const file = await readModelFile(path);
  t.deepEqual(
    [...importGraph(file, undefined).graph.parameters.values()],
    [...importModel(inline).parameters.values()],
  );
  data[0] = (data[0] ?? 0) ^ 1;
  await write('external.bin', data);
  t.not((await readModelFile(path)).sha256, file.sha256);
});

test('external data that are missing, short or elsewhere are refused with tensor and file', async (t) => {
  const model = plain().model();
  const data = externalize(model, 'lost.bin');
  const path = await write('lost.onnx', encodeModel(model));
  await t.throwsAsync(
    readModelFile(path),
    refusal(/^tensor "conv\.weight" of ".*lost\.onnx": cannot read its external data from ".*lost\.bin": ENOENT/),
  );
  await write('lost.bin', data.subarray(0, data.length - 20));
  await t.throwsAsync(
    readModelFile(path),
    refusal(/^tensor "logits\.\w+" of .* expected \d+ bytes at \d+, found \d+$/),
  );
  for (const location of ['../outside.bin', '/etc/hostname', 'a/../../b', '']) {
    const elsewhere = plain().model();
    externalize(elsewhere, location);
    await t.throwsAsync(
      readModelFile(await write('elsewhere.onnx', encodeModel(elsewhere))),
      refusal(/must lie beside the model, found/),
      location,
    );
  }
});

test('weights that are not finite are refused with tensor and index', (t) => {
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const b = new OnnxBuilder();
    const weight = new Float32Array(24).fill(1);
    weight[7] = value;
    b.head(b.node('Conv', 'conv', ['image', b.weight('bad', [8, 3, 1, 1], weight)], {}, 8), 2);
    t.throws(() => importModel(b.model()), refusal(new RegExp(`^tensor "bad": value 7 is ${value}`)));
  }
});

test('a tensor shorter than its shape is refused', (t) => {
  const b = new OnnxBuilder();
  b.head(b.node('Conv', 'conv', ['image', b.weight('short', [8, 3, 1, 1], new Float32Array(23))], {}, 8), 2);
  t.throws(() => importModel(b.model()), refusal(/^tensor "short": expected 24 values for \[8,3,1,1\], found 23/));
});

test('shapes that do not fit together are refused with model and node', (t) => {
  const b = new OnnxBuilder();
  b.head(b.node('Conv', 'conv', ['image', b.weight('w', [8, 4, 1, 1], new Float32Array(32))], {}, 8), 2);
  t.throws(() => importModel(b.model()), refusal(/^model "tiny\.onnx": Conv "conv": expected a map of 4 channels/));
});

test('models with two outputs are refused', (t) => {
  t.throws(
    () => importModel(plain().model(['logits', 'relu'])),
    refusal(/^model "tiny\.onnx" has 2 outputs \("logits", "relu"\): expected one/),
  );
});

test('inputs that are not one square RGB image are refused', (t) => {
  const withInput = (...input: ReturnType<typeof makeValueInfo>[]): ModelProto => {
    const model = plain().model();
    if (model.graph) model.graph.input = input;
    return model;
  };
  const integers = makeValueInfo('image', ['N', 3, 16, 16]);
  if (integers.type?.value.case === 'tensorType') integers.type.value.value.elemType = DataType.UINT8;
  const image = makeValueInfo('image', ['N', 3, 16, 16]);
  const cases: [ModelProto, RegExp][] = [
    [withInput(), /expected one float32 image input \[N, 3, H, W\], found none$/],
    [withInput(image, makeValueInfo('mask', [1, 16])), /found "image" \[N, 3, 16, 16\], "mask" \[1, 16\]$/],
    [withInput(makeValueInfo('image', ['N', 768])), /found "image" \[N, 768\]$/],
    [withInput(integers), /expected one float32 image input/],
    [
      withInput(makeValueInfo('image', ['N', 1, 16, 16])),
      /expected images of 3 channels \(NCHW\), found input "image" \[N, 1, 16, 16\]$/,
    ],
    [withInput(makeValueInfo('image', ['N', 16, 16, 3])), /expected images of 3 channels/],
    [withInput(makeValueInfo('image', ['N', 3, 16, 32])), /expected square images.*\nHint: .*--image-size/],
  ];
  for (const [model, message] of cases) t.throws(() => importModel(model), refusal(message));
});

/** A network with ops that only onnxruntime can run between its first and its second convolution. */
function exotic(): OnnxBuilder {
  const b = new OnnxBuilder();
  let x = b.norm('norm1', b.conv('conv1', 'image', 8, { kernel: 3 }));
  x = b.node('Sigmoid', 'gate1', [x]);
  x = b.node('MaxPool', 'pool1', [x], { kernel_shape: [2, 2], strides: [2, 2] });
  x = b.node('Sigmoid', 'gate2', [x]);
  x = b.relu('relu2', b.norm('norm2', b.conv('conv2', x, 8, { kernel: 3 })));
  b.head(b.relu('relu3', b.norm('norm3', b.conv('conv3', x, 8, { kernel: 3 }))), 4);
  return b;
}

test('ops without a kernel above the cut: one error names them all', async (t) => {
  const { graph } = await openModel(await write('exotic.onnx', encodeModel(exotic().model())));
  const error = t.throws(() => makePlan(graph, { blocks: countBlocks(graph) }), { instanceOf: UnsupportedOpError });
  t.deepEqual(error?.facts.ops, [
    { op: 'Sigmoid', nodes: ['gate1', 'gate2'], reason: 'no kernel' },
    { op: 'MaxPool', nodes: ['pool1'], reason: 'no kernel' },
  ]);
  t.regex(
    error?.message ?? '',
    /\n {2}Sigmoid x2: "gate1", "gate2" \(no kernel\)\n {2}MaxPool x1: "pool1" \(no kernel\)\nHint: /,
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
