/**
 * @file From an ONNX graph to the Graph: constants are resolved, maps become channels-last, every node is read by the rule of
 * its op (operators.ts). What no rule reads stays as an opaque node with the reason, good enough for the frozen part.
 */
import { kernelOf } from '../../kernels/index.ts';
import { EdgeshiftError, ModelError } from '../../runtime/errors.ts';
import { toGraphLayout } from '../../runtime/graph/axes.ts';
import { fuseActivations } from '../../runtime/graph/fuse.ts';
import type { Attributes, Graph, Node, Parameter, Shape } from '../../runtime/graph/graph.ts';
import { imageInput } from './image-input.ts';
import type { ModelFile } from './model-file.ts';
import { OnnxNode } from './onnx-node.ts';
import { operators } from './operators.ts';
import { declaredDims, type TensorProto, tensorDims } from './proto.ts';
import { ShapeArithmetic } from './shape-arithmetic.ts';
import { checkWeights, floatData, integerData, isFloat, isInteger } from './tensor-data.ts';

export { OnnxNode };

export interface ImportResult {
  readonly graph: Graph;
  /** Tensors above opaque nodes whose shape the file does not tell and a rule would need; probe them and import again. */
  readonly unknown: readonly string[];
}

/**
 * Reads a model file into a Graph.
 * @param imageSize height and width for the input in pixels; default: the file's own, or 224 where it leaves them open
 * @param probed dims of tensors, batch first, that onnxruntime has told
 */
export function importGraph(
  file: ModelFile,
  imageSize: number | undefined,
  probed: ReadonlyMap<string, readonly number[]> = new Map(),
): ImportResult {
  return new ImportContext(file, imageSize, probed).run();
}

/** What a rule may ask and do. */
export class ImportContext {
  readonly #file: ModelFile;
  readonly #input: { readonly name: string; readonly shape: Shape };
  readonly #shapes = new Map<string, Shape>();
  readonly #known = new Map<string, readonly (number | null)[]>();
  readonly #constants = new Map<string, TensorProto>();
  readonly #renamed = new Map<string, string>();
  readonly #parameters = new Map<string, Parameter>();
  readonly #nodes: Node[] = [];
  readonly #names = new Set<string>();
  readonly #synthetic = new Set<string>();
  readonly #arithmetic: ShapeArithmetic;
  readonly #unknown: string[] = [];

  constructor(file: ModelFile, imageSize: number | undefined, probed: ReadonlyMap<string, readonly number[]>) {
    this.#file = file;
    this.#input = imageInput(file, imageSize);
    this.#shapes.set(this.#input.name, this.#input.shape);
    const declared = file.proto.graph?.valueInfo ?? [];
    // A file's own shapes hold for its own image size only.
    if (imageSize === undefined) {
      for (const info of declared) {
        const dims = declaredDims(info)?.slice(1);
        if (dims?.every((extent) => typeof extent === 'number')) this.#known.set(info.name, [null, ...dims]);
      }
    }
    for (const [name, dims] of probed) this.#known.set(name, dims);
    for (const tensor of file.proto.graph?.initializer ?? []) this.#constants.set(tensor.name, tensor);
    this.#arithmetic = new ShapeArithmetic(
      (name) => this.integers(name),
      (name) => this.shape(name),
    );
  }

  run(): ImportResult {
    const graph = this.#file.proto.graph;
    const output = this.#logits();
    for (const proto of graph?.node ?? []) {
      const node = new OnnxNode(proto, (name) => this.#resolve(name));
      if (node.op === 'Constant' && node.tensor('value')) {
        this.#constants.set(node.output, node.tensor('value') as TensorProto);
      } else if (!this.#arithmetic.read(node)) {
        this.#read(node);
      }
      if (node.outputs.includes(output.logits)) break;
    }
    const logits = this.#resolve(output.logits);
    const built: Graph = {
      name: this.#file.name,
      input: this.#input.name,
      output: logits,
      tail: output.tail,
      shapes: this.#shapes,
      parameters: this.#parameters,
      nodes: dropDead(this.#nodes, logits),
      synthetic: this.#synthetic,
    };
    return { graph: fuseActivations(built), unknown: this.#unknown };
  }

  /** Shape of an activation of one image, channels last; undefined for constants and unknown shapes. */
  shape(tensor: string): Shape | undefined {
    return this.#shapes.get(this.#resolve(tensor));
  }

  /** Dims of a constant; undefined if the tensor is none. */
  dims(tensor: string): readonly number[] | undefined {
    const constant = this.#constants.get(this.#resolve(tensor));
    return constant ? tensorDims(constant) : undefined;
  }

  floats(tensor: string): Float32Array | undefined {
    const constant = this.#constants.get(this.#resolve(tensor));
    return constant && isFloat(constant) ? floatData(constant) : undefined;
  }

  integers(tensor: string): number[] | undefined {
    const constant = this.#constants.get(this.#resolve(tensor));
    return constant && isInteger(constant) ? integerData(constant) : undefined;
  }

  /** Value of a computed shape; the batch counts as -1. */
  vector(tensor: string): readonly number[] | undefined {
    return this.#arithmetic.value(this.#resolve(tensor));
  }

  /**
   * Makes a constant a parameter in graph layout.
   * @param permutation file axis of each graph axis; null: the tensor is a vector whatever axes of extent 1 it has
   * @returns its name; undefined if it is no constant of that size or another node reads it in another layout
   */
  parameter(tensor: string, permutation: readonly number[] | null, shape: Shape): string | undefined {
    const name = this.#resolve(tensor);
    const constant = this.#constants.get(name);
    if (!constant || !isFloat(constant)) return undefined;
    const dims = tensorDims(constant);
    const order = permutation ?? dims.map((_, axis) => axis);
    const count = dims.reduce((product, extent) => product * extent, 1);
    if (count !== shape.reduce((product, extent) => product * extent, 1) || order.length !== dims.length)
      return undefined;
    const known = this.#parameters.get(name);
    if (known) return String(known.origin.permutation) === String(order) ? name : undefined;
    checkWeights(constant);
    const origin = { tensor: name, shape: dims, permutation: order };
    // Decoded when somebody needs the values: most callers plan, print or export and never do.
    this.#parameters.set(name, { name, shape, origin, data: () => toGraphLayout(floatData(constant), origin) });
    return name;
  }

  /** Adds a node; its output takes the ONNX node's output name. */
  emit(
    op: string,
    from: OnnxNode,
    inputs: readonly string[],
    parameters: Readonly<Record<string, string>>,
    attributes: Attributes,
    output = from.output,
    suffix = '',
  ): undefined {
    const resolved = inputs.map((input) => this.#resolve(input));
    const node: Node = {
      op,
      name: this.#unique(`${from.name}${suffix}`),
      inputs: resolved,
      parameters,
      output,
      attributes,
    };
    const shapes = Object.fromEntries(
      Object.entries(parameters).map(([role, name]) => [role, this.#parameters.get(name)?.shape ?? []]),
    );
    const inputShapes = resolved.map((input) => this.#shapes.get(input) ?? []);
    const shape = kernelOf(node)?.shape(node, inputShapes, shapes);
    if (shape) this.#shapes.set(output, shape);
    this.#nodes.push(node);
    return undefined;
  }

  /** A linear node and, if there is one, its bias as an Affine of its own. */
  emitWithBias(
    op: string,
    from: OnnxNode,
    inputs: readonly string[],
    parameters: Readonly<Record<string, string>>,
    bias: string | null,
    attributes: Attributes,
  ): undefined {
    if (bias === null) return this.emit(op, from, inputs, parameters, attributes);
    const product = `${from.output} before bias`;
    this.#synthetic.add(product);
    this.emit(op, from, inputs, parameters, attributes, product);
    const noNorm = { epsilon: 0, low: null, high: null, derivative: 'exact' };
    return this.emit('Affine', from, [product], { shift: bias }, noNorm, from.output, ' bias');
  }

  /** The node changes nothing: its output is another name of its input. */
  rename(node: OnnxNode, input: string): undefined {
    this.#renamed.set(node.output, this.#resolve(input));
    return undefined;
  }

  #read(node: OnnxNode): void {
    const rule = node.domain === '' ? operators[node.op] : undefined;
    const inputs = node.inputs.filter((input) => input !== '' && !this.#constants.has(input) && !this.vector(input));
    const blocked = inputs.filter((input) => !this.#shapes.has(input));
    if (rule && blocked.length > 0) this.#unknown.push(...blocked);
    let reason: string | undefined = 'no kernel';
    try {
      if (rule && blocked.length === 0) reason = rule(node, this);
    } catch (error) {
      if (!(error instanceof EdgeshiftError) || error.code !== 'SHAPE') throw error;
      throw new ModelError(`model "${this.#file.path}": ${error.message}`, error.facts, { cause: error });
    }
    if (reason === undefined) return;
    node.outputs.forEach((output, index) => {
      const shape = this.#opaqueShape(node, inputs, output);
      if (shape) this.#shapes.set(output, shape);
      const name = this.#unique(index === 0 ? node.name : `${node.name} output ${index}`);
      const attributes = { onnxOp: node.op, reason: rule ? (reason ?? '') : 'no kernel' };
      this.#nodes.push({ op: 'Opaque', name, inputs: [...new Set(inputs)], parameters: {}, output, attributes });
    });
  }

  /** From the file or a probe; an elementwise op with a constant keeps its input's shape. */
  #opaqueShape(node: OnnxNode, inputs: readonly string[], output: string): Shape | undefined {
    const dims = this.#known.get(output);
    if (dims?.length === 4) return [dims[2] ?? 0, dims[3] ?? 0, dims[1] ?? 0];
    if (dims?.length === 2) return [dims[1] ?? 0];
    if (dims) return dims.slice(1).map((extent) => extent ?? 0);
    const elementwise = ['Sub', 'Mul', 'Div', 'Sigmoid', 'HardSigmoid', 'HardSwish', 'LeakyRelu', 'Tanh', 'Cast'];
    return elementwise.includes(node.op) && inputs.length === 1 ? this.#shapes.get(inputs[0] ?? '') : undefined;
  }

  /** The last tensor before a final softmax, and whether there is one. */
  #logits(): { logits: string; tail: Graph['tail'] } {
    const outputs = this.#file.proto.graph?.output ?? [];
    const [first] = outputs;
    if (outputs.length !== 1 || !first) {
      const names = outputs.map(({ name }) => `"${name}"`).join(', ');
      throw new ModelError(
        `model "${this.#file.path}" has ${outputs.length} outputs (${names}): expected one, the class scores`,
        {
          path: this.#file.path,
        },
      );
    }
    let logits = first.name;
    let tail: Graph['tail'] = 'none';
    for (;;) {
      const producer = this.#file.proto.graph?.node.find(({ output }) => output.includes(logits));
      if (producer?.opType === 'Softmax') tail = 'softmax';
      else if (producer?.opType !== 'Identity') return { logits, tail };
      logits = producer.input[0] ?? logits;
    }
  }

  #resolve(tensor: string): string {
    return this.#renamed.get(tensor) ?? tensor;
  }

  #unique(name: string): string {
    let unique = name;
    for (let copy = 2; this.#names.has(unique); copy++) unique = `${name} (${copy})`;
    this.#names.add(unique);
    return unique;
  }
}

/** Nodes from which the output can be reached. */
function dropDead(nodes: readonly Node[], output: string): Node[] {
  const alive = new Set([output]);
  const kept = nodes.toReversed().filter((node) => {
    if (!alive.has(node.output)) return false;
    for (const input of node.inputs) alive.add(input);
    return true;
  });
  return kept.reverse();
}
