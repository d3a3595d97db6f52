/** @file Meta networks written into an ONNX graph: plain Conv, BatchNormalization, Relu and Add nodes beside the frozen ones. */
import type { Delta } from '../../runtime/delta/delta.ts';
import { DeltaError, ModelError } from '../../runtime/errors.ts';
import type { Graph, Node } from '../../runtime/graph/graph.ts';
import { findParts, META, newOutput, withMetaNetworks } from '../../runtime/scheme/meta-networks.ts';
import { channelsLastTensors } from './layout.ts';
import { outerReads } from './onnx-node.ts';
import { type GraphProto, makeNode, makeTensor, type NodeProto } from './proto.ts';

/**
 * Inserts a delta's meta networks; whatever read a part's output reads the new one. `graph` is what `source` was imported as,
 * with the delta's head.
 * @throws DeltaError, ModelError if a part's ends are no plain tensors of the file
 */
export function addMetaNetworks(source: GraphProto, graph: Graph, delta: Delta): void {
  const { metaParts } = delta;
  if (!metaParts) return;
  const parts = findParts(graph, metaParts);
  const extended = withMetaNetworks(graph, { parts: metaParts, seed: 0, regularised: false });
  const last = channelsLastTensors(source);
  for (const part of parts) {
    const { number, input, output } = part;
    const own = extended.nodes.filter(({ name }) => name.startsWith(`${META}.${number}.`));
    const added = own.map(onnxNode);
    const at = source.node.findIndex((node) => node.output.includes(output));
    const inside = source.node.find((node) => outerReads(node).includes(output));
    if (at < 0 || inside || [input, output].some((tensor) => last.has(tensor) || graph.synthetic.has(tensor))) {
      throw new ModelError(
        `meta network ${number} cannot be written into the file: expected "${input}" and "${output}" to be maps ` +
          `[N, C, H, W] that plain nodes read${inside ? `, found that "${inside.name}" reads the latter in a body of its own` : ''}`,
        { input, output },
      );
    }
    const renamed = newOutput(part);
    for (const node of source.node) {
      node.input = node.input.map((name) => (name === output ? renamed : name));
    }
    source.node.splice(at + 1, 0, ...added);
    for (const name of own.flatMap(({ parameters }) => Object.values(parameters))) {
      const tensor = delta.tensors.get(name);
      if (!tensor) throw new DeltaError(`the delta has meta networks but lacks "${name}"`, { tensor: name });
      source.initializer.push(makeTensor(name, tensor.shape, tensor.data));
    }
  }
}

/** One node of a meta network in ONNX's terms. */
function onnxNode({ op, name, inputs, parameters, output, attributes }: Node): NodeProto {
  const of = (...roles: readonly string[]): string[] => [...inputs, ...roles.map((role) => parameters[role] ?? '')];
  if (op === 'Conv') {
    const { kernel, strides, pads, dilations } = attributes as Readonly<Record<string, readonly number[]>>;
    const window = { kernel_shape: kernel ?? [], strides: strides ?? [], pads: pads ?? [], dilations: dilations ?? [] };
    return makeNode('Conv', name, of('weight'), [output], window);
  }
  if (op === 'BatchNorm') {
    const epsilon = { float: Number(attributes.epsilon) };
    return makeNode('BatchNormalization', name, of('scale', 'shift', 'mean', 'variance'), [output], { epsilon });
  }
  return makeNode(op === 'Clip' ? 'Relu' : op, name, inputs, [output]);
}
