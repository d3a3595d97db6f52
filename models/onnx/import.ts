/**
 * @file From an ONNX graph to the Graph: constants are resolved, maps become channels-last, every node is read by the rule of
 * its op (operators.ts) or of the pattern it belongs to (composites.ts). What no rule reads stays as an opaque node with the
 * reason, good enough for the frozen part.
 */
import { EdgeshiftError, ModelError } from '../../runtime/errors.ts';
import { fuseActivations } from '../../runtime/graph/fuse.ts';
import { elements, type Graph, type Node, type Shape } from '../../runtime/graph/graph.ts';
import { type Composite, composites } from './composites.ts';
import { Constants } from './constants.ts';
import { FileIndex } from './file-index.ts';
import { imageInput } from './image-input.ts';
import { ImportContext } from './import-context.ts';
import { channelsLastTensors } from './layout.ts';
import type { ModelFile } from './model-file.ts';
import { OnnxNode } from './onnx-node.ts';
import { NOT_FLOAT, operators, SHAPE_UNKNOWN } from './operators.ts';
import { SOFTMAX_LIMIT } from './operators-activation.ts';
import { findMatch, type Match } from './patterns.ts';
import { DataType, declaredDims, type GraphProto, type NodeProto, type ValueInfoProto } from './proto.ts';
import { isFloatType } from './tensor-data.ts';

export interface ImportResult {
  readonly graph: Graph;
  /** Tensors above opaque nodes whose shape the file does not tell and somebody needs; probe them and import again. */
  readonly unknown: readonly string[];
}

/**
 * Reads a model file into a Graph.
 * @param imageSize height and width for the input in pixels; default: the file's own, or 224 where it leaves them open
 * @param probed dims of tensors, batch first, that onnxruntime has told
 * @throws ModelError
 */
export function importGraph(
  file: ModelFile,
  imageSize: number | undefined,
  probed: ReadonlyMap<string, readonly number[]> = new Map(),
): ImportResult {
  return new Importer(file, imageSize, probed).run();
}

class Importer {
  readonly #file: ModelFile;
  readonly #source: GraphProto;
  readonly #input: string;
  readonly #known = new Map<string, readonly (number | null)[]>();
  readonly #context: ImportContext;
  readonly #index: FileIndex;
  readonly #unknown = new Set<string>();
  readonly #notFloat: ReadonlySet<string>;

  constructor(file: ModelFile, imageSize: number | undefined, probed: ReadonlyMap<string, readonly number[]>) {
    this.#file = file;
    this.#source = file.proto.graph as GraphProto;
    const input = imageInput(file, imageSize);
    this.#input = input.name;
    // A file's own shapes hold for its own image size only.
    for (const info of imageSize === undefined ? this.#source.valueInfo : []) {
      const dims = declaredDims(info)?.slice(1);
      if (dims?.every((extent) => typeof extent === 'number')) this.#known.set(info.name, [null, ...dims]);
    }
    const declared = [...this.#source.input, ...this.#source.valueInfo, ...this.#source.output];
    this.#notFloat = new Set(declared.filter(isOtherThanFloat).map(({ name }) => name));
    for (const [name, dims] of probed) this.#known.set(name, dims);
    this.#index = new FileIndex(file.path, this.#source);
    this.#context = new ImportContext(new Constants(this.#source), this.#index, channelsLastTensors(this.#source));
    this.#context.shapes.set(input.name, input.shape);
  }

  run(): ImportResult {
    const context = this.#context;
    const output = this.#logits();
    const { roots, inner } = this.#findComposites(output.logits);
    for (const proto of this.#source.node) {
      const node = new OnnxNode(proto);
      const root = roots.get(proto);
      if (root)
        this.#read(node, [...root.match.tensors.values()], () => root.composite.read(root.match, node, context));
      else if (!inner.has(proto) && !this.#isConstant(node) && !context.arithmetic.read(node)) this.#readAlone(node);
      if (node.outputs.includes(output.logits)) break;
    }
    const logits = context.resolve(output.logits);
    this.#checkSoftmax(output.softmax, context.shapes.get(logits));
    const nodes = dropDead(context.nodes, logits);
    for (const { output: tensor } of nodes) if (!context.shapes.has(tensor)) this.#unknown.add(tensor);
    const { shapes, parameters, synthetic } = context;
    const built: Graph = {
      ...{ name: this.#file.name, input: this.#input, output: logits, tail: output.tail },
      ...{ shapes, parameters: usedBy(nodes, parameters), nodes, synthetic },
    };
    return { graph: fuseActivations(built), unknown: [...this.#unknown] };
  }

  /** Patterns from the output downwards, so that a larger one is found before what it is made of. */
  #findComposites(logits: string) {
    const roots = new Map<NodeProto, { readonly composite: Composite; readonly match: Match }>();
    const inner = new Set<NodeProto>();
    const place = { index: this.#index, constants: this.#context.constants };
    for (const proto of this.#source.node.toReversed()) {
      const [tensor = ''] = proto.output;
      if (inner.has(proto) || !composites.some(({ ends }) => ends.includes(proto.opType))) continue;
      for (const composite of composites) {
        const match = composite.ends.includes(proto.opType) && findMatch(composite.pattern, tensor, place);
        if (!match || [...match.nodes].some((node) => inner.has(node))) continue;
        const below = [...match.nodes].filter((node) => node !== proto);
        if (below.some(({ output }) => output.includes(logits))) continue;
        roots.set(proto, { composite, match });
        for (const node of below) inner.add(node);
        break;
      }
    }
    return { roots, inner };
  }

  #isConstant(node: OnnxNode): boolean {
    return node.outputs.length > 0 && node.outputs.every((output) => this.#context.constants.has(output));
  }

  #readAlone(node: OnnxNode): void {
    const operator = node.domain === '' ? operators[node.op] : undefined;
    this.#read(node, [...node.inputs, ...node.captured], operator && (() => operator.read(node, this.#context)));
  }

  /** Reads a node by its rule; what has none or refuses becomes opaque. */
  #read(node: OnnxNode, tensors: readonly string[], rule: (() => string | undefined) | undefined): void {
    const context = this.#context;
    const activations = tensors.filter((tensor) => this.#isActivation(tensor)).map((tensor) => context.resolve(tensor));
    const inputs = [...new Set(activations)];
    const blocked = inputs.filter((input) => !context.shapes.has(input));
    if (rule) for (const input of blocked) this.#unknown.add(input);
    const readable = rule && !tensors.some((tensor) => this.#notFloat.has(tensor) && this.#isActivation(tensor));
    let reason: string | undefined = !rule ? 'no kernel' : readable ? SHAPE_UNKNOWN : NOT_FLOAT;
    try {
      if (readable && blocked.length === 0) reason = rule();
    } catch (error) {
      if (!(error instanceof EdgeshiftError)) throw error;
      throw error.code === 'SHAPE' || !error.message.includes(this.#file.path) ? this.#wrapped(error) : error;
    }
    if (reason === undefined) return;
    node.outputs.forEach((output, index) => {
      const shape = this.#opaqueShape(node, inputs, output);
      if (shape) context.shapes.set(output, shape);
      const name = context.unique(index === 0 ? node.name : `${node.name} output ${index}`);
      const attributes = { onnxOp: node.op, reason };
      context.nodes.push({ op: 'Opaque', name, inputs, parameters: {}, output, attributes });
    });
  }

  #wrapped(error: EdgeshiftError): EdgeshiftError {
    // A tensor's fault names the tensor, and begins with it.
    if (error.message.startsWith('tensor ')) return error;
    return new ModelError(`model "${this.#file.path}": ${error.message}`, error.facts, { cause: error });
  }

  /** False for constants, computed shapes, what an If or Loop has inside, and inputs left out. */
  #isActivation(tensor: string): boolean {
    const { constants, arithmetic } = this.#context;
    if (tensor === '' || constants.has(tensor) || arithmetic.value(tensor)) return false;
    return tensor === this.#input || this.#index.producer(tensor) !== undefined;
  }

  /** From the file or a probe; an elementwise op with a constant keeps its input's shape. */
  #opaqueShape(node: OnnxNode, inputs: readonly string[], output: string): Shape | undefined {
    const dims = this.#known.get(output);
    if (dims?.length === 4 && !this.#context.isChannelsLast(output)) return [dims[2] ?? 0, dims[3] ?? 0, dims[1] ?? 0];
    if (dims) return dims.slice(1).map((extent) => extent ?? 0);
    const elementwise = ['Sub', 'Mul', 'Div', 'Sigmoid', 'HardSigmoid', 'HardSwish', 'LeakyRelu', 'Tanh', 'Cast'];
    return elementwise.includes(node.op) && inputs.length === 1 ? this.#context.shapes.get(inputs[0] ?? '') : undefined;
  }

  /** The last tensor before a final softmax, and whether there is one. */
  #logits(): { logits: string; tail: Graph['tail']; softmax: OnnxNode | null } {
    const outputs = this.#source.output;
    const [first] = outputs;
    if (outputs.length !== 1 || !first) {
      const names = outputs.map(({ name }) => `"${name}"`).join(', ');
      throw new ModelError(
        `model "${this.#file.path}" has ${outputs.length} outputs (${names}): expected one, the class scores\n` +
          'Hint: export the model in evaluation mode, without auxiliary classifiers',
        { path: this.#file.path },
      );
    }
    let logits = first.name;
    let tail: Graph['tail'] = 'none';
    let softmax: OnnxNode | null = null;
    for (;;) {
      const producer = this.#index.producer(logits);
      const isSoftmax = producer?.opType === 'Softmax' || producer?.opType === 'LogSoftmax';
      const isAlias = producer?.opType === 'Identity' && !this.#notFloat.has(producer.input[0] ?? '');
      if (!producer || !(isSoftmax || isAlias)) return { logits, tail, softmax };
      if (isSoftmax) {
        const node = new OnnxNode(producer);
        if (Math.abs(this.#softmaxAxis(node)) !== 1) return { logits, tail, softmax };
        softmax = node;
        // The loss is the same with and without a log-softmax.
        if (node.op === 'Softmax') tail = 'softmax';
      }
      logits = producer.input[0] ?? logits;
    }
  }

  #softmaxAxis(node: OnnxNode): number {
    return node.integer('axis', this.#file.opset < 13 ? 1 : -1);
  }

  /** @throws ModelError if the final softmax runs over anything but the classes of one vector an image */
  #checkSoftmax(softmax: OnnxNode | null, shape: Shape | undefined): void {
    if (!softmax || !shape || shape.length === 1) return;
    const onePixel = shape.length === 3 && elements(shape) === shape[2];
    if (onePixel && this.#softmaxAxis(softmax) === 1) return;
    throw this.#wrapped(
      new ModelError(
        `${softmax.op} "${softmax.name}": ${SOFTMAX_LIMIT}; its input is [${shape}], channels last\n` +
          'Hint: the model must end in one score a class; export a classifier',
        { node: softmax.name, shape },
      ),
    );
  }
}

/** True for a value that is declared, but not as a tensor that float32 can hold. */
function isOtherThanFloat({ type }: ValueInfoProto): boolean {
  if (!type || type.value.case === undefined) return false;
  if (type.value.case !== 'tensorType') return true;
  const { elemType } = type.value.value;
  return elemType === DataType.DOUBLE || (elemType !== DataType.UNDEFINED && !isFloatType(elemType));
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

function usedBy<T>(nodes: readonly Node[], parameters: ReadonlyMap<string, T>): ReadonlyMap<string, T> {
  const used = new Set(nodes.flatMap((node) => Object.values(node.parameters)));
  return new Map([...parameters].filter(([name]) => used.has(name)));
}
