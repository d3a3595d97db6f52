/**
 * ONNX's own single-op cases, where Debian's package libonnx-testdata is installed. Their inputs are no images, so each
 * case is put behind an adapter: a convolution that cuts a map, or a product that cuts a vector, out of an image.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import test from 'ava';
import { TensorProtoSchema } from 'onnx-buf';
import {
  decodeModel,
  type ModelProto,
  makeNode,
  makeTensor,
  makeValueInfo,
  type TensorProto,
  tensorDims,
} from '../../models/onnx/proto.ts';
import { floatData, isFloat } from '../../models/onnx/tensor-data.ts';
import { elements } from '../../runtime/graph/graph.ts';
import { assertClose } from '../support/compare.ts';
import { importModel } from '../support/onnx-models.ts';
import { referenceForward } from '../support/reference-forward.ts';

/** Cases of ops that are read, on maps of at most the image's 3 channels or on vectors. */
const cases = [
  'averagepool_2d_ceil',
  'averagepool_2d_default',
  'averagepool_2d_pads',
  'averagepool_2d_pads_count_include_pad',
  'averagepool_2d_precomputed_pads',
  'averagepool_2d_precomputed_pads_count_include_pad',
  'averagepool_2d_precomputed_same_upper',
  'averagepool_2d_precomputed_strides',
  'averagepool_2d_same_lower',
  'averagepool_2d_same_upper',
  'averagepool_2d_strides',
  'basic_conv_with_padding',
  'basic_conv_without_padding',
  'batchnorm_epsilon',
  'batchnorm_example',
  'conv_with_autopad_same',
  'conv_with_strides_and_asymmetric_padding',
  'conv_with_strides_no_padding',
  'conv_with_strides_padding',
  'flatten_axis1',
  'gemm_default_no_bias',
  'gemm_default_vector_bias',
  'gemm_default_zero_bias',
  'gemm_transposeB',
  'globalaveragepool',
  'globalaveragepool_precomputed',
  'identity',
  'matmul_2d',
  'maxpool_2d_ceil',
  'maxpool_2d_default',
  'maxpool_2d_dilations',
  'maxpool_2d_pads',
  'maxpool_2d_precomputed_pads',
  'maxpool_2d_precomputed_same_upper',
  'maxpool_2d_precomputed_strides',
  'maxpool_2d_same_lower',
  'maxpool_2d_same_upper',
  'maxpool_2d_strides',
];
/** Folder of the cases; null where the package is absent. */
function testdataFolder(): string | null {
  try {
    const files = execFileSync('dpkg', ['-L', 'libonnx-testdata'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      maxBuffer: 2 ** 26,
    });
    const folder = files.split('\n').find((path) => path.endsWith('/data/node'));
    return folder && existsSync(folder) ? folder : null;
  } catch {
    return null;
  }
}

/** The values of the first input as an image of `size` pixels, channels-last, zero where the input has nothing. */
function asImages(values: Float32Array, dims: readonly number[], size: number): Float32Array {
  const images = new Float32Array((dims[0] ?? 1) * size * size * 3);
  const [, channels = 1, height = 1, width = 1] = dims;
  values.forEach((value, i) => {
    const n = Math.floor(i / (channels * height * width));
    const within = i % (channels * height * width);
    const [c, y, x] =
      dims.length === 4
        ? [Math.floor(within / (height * width)), Math.floor(within / width) % height, within % width]
        : [Math.floor(within / size ** 2), Math.floor(within / size) % size, within % size];
    images[((n * size + y) * size + x) * 3 + c] = value;
  });
  return images;
}

/** Puts the model behind its adapter; its other inputs become constants. */
function adapt(model: ModelProto, inputs: readonly TensorProto[], size: number): ModelProto {
  const { graph } = model;
  const [first, ...others] = inputs;
  if (!graph || !first) throw new Error('no graph');
  const [, channels = 1, height = 1, width = 1] = tensorDims(first);
  const [input, ...rest] = graph.input.map(({ name }) => name);
  if (input === undefined) throw new Error('no input');
  if (first.dims.length === 4) {
    const dims = [channels, 3, size - height + 1, size - width + 1];
    const weight = new Float32Array(elements(dims));
    for (let c = 0; c < channels; c++) weight[(c * 3 + c) * elements(dims.slice(2))] = 1;
    graph.initializer.push(makeTensor('adapter', dims, weight));
    graph.node.unshift(makeNode('Conv', 'adapter', ['adapted image', 'adapter'], [input]));
  } else {
    const weight = new Float32Array(channels * 3 * size * size);
    for (let c = 0; c < channels; c++) weight[c * 3 * size * size + c] = 1;
    graph.initializer.push(makeTensor('adapter', [channels, 3 * size * size], weight));
    const flatten = makeNode('Flatten', 'flatten', ['adapted image'], ['flattened image']);
    graph.node.unshift(flatten, makeNode('Gemm', 'adapter', ['flattened image', 'adapter'], [input], { transB: 1 }));
  }
  others.forEach((tensor, i) => {
    tensor.name = rest[i] ?? '';
    graph.initializer.push(tensor);
  });
  graph.input = [makeValueInfo('adapted image', ['N', 3, size, size])];
  return model;
}

/** Channels-last results in ONNX's order. */
function toChannelsFirst(values: Float64Array, dims: readonly number[]): Float64Array {
  const [, channels = 1, ...extents] = dims;
  const pixels = elements(extents);
  return values.map((_, i) => {
    const [n, c, p] = [Math.floor(i / (channels * pixels)), Math.floor(i / pixels) % channels, i % pixels];
    return values[(n * pixels + p) * channels + c] ?? Number.NaN;
  });
}

const folder = testdataFolder();

if (folder === null) {
  test('cases of the ONNX project', (t) => {
    t.log('skipped: the Debian package libonnx-testdata is not installed here');
    t.pass();
  });
}

for (const name of folder === null ? [] : cases) {
  test(`ONNX case ${name}`, async (t) => {
    const at = join(folder ?? '', `test_${name}`);
    const read = async (file: string) =>
      fromBinary(TensorProtoSchema, await readFile(join(at, 'test_data_set_0', file)));
    const model = decodeModel(await readFile(join(at, 'model.onnx')));
    const inputs = await Promise.all((model.graph?.input ?? []).map((_, i) => read(`input_${i}.pb`)));
    t.true(inputs.every(isFloat));
    const [first] = inputs;
    if (!first) return t.fail('no input');
    const dims = tensorDims(first);
    const size = dims.length === 4 ? Math.max(...dims.slice(2)) : Math.ceil(Math.sqrt((dims[1] ?? 1) / 3));
    const images = asImages(floatData(first), dims, size);
    const graph = importModel(adapt(model, inputs, size), size);
    const opaque = graph.nodes.find(({ op }) => op === 'Opaque');
    t.is(opaque, undefined);
    const output = await read('output_0.pb');
    const found = referenceForward(graph, images, dims[0] ?? 1).output;
    assertClose(t, toChannelsFirst(found, tensorDims(output)), floatData(output), { rtol: 1e-4, atol: 1e-5 }, name);
  });
}
