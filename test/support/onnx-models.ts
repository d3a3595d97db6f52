/** @file Builds tiny ONNX models with seeded weights, as real exporters write them. */
import { createHash } from 'node:crypto';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { importGraph } from '../../models/onnx/import.ts';
import type { ModelFile } from '../../models/onnx/model-file.ts';
import {
  type AttributeInput,
  encodeModel,
  type ModelProto,
  makeGraph,
  makeInt64Tensor,
  makeModel,
  makeNode,
  makeTensor,
  makeValueInfo,
  type NodeProto,
  type TensorProto,
} from '../../models/onnx/proto.ts';
import { elements, type Graph, type Shape } from '../../runtime/graph/graph.ts';
import { Random } from '../../runtime/train/random.ts';
import { normals, parameterValues } from './draws.ts';

export interface OnnxOptions {
  /** Height and width of the images; a string is a symbolic dimension. */
  readonly size?: number | string;
  readonly batch?: number | string;
  readonly opset?: number;
  readonly seed?: number;
}

export interface ConvOptions {
  readonly kernel?: number;
  readonly stride?: number;
  readonly depthwise?: boolean;
  readonly bias?: boolean;
}

/** A model in the making. Every method adds a node and returns its output tensor, which has the node's name. */
export class OnnxBuilder {
  readonly nodes: NodeProto[] = [];
  readonly initializers: TensorProto[] = [];
  readonly #channels = new Map<string, number>([['image', 3]]);
  readonly #random: Random;
  readonly #options: Required<OnnxOptions>;

  constructor(options: OnnxOptions = {}) {
    this.#options = { size: 16, batch: 'N', opset: 17, seed: 1, ...options };
    this.#random = new Random(this.#options.seed, 0x6f6e6e78);
  }

  channels(tensor: string): number {
    return this.#channels.get(tensor) ?? 0;
  }

  node(
    op: string,
    name: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, AttributeInput>> = {},
    channels = this.channels(inputs.find((input) => this.#channels.has(input)) ?? ''),
  ): string {
    this.nodes.push(makeNode(op, name, inputs, [name], attributes));
    this.#channels.set(name, channels);
    return name;
  }

  /** A float32 initializer. */
  weight(name: string, dims: Shape, data: ArrayLike<number>): string {
    this.initializers.push(makeTensor(name, dims, Float32Array.from(data)));
    return name;
  }

  integers(name: string, dims: Shape, values: readonly number[]): string {
    this.initializers.push(makeInt64Tensor(name, dims, values));
    return name;
  }

  conv(
    name: string,
    x: string,
    channels: number,
    { kernel = 1, stride = 1, depthwise, bias }: ConvOptions = {},
  ): string {
    const group = depthwise ? this.channels(x) : 1;
    const dims = [channels, this.channels(x) / group, kernel, kernel];
    const deviation = Math.sqrt(2 / elements(dims.slice(1)));
    const inputs = [x, this.weight(`${name}.weight`, dims, normals(this.#random, dims, 0, deviation))];
    if (bias) inputs.push(this.weight(`${name}.bias`, [channels], normals(this.#random, [channels], 0, 0.3)));
    const pad = Math.floor(kernel / 2);
    const attributes = { kernel_shape: [kernel, kernel], strides: [stride, stride], pads: [pad, pad, pad, pad], group };
    return this.node('Conv', name, inputs, attributes, channels);
  }

  norm(name: string, x: string): string {
    const dims = [this.channels(x)];
    const roles = ['scale', 'shift', 'mean', 'variance'];
    const inputs = roles.map((role) => this.weight(`${name}.${role}`, dims, parameterValues(this.#random, role, dims)));
    return this.node('BatchNormalization', name, [x, ...inputs], { epsilon: { float: 1e-3 } });
  }

  relu(name: string, x: string): string {
    return this.node('Relu', name, [x]);
  }

  relu6(name: string, x: string): string {
    if (this.#options.opset < 11) return this.node('Clip', name, [x], { min: { float: 0 }, max: { float: 6 } });
    return this.node('Clip', name, [x, this.weight(`${name}.min`, [], [0]), this.weight(`${name}.max`, [], [6])]);
  }

  add(name: string, a: string, b: string): string {
    return this.node('Add', name, [a, b]);
  }

  gemm(name: string, x: string, features: number, transposed = true): string {
    const dims = transposed ? [features, this.channels(x)] : [this.channels(x), features];
    const data = normals(this.#random, dims, 0, 1 / Math.sqrt(this.channels(x)));
    const inputs = [x, this.weight(`${name}.weight`, dims, data)];
    inputs.push(this.weight(`${name}.bias`, [features], normals(this.#random, [features], 0, 0.3)));
    return this.node('Gemm', name, inputs, { transB: transposed ? 1 : 0 }, features);
  }

  /** GlobalAveragePool, Flatten, Gemm: tensors `pool`, `flat` and `logits`. */
  head(x: string, classes: number): string {
    return this.gemm('logits', this.node('Flatten', 'flat', [this.node('GlobalAveragePool', 'pool', [x])]), classes);
  }

  model(outputs: readonly string[] = ['logits']): ModelProto {
    const { size, batch, opset } = this.#options;
    return makeModel({
      irVersion: 8n,
      opsetImport: [{ domain: '', version: BigInt(opset) }],
      graph: makeGraph({
        name: 'tiny',
        node: this.nodes,
        initializer: this.initializers,
        input: [makeValueInfo('image', [batch, 3, size, size])],
        output: outputs.map((name) => makeValueInfo(name, [batch, this.channels(name)])),
      }),
    });
  }

  file(): ModelFile {
    return modelFile(this.model());
  }
}

/** Convolution, norm, ReLU6, pool and a fully connected layer, as every exporter writes them. */
export function plainNet(options: OnnxOptions = {}): OnnxBuilder {
  const b = new OnnxBuilder(options);
  b.head(b.relu6('relu6', b.norm('norm', b.conv('conv', 'image', 8, { kernel: 3, stride: 2 }))), 5);
  return b;
}

/** A model as if it had been read from disk. */
export function modelFile(proto: ModelProto): ModelFile {
  const bytes = encodeModel(proto);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return {
    path: 'tiny.onnx',
    name: 'tiny',
    sha256,
    proto,
    bytes: bytes.length,
    opset: Number(proto.opsetImport[0]?.version ?? 0),
  };
}

/** Parameters with their values, so that two graphs can be compared. */
export function parameterValuesOf(graph: Graph) {
  return [...graph.parameters.values()].map((parameter) => ({ ...parameter, data: parameter.data() }));
}

export function importModel(proto: ModelProto, imageSize?: number): Graph {
  return importGraph(modelFile(proto), imageSize).graph;
}

/** Runs a model in onnxruntime on images that are channels-last; the output is as the model gives it. */
export async function runOnnxruntime(
  model: Uint8Array,
  images: ArrayLike<number>,
  [height = 1, width = 1, channels = 1]: Shape,
): Promise<Float32Array> {
  const session = await InferenceSession.create(model, { intraOpNumThreads: 1, logSeverityLevel: 3 });
  const size = height * width * channels;
  const count = images.length / size;
  const nchw = new Float32Array(images.length);
  for (let i = 0; i < images.length; i++) {
    const [n, pixel, c] = [Math.floor(i / size), Math.floor((i % size) / channels), i % channels];
    nchw[n * size + c * height * width + pixel] = images[i] ?? Number.NaN;
  }
  const feeds = { [session.inputNames[0] ?? '']: new Tensor('float32', nchw, [count, channels, height, width]) };
  const output = (await session.run(feeds))[session.outputNames[0] ?? ''];
  await session.release();
  if (!(output?.data instanceof Float32Array)) throw new Error('the model gave no float32 output');
  return output.data;
}
