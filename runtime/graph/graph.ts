/**
 * @file The graph: frozen plain data between the model reader and everything that plans or trains.
 *
 * Activations are channels-last and their shapes are those of one image: `[H, W, C]` for maps, `[C]` for vectors. The
 * batch is a factor that plan and engine apply. Names are the ONNX file's own.
 */

/** Shape of one image's tensor (`[H, W, C]` or `[C]`), or of a parameter in the layout its kernel wants. */
export type Shape = readonly number[];

/** Attributes are JSON, so that a plan which holds them can be saved and replayed. */
export type AttributeValue = number | string | boolean | null | readonly number[];
export type Attributes = { readonly [name: string]: AttributeValue };

/** One operation. `op` is a key of the kernel table, or `Opaque` for what only onnxruntime can run. */
export interface Node<A extends Attributes = Attributes> {
  readonly op: string;
  /** Name of the (first) ONNX node it stands for. */
  readonly name: string;
  /** Activation tensors it reads. */
  readonly inputs: readonly string[];
  /** Parameter of each role, e.g. `{ weight: 'features.1.conv.weight' }`. */
  readonly parameters: Readonly<Record<string, string>>;
  readonly output: string;
  readonly attributes: A;
}

/** Weights and stored statistics. */
export interface Parameter {
  readonly name: string;
  readonly shape: Shape;
  /** The values in graph layout: `shape`, row-major. A function, because whoever plans or prints needs none of them. */
  readonly data: () => Float32Array;
  /** How the tensor is laid out in the user's file. */
  readonly origin: Origin;
}

/**
 * Where a parameter lives in the ONNX file: `tensor` is the initializer (or Constant) that holds it with `shape`;
 * graph axis i is file axis `permutation[i]`, after which `Parameter.shape` may drop axes of extent 1.
 * `tensor` is null where the file has none, as for a new head.
 */
export interface Origin {
  readonly tensor: string | null;
  readonly shape: Shape;
  readonly permutation: readonly number[];
}

/** `block` counts in `--blocks k`; `neck` is what stands between the last block and the head, and trains with it. */
export type BlockRole = 'block' | 'neck' | 'head';

/** A run of nodes between two places where a single tensor is alive. */
export interface Block {
  readonly name: string;
  readonly role: BlockRole;
  /** Names of its nodes, in topological order. */
  readonly nodes: readonly string[];
  readonly input: string;
  readonly output: string;
}

/**
 * A loss that some nodes have besides what the output's loss asks of them: the mean over images of a tensor of one value. Its
 * gradient reaches these nodes' parameters and no node outside.
 */
export interface LocalLoss {
  readonly tensor: string;
  /** Names of the nodes, in the graph's order; the last makes `tensor`. */
  readonly nodes: readonly string[];
}

export interface Graph {
  readonly name: string;
  /** The image tensor. */
  readonly input: string;
  /** The logits: last tensor before any softmax. */
  readonly output: string;
  /** What the file itself applies to the logits; `softmax` is kept on export. */
  readonly tail: 'none' | 'softmax';
  /** Shape of every activation tensor, of one image. */
  readonly shapes: ReadonlyMap<string, Shape>;
  readonly parameters: ReadonlyMap<string, Parameter>;
  /** In topological order. */
  readonly nodes: readonly Node[];
  /** Tensors the reader made up, such as a convolution's output before its bias; the file cannot be cut there. */
  readonly synthetic: ReadonlySet<string>;
  /** In the order of their nodes; default none. */
  readonly localLosses?: readonly LocalLoss[];
}

/** Number of elements of a shape. */
export function elements(shape: Shape): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

/** Shape of an activation tensor; throws if the graph lacks it, which is a fault of the code and not of the user. */
export function shapeOf(graph: Graph, tensor: string): Shape {
  const shape = graph.shapes.get(tensor);
  if (!shape) throw new Error(`graph "${graph.name}" has no tensor "${tensor}"`);
  return shape;
}

/** Parameter by name; throws if the graph lacks it. */
export function parameterOf(graph: Graph, name: string): Parameter {
  const parameter = graph.parameters.get(name);
  if (!parameter) throw new Error(`graph "${graph.name}" has no parameter "${name}"`);
  return parameter;
}

/** Nodes that read each tensor. */
export function consumers(graph: Graph): ReadonlyMap<string, readonly Node[]> {
  const readers = new Map<string, Node[]>();
  for (const node of graph.nodes) {
    for (const input of new Set(node.inputs)) {
      const list = readers.get(input) ?? [];
      list.push(node);
      readers.set(input, list);
    }
  }
  return readers;
}
