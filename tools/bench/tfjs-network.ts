/**
 * @file A graph in TensorFlow.js: its nodes as tf operators, channels-last as they are, so that the same tensors learn there.
 */
import * as tf from '@tensorflow/tfjs';
import type { ActivationAttributes } from '../../kernels/activation.ts';
import type { AffineAttributes } from '../../kernels/affine.ts';
import type { SmoothActivationAttributes } from '../../kernels/smooth-activation.ts';
import type { PoolAttributes, WindowAttributes } from '../../kernels/window.ts';
import { type Graph, type Node, parameterOf, shapeOf } from '../../runtime/graph/graph.ts';

type Operator = (node: Node, x: tf.Tensor, ...more: readonly tf.Tensor[]) => tf.Tensor;

/** Weights in the order tf wants them; its inverse is not needed, since they only live here. */
const weightOrders: Readonly<Record<string, readonly number[]>> = { Conv: [1, 2, 3, 0], Gemm: [1, 0] };

export class TfjsNetwork {
  readonly #graph: Graph;
  readonly #parameters = new Map<string, tf.Tensor | tf.Variable>();
  readonly #prefix: readonly Node[];
  readonly #suffix: readonly Node[];
  readonly #cut: string;

  /**
   * @param trained names of the parameters that learn
   * @throws Error naming every operator that is not written here
   */
  constructor(graph: Graph, trained: readonly string[]) {
    this.#graph = graph;
    const unknown = new Set(graph.nodes.filter(({ op }) => !(op in this.#operators)).map(({ op }) => op));
    if (unknown.size > 0) throw new Error(`not written for TensorFlow.js: ${[...unknown].join(', ')}`);
    const learns = new Set(trained);
    for (const node of graph.nodes) {
      for (const name of Object.values(node.parameters)) {
        if (!this.#parameters.has(name)) this.#parameters.set(name, this.#parameter(node, name, learns.has(name)));
      }
    }
    const first = graph.nodes.findIndex(({ parameters }) => Object.values(parameters).some((name) => learns.has(name)));
    this.#prefix = graph.nodes.slice(0, first);
    this.#suffix = graph.nodes.slice(first);
    this.#cut = graph.input;
  }

  get variables(): tf.Variable[] {
    return [...this.#parameters.values()].filter((value) => value instanceof tf.Variable);
  }

  /** Everything below the first node that learns: tensors that the rest reads, by name. The caller disposes of them. */
  frozen(images: tf.Tensor): ReadonlyMap<string, tf.Tensor> {
    const read = new Set(this.#suffix.flatMap(({ inputs }) => inputs));
    const kept = tf.tidy(() => {
      const values = this.#run(this.#prefix, new Map([[this.#cut, images]]));
      return Object.fromEntries([...values].filter(([name]) => read.has(name) && name !== this.#cut));
    });
    return new Map(Object.entries(kept));
  }

  /** Logits from what `frozen` gave. */
  logits(images: tf.Tensor, frozen: ReadonlyMap<string, tf.Tensor>): tf.Tensor {
    const values = this.#run(this.#suffix, new Map([...frozen, [this.#cut, images]]));
    return values.get(this.#graph.output) as tf.Tensor;
  }

  #run(nodes: readonly Node[], values: Map<string, tf.Tensor>): Map<string, tf.Tensor> {
    for (const node of nodes) {
      const [x, ...more] = node.inputs.map((input) => values.get(input) as tf.Tensor);
      values.set(node.output, (this.#operators[node.op] as Operator)(node, x as tf.Tensor, ...more));
    }
    return values;
  }

  #parameter(node: Node, name: string, learns: boolean): tf.Tensor | tf.Variable {
    const { shape, data } = parameterOf(this.#graph, name);
    return tf.tidy(() => {
      const order = node.parameters.weight === name ? weightOrders[node.op] : undefined;
      const values = tf.tensor(data(), [...shape]);
      const ordered = order ? values.transpose([...order]) : values;
      // tf counts the multiplier of a depthwise weight as a fourth axis.
      const whole = node.op === 'DepthwiseConv' ? ordered.expandDims(3) : ordered;
      return learns ? tf.variable(whole, true) : tf.keep(whole.clone());
    });
  }

  #of(node: Node, role: string): tf.Tensor | undefined {
    return this.#parameters.get(node.parameters[role] ?? '');
  }

  readonly #operators: Readonly<Record<string, Operator>> = {
    Conv: (node, x) => {
      const { padded, pad, strides } = padding(node, x, this.#graph);
      return tf.conv2d(padded, this.#of(node, 'weight') as tf.Tensor4D, strides, pad);
    },
    DepthwiseConv: (node, x) => {
      const { padded, pad, strides } = padding(node, x, this.#graph);
      return tf.depthwiseConv2d(padded, this.#of(node, 'weight') as tf.Tensor4D, strides, pad);
    },
    MaxPool: (node, x) => {
      const { padded, pad, strides } = padding(node, x, this.#graph, Number.NEGATIVE_INFINITY);
      return tf.maxPool(padded, (node.attributes as PoolAttributes).kernel as [number, number], strides, pad);
    },
    Gemm: (node, x) => tf.matMul(x as tf.Tensor2D, this.#of(node, 'weight') as tf.Tensor2D),
    Affine: (node, x) => {
      const attributes = node.attributes as AffineAttributes;
      const [scale, shift, mean, variance] = ['scale', 'shift', 'mean', 'variance'].map((role) => this.#of(node, role));
      if (!variance) {
        const scaled = scale ? x.mul(scale) : x;
        return clipped(attributes, shift ? scaled.add(shift) : scaled);
      }
      const channels = variance.shape[0] ?? 0;
      const norm = tf.batchNorm(
        x,
        (mean ?? tf.zeros([channels])) as tf.Tensor1D,
        variance as tf.Tensor1D,
        (shift ?? tf.zeros([channels])) as tf.Tensor1D,
        (scale ?? tf.ones([channels])) as tf.Tensor1D,
        attributes.epsilon,
      );
      return clipped(attributes, norm);
    },
    Clip: (node, x) => clipped(node.attributes as ActivationAttributes, x),
    Activation: (node, x) => smooth(node.attributes as SmoothActivationAttributes, x),
    Add: (_node, x, y) => x.add(y as tf.Tensor),
    Mul: (_node, x, y) => x.mul(y as tf.Tensor),
    GlobalAveragePool: (_node, x) => x.mean([1, 2], true),
    // Exact where the map is one pixel or a vector, as at the end of the networks compared here.
    Flatten: (_node, x) => x.reshape([x.shape[0] ?? 1, -1]),
  };
}

/** tf pads by "same" or not at all (other pads have no gradient there): anything else is padded beforehand. */
function padding(node: Node, x: tf.Tensor, graph: Graph, value = 0) {
  const { kernel, strides, pads } = node.attributes as WindowAttributes;
  const [top = 0, left = 0, bottom = 0, right = 0] = pads;
  const [inputs = [], outputs = []] = [node.inputs[0] ?? '', node.output].map((tensor) => shapeOf(graph, tensor));
  const same = [0, 1].every((axis) => {
    const [before = 0, after = 0] = axis === 0 ? [top, bottom] : [left, right];
    const [input = 0, output = 0, stride = 1] = [inputs[axis], outputs[axis], strides[axis]];
    const total = Math.max(0, (output - 1) * stride + (kernel[axis] ?? 1) - input);
    return output === Math.ceil(input / stride) && before === Math.floor(total / 2) && after === total - before;
  });
  const steps = strides as [number, number];
  if (same) return { padded: x as tf.Tensor4D, pad: 'same', strides: steps } as const;
  const edges: [number, number][] = [
    [0, 0],
    [top, bottom],
    [left, right],
    [0, 0],
  ];
  const padded = pads.some((pad) => pad > 0) ? tf.pad(x, edges, value) : x;
  return { padded: padded as tf.Tensor4D, pad: 'valid', strides: steps } as const;
}

function clipped({ low, high }: ActivationAttributes, x: tf.Tensor): tf.Tensor {
  if (low === null && high === null) return x;
  if (low === 0 && high === null) return tf.relu(x);
  if (low === 0 && high === 6) return tf.relu6(x);
  return tf.clipByValue(x, low ?? Number.NEGATIVE_INFINITY, high ?? Number.POSITIVE_INFINITY);
}

function smooth({ function: name, alpha, beta }: SmoothActivationAttributes, x: tf.Tensor): tf.Tensor {
  switch (name) {
    case 'hardSwish':
      return x.mul(tf.relu6(x.add(3)).div(6));
    case 'hardSigmoid':
      return tf.clipByValue(x.mul(alpha ?? 0).add(beta ?? 0), 0, 1);
    case 'sigmoid':
      return tf.sigmoid(x);
    case 'silu':
      return x.mul(tf.sigmoid(x));
    default:
      throw new Error(`not written for TensorFlow.js: ${name}`);
  }
}
