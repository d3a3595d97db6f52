/** @file Versions of small networks, and deltas on them, for tests of what is done with deltas. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Model, openModel } from '../../models/onnx/open-model.ts';
import { encodeModel, type ModelProto, tensorDims } from '../../models/onnx/proto.ts';
import { floatData, setFloatData } from '../../models/onnx/tensor-data.ts';
import type { Delta } from '../../runtime/delta/delta.ts';
import type { NamedTensor } from '../../runtime/delta/safetensors.ts';
import { toFileLayout } from '../../runtime/graph/axes.ts';
import type { Parameter } from '../../runtime/graph/graph.ts';
import { Random } from '../../runtime/train/random.ts';
import { OnnxBuilder, type OnnxOptions } from './onnx-models.ts';

export interface StackOptions extends OnnxOptions {
  /** Channels of each layer: convolution, norm, activation. */
  readonly layers?: readonly number[];
  readonly classes?: number;
  /** Whether the fully connected layer's weight is [classes, features]. */
  readonly transposed?: boolean;
}

/** A stack of convolutions with their norms and a head on what is left of the maps. */
export function stack({
  layers = [8, 8, 12],
  classes = 5,
  transposed = true,
  ...options
}: StackOptions = {}): ModelProto {
  const b = new OnnxBuilder({ size: 16, seed: 9, ...options });
  const top = layers.reduce((x, channels, i) => {
    const conv = b.conv(`layer${i}`, x, channels, { kernel: 3, stride: i === 0 ? 2 : 1 });
    return b.relu(`layer${i}_relu`, b.norm(`layer${i}_norm`, conv));
  }, 'image');
  const flat = b.node('Flatten', 'flat', [b.node('GlobalAveragePool', 'pool', [top])]);
  b.gemm('logits', flat, classes, transposed);
  return b.model();
}

/** The same network after more training: every tensor moved a little, variances by a factor. Changes `proto`. */
export function retrained(proto: ModelProto, seed: number, share = 0.1): ModelProto {
  const random = new Random(seed, 1);
  for (const tensor of proto.graph?.initializer ?? []) {
    if (tensorDims(tensor).length === 0) continue;
    const isVariance = tensor.name.endsWith('variance');
    const move = (value: number): number =>
      isVariance ? value * Math.exp(share * random.normal()) : value + share * Math.abs(value) * random.normal();
    setFloatData(tensor, floatData(tensor).map(move));
  }
  return proto;
}

/** The same network as another exporter would name its tensors. Changes `proto`. */
export function renumbered(proto: ModelProto): ModelProto {
  const names = new Map((proto.graph?.initializer ?? []).map(({ name }, i) => [name, `onnx::Weight_${300 + i}`]));
  for (const tensor of proto.graph?.initializer ?? []) tensor.name = names.get(tensor.name) ?? tensor.name;
  for (const node of proto.graph?.node ?? []) node.input = node.input.map((name) => names.get(name) ?? name);
  return proto;
}

/** Writes a network and opens it. */
export async function opened(folder: string, name: string, proto: ModelProto): Promise<Model> {
  const path = join(folder, name);
  await writeFile(path, encodeModel(proto));
  return openModel(path);
}

export interface DeltaOptions {
  /** Which parameters have been learnt; default all. */
  readonly learns?: (parameter: Parameter) => boolean;
  readonly classes?: readonly string[];
  readonly drop?: readonly string[] | null;
  readonly own?: readonly NamedTensor[];
}

/** What a training might have learnt: every value moved by a normal deviate, variances by a factor. */
export function deltaOn(
  { file, graph, imageSize, preprocessing }: Model,
  seed: number,
  { learns = () => true, classes = ['a', 'b', 'c', 'd', 'e'], drop = null, own = [] }: DeltaOptions = {},
): Delta {
  const random = new Random(seed, 2);
  const variances = new Set(graph.nodes.flatMap(({ parameters }) => parameters.variance ?? []));
  const learnt = [...graph.parameters.values()].filter(learns).map(({ name, origin, data }): NamedTensor => {
    const move = (value: number): number => {
      const by = 0.3 * random.normal();
      return variances.has(name) ? value * Math.exp(by) : value + by;
    };
    return { name: origin.tensor ?? name, shape: origin.shape, data: toFileLayout(data().map(move), origin) };
  });
  return {
    ...{ base: file.sha256, imageSize, classes, preprocessing, drop, metaParts: null, notes: { seed: String(seed) } },
    tensors: new Map([...learnt, ...own].map((tensor) => [tensor.name, tensor])),
  };
}
