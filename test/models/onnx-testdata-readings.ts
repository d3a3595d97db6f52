/**
 * @file The ways to put one of ONNX's cases before the importer. What the op works on comes out of a node nobody can read,
 * as above a frozen part, so it can have any shape; what is no activation becomes an initializer.
 */
import { importGraph } from '../../models/onnx/import.ts';
import {
  makeGraph,
  makeModel,
  makeNode,
  makeTensor,
  makeValueInfo,
  type TensorProto,
  tensorDims,
} from '../../models/onnx/proto.ts';
import { floatData, isFloat } from '../../models/onnx/tensor-data.ts';
import { EdgeshiftError } from '../../runtime/errors.ts';
import { elements, type Graph } from '../../runtime/graph/graph.ts';
import { modelFile } from '../support/onnx-models.ts';
import type { OnnxCase, OnnxCaseInput } from '../support/onnx-testdata.ts';

/** The op that stands for everything above. */
const SOURCE = 'Given';
/** Which inputs of the case are activations, and in which layout they lie. */
export interface Reading {
  readonly about: string;
  readonly activations: readonly OnnxCaseInput[];
  /** Maps are [N, H, W, C], as between the Transposes that exporters write. */
  readonly channelsLast: boolean;
  /** A Pad is read together with the window behind it: here a convolution that changes nothing. */
  readonly convolved: boolean;
}

export interface ReadGraph {
  readonly graph: Graph;
  readonly batch: number;
  /** Expected dims, batch first, in the graph's layout. */
  readonly dims: readonly number[];
  /** What the op works on, in the graph's layout. */
  readonly given: ReadonlyMap<string, Float32Array>;
  /** Expected values in the graph's layout. */
  readonly expected: Float32Array;
}

/** Every reading; none if no input has an axis for the batch. */
export function readingsOf({ inputs, node }: OnnxCase): readonly Reading[] {
  const sets = [inputs.slice(0, 1), inputs.slice(1, 2), inputs].filter((set) => set.length > 0 && haveOneBatch(set));
  const unique = sets.filter((set, i) => sets.findIndex((other) => String(names(other)) === String(names(set))) === i);
  return unique.flatMap((activations) => {
    const about = `${names(activations).join(' and ')} from above`;
    const maps = activations.some(({ tensor }) => tensor?.dims.length === 4);
    const plain: Reading = { about, activations, channelsLast: false, convolved: false };
    if (!maps) return [plain];
    const last: Reading = { ...plain, about: `${about}, channels-last`, channelsLast: true };
    return node.opType === 'Pad'
      ? [plain, last, { ...plain, about: `${about}, convolved`, convolved: true }]
      : [plain, last];
  });
}

const names = (inputs: readonly OnnxCaseInput[]): string[] => inputs.map(({ name }) => name);

function haveOneBatch(inputs: readonly OnnxCaseInput[]): boolean {
  const batches = new Set(inputs.map(({ tensor }) => (tensor ? tensorDims(tensor)[0] : 1)));
  return batches.size === 1 && !batches.has(undefined);
}

/** Reads one output of the case; a text is the importer's reason for refusing it. */
export function read(onnxCase: OnnxCase, reading: Reading, output: number): ReadGraph | string {
  try {
    const { model, sources, channelsLast } = modelOf(onnxCase, reading, output);
    const dims = new Map(sources.map(({ name, dims }) => [name, dims]));
    const { graph } = importGraph(modelFile(model), undefined, dims);
    const { opType } = onnxCase.node;
    const opaque = graph.nodes.find(({ op, attributes }) => op === 'Opaque' && attributes.onnxOp === opType);
    if (opaque) return String(opaque.attributes.reason);
    const others = graph.nodes.filter(({ op, attributes }) => op === 'Opaque' && attributes.onnxOp !== SOURCE);
    if (others.length > 0) throw new Error(`not read: ${JSON.stringify(others)}`);
    const expected = onnxCase.outputs[output];
    if (!expected || !isFloat(expected)) throw new Error('an output that holds no floats was read');
    const expectedDims = tensorDims(expected);
    const [n = 1, c = 1, h = 1, w = 1] = expectedDims;
    return {
      graph,
      dims: expectedDims.length === 4 && !channelsLast ? [n, h, w, c] : expectedDims,
      batch: sources[0]?.dims[0] ?? 1,
      given: new Map(sources.map(({ name, tensor }) => [name, inGraphLayout(tensor, channelsLast)])),
      expected: inGraphLayout(expected, channelsLast),
    };
  } catch (error) {
    if (error instanceof EdgeshiftError) return error.message;
    throw error;
  }
}

interface Source {
  readonly name: string;
  readonly tensor: TensorProto;
  /** In the order the file has them. */
  readonly dims: readonly number[];
}

/** The case's node below its sources. */
function modelOf(
  { model, inputs, outputs }: OnnxCase,
  { activations, channelsLast, convolved }: Reading,
  output: number,
) {
  const { graph } = model;
  const info = graph?.output[output];
  if (!graph || !info) throw new Error('no graph');
  const isMap = (tensor: TensorProto | null | undefined): boolean => channelsLast && tensor?.dims.length === 4;
  const toLast = activations.filter(({ tensor }) => isMap(tensor)).map(({ name }) => name);
  const first = (name: string): string => `${name}, channels first`;
  const given = names(activations).map((name) => (toLast.includes(name) ? first(name) : name));
  const transpose = (from: string, to: string, perm: readonly number[]) =>
    makeNode('Transpose', `${to} transpose`, [from], [to], { perm });
  const unit = unitWeight(outputs[output]);
  const conv = makeNode('Conv', 'unit', [info.name, 'unit'], ['convolved'], { pads: [REACH, REACH, REACH, REACH] });
  const result = isMap(outputs[output]) ? first(info.name) : convolved ? 'convolved' : info.name;
  const constants = inputs.filter(({ name }) => !names(activations).includes(name));
  const built = makeModel({
    ...model,
    graph: makeGraph({
      name: 'case',
      node: [
        makeNode(SOURCE, 'given', ['image'], given, {}, 'test'),
        ...toLast.map((name) => transpose(first(name), name, [0, 2, 3, 1])),
        ...graph.node,
        ...(convolved ? [conv] : []),
        ...(result === first(info.name) ? [transpose(info.name, result, [0, 3, 1, 2])] : []),
      ],
      initializer: [
        ...graph.initializer,
        ...(convolved ? [unit] : []),
        ...constants.flatMap(({ name, tensor }) => (tensor ? [{ ...tensor, name }] : [])),
      ],
      input: [makeValueInfo('image', ['N', 3, 8, 8])],
      valueInfo: graph.input.filter(({ name }) => names(activations).includes(name)),
      output: [{ ...info, name: result }],
    }),
  });
  const sources = activations.flatMap(({ name, tensor }, i): Source[] => {
    const [n = 1, h = 1, w = 1, c = 1] = tensor ? tensorDims(tensor) : [];
    if (!tensor) return [];
    return [{ name: given[i] ?? '', tensor, dims: toLast.includes(name) ? [n, c, h, w] : tensorDims(tensor) }];
  });
  return { model: built, sources, channelsLast };
}

/** Pixels from the middle of the window to its border: wherever it stands, it must see more than padding. */
const REACH = 4;

/** Weight of a convolution that gives back its input. */
function unitWeight(map: TensorProto | null | undefined): TensorProto {
  const [, channels = 1] = map ? tensorDims(map) : [];
  const taps = (2 * REACH + 1) ** 2;
  const weight = new Float32Array(channels * channels * taps);
  for (let c = 0; c < channels; c++) weight[c * (channels + 1) * taps + (taps - 1) / 2] = 1;
  return makeTensor('unit', [channels, channels, 2 * REACH + 1, 2 * REACH + 1], weight);
}

/** Values as the graph lays them out: of maps the channels last. */
function inGraphLayout(tensor: TensorProto, channelsLast: boolean): Float32Array {
  const values = isFloat(tensor) ? floatData(tensor) : new Float32Array();
  const dims = tensorDims(tensor);
  if (dims.length !== 4 || channelsLast) return values;
  const [, channels = 1, ...extents] = dims;
  const pixels = elements(extents);
  return values.map((_, i) => {
    const [n, p, c] = [Math.floor(i / (channels * pixels)), Math.floor(i / channels) % pixels, i % channels];
    return values[(n * channels + c) * pixels + p] ?? Number.NaN;
  });
}
