/** @file A delta written back into the user's ONNX file: same structure, same names, learnt values. */

import { withDeltaHead } from '../../runtime/delta/apply-to-graph.ts';
import { writeAtomically } from '../../runtime/delta/atomic-file.ts';
import type { Delta } from '../../runtime/delta/delta.ts';
import { hasNewHead, requireBase } from '../../runtime/delta/delta.ts';
import { DeltaError, ModelError } from '../../runtime/errors.ts';
import { elements, type Graph, shapeOf } from '../../runtime/graph/graph.ts';
import { firstDropped, HEAD } from '../../runtime/graph/head.ts';
import { META } from '../../runtime/scheme/meta-networks.ts';
import { inlined, inlinedNode, requireOneFile } from './external-data.ts';
import { FileValues } from './file-values.ts';
import { channelsLastTensors } from './layout.ts';
import { addMetaNetworks } from './meta-networks.ts';
import { METADATA } from './metadata.ts';
import type { ModelFile } from './model-file.ts';
import { importWithProbes } from './open-model.ts';
import { ancestors, usedInitializers } from './prefix.ts';
import {
  encodeModelParts,
  type GraphProto,
  type ModelProto,
  makeNode,
  makeTensor,
  makeValueInfo,
  type NodeProto,
} from './proto.ts';

/**
 * Writes the base model with a delta applied. `file` is changed in memory and must not be used afterwards.
 * @throws DeltaError if the delta belongs to another base or does not match it
 */
export async function exportModel(file: ModelFile, delta: Delta, path: string): Promise<void> {
  requireBase(delta, file);
  const graph = await importWithProbes(file, delta.imageSize);
  const proto = mergeDelta(file, graph, delta);
  await writeAtomically(path, encodeModelParts(proto));
}

function mergeDelta(file: ModelFile, graph: Graph, delta: Delta): ModelProto {
  const { proto } = file;
  const source = proto.graph as GraphProto;
  mergeLearnt(file, graph, delta);
  addMetaNetworks(source, withDeltaHead(graph, delta), delta);
  requireOneFile(file.path, source);
  source.initializer = source.initializer.map(inlined);
  source.node = source.node.map(inlinedNode);
  resizeInput(source, graph);
  setMetadata(proto, METADATA.preprocessing, JSON.stringify(delta.preprocessing));
  setMetadata(proto, METADATA.classes, JSON.stringify(delta.classes));
  setMetadata(proto, METADATA.dropLayers, '');
  return proto;
}

/**
 * Puts a delta's values and its head into the file in memory; meta networks are left out. `graph` is what the file was imported as.
 * @throws DeltaError if it holds tensors the file does not have, or of other sizes
 */
export function mergeLearnt(file: ModelFile, graph: Graph, delta: Delta): void {
  const source = file.proto.graph as GraphProto;
  const values = new FileValues(source);
  for (const { name, data } of delta.tensors.values()) {
    if (name === HEAD.weight || name === HEAD.bias || name.startsWith(`${META}.`)) continue;
    const found = values.place(name, data);
    if (found === 'placed') continue;
    throw new DeltaError(
      found
        ? `the delta holds "${name}" with ${data.length} values, "${file.path}" has [${found}]`
        : `the delta holds "${name}", which "${file.path}" does not have`,
      { tensor: name },
    );
  }
  if (hasNewHead(delta)) replaceHeadNodes(source, graph, delta);
}

/** Everything from the dropped layers upwards gives way to one Gemm; a final softmax and the output's name stay. */
function replaceHeadNodes(source: GraphProto, graph: Graph, delta: Delta): void {
  const below = graph.nodes[firstDropped(graph, delta.drop ?? [])]?.inputs[0] ?? graph.output;
  const [output] = source.output;
  const weight = delta.tensors.get(HEAD.weight);
  const bias = delta.tensors.get(HEAD.bias);
  if (!output || !weight || !bias) throw new ModelError('the delta has no complete head');
  const classes = bias.data.length;
  const shape = shapeOf(graph, below);
  const flat = shape.length === 1 ? below : `${HEAD.node}.features`;
  const logits = graph.tail === 'softmax' ? `${HEAD.node}.logits` : output.name;
  const kept = ancestors(source, below);
  // The weight's features are in channels-first order, as everywhere in ONNX.
  const last = flat !== below && channelsLastTensors(source).has(below);
  const first = last ? `${HEAD.node}.first` : below;
  const added: NodeProto[] = [
    ...(last ? [makeNode('Transpose', `${HEAD.node}.transpose`, [below], [first], { perm: [0, 3, 1, 2] })] : []),
    ...(flat === below ? [] : [makeNode('Flatten', `${HEAD.node}.flatten`, [first], [flat], { axis: 1 })]),
    makeNode('Gemm', HEAD.node, [flat, HEAD.weight, HEAD.bias], [logits], { transB: 1 }),
    ...(graph.tail === 'softmax'
      ? [makeNode('Softmax', `${HEAD.node}.softmax`, [logits], [output.name], { axis: 1 })]
      : []),
  ];
  source.node = [...kept, ...added];
  source.initializer = [
    ...usedInitializers(source, kept),
    makeTensor(HEAD.weight, [classes, elements(shape)], weight.data),
    makeTensor(HEAD.bias, [classes], bias.data),
  ];
  const inputs = new Set([graph.input, ...source.initializer.map(({ name }) => name)]);
  source.input = source.input.filter(({ name }) => inputs.has(name));
  source.output = [makeValueInfo(output.name, ['N', classes])];
  source.valueInfo = [];
}

/** Declares the image size that was trained at, and drops shapes noted for another one. */
function resizeInput(source: GraphProto, graph: Graph): void {
  const [height = 0, width = 0] = shapeOf(graph, graph.input);
  source.input = source.input.map((info) => {
    if (info.name !== graph.input) return info;
    const type = info.type?.value;
    const dims = type?.case === 'tensorType' ? (type.value.shape?.dim ?? []) : [];
    const fixed = [dims[2], dims[3]].map((dim) => (dim?.value.case === 'dimValue' ? Number(dim.value.value) : 0));
    if (fixed[0] === 0 || (fixed[0] === height && fixed[1] === width)) return info;
    source.valueInfo = [];
    const batch = dims[0]?.value.case === 'dimValue' ? Number(dims[0].value.value) : 'N';
    return makeValueInfo(info.name, [batch, 3, height, width]);
  });
}

function setMetadata(proto: ModelProto, key: string, value: string): void {
  const entry = proto.metadataProps.find((candidate) => candidate.key === key);
  if (entry) entry.value = value;
  else if (value !== '') proto.metadataProps.push({ $typeName: 'onnx.StringStringEntryProto', key, value });
}
