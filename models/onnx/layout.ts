/**
 * @file Which tensors of a file are channels-last. ONNX's maps are [N, C, H, W]; exporters of PyTorch transpose to
 * [N, H, W, C] around layer norms and linear layers. In the graph both are the same value, so those Transposes vanish.
 */
import type { GraphProto, NodeProto } from './proto.ts';

const TO_LAST = '0,2,3,1';
const TO_FIRST = '0,3,1,2';

/** What a Transpose does to the place of the channels. */
export function transposeKind(permutation: readonly number[]): 'to last' | 'to first' | null {
  const text = String(permutation);
  return text === TO_LAST ? 'to last' : text === TO_FIRST ? 'to first' : null;
}

/** Names of all tensors whose channels are the last axis, because a Transpose made them so and none has undone it. */
export function channelsLastTensors(graph: GraphProto): ReadonlySet<string> {
  const last = new Set<string>();
  for (const node of graph.node) {
    const kind = node.opType === 'Transpose' ? transposeKind(permutationOf(node)) : null;
    if (kind === 'to first' || node.opType === 'Shape') continue;
    // Every other op leaves the order of the axes as it finds it.
    if (kind === 'to last' || node.input.some((input) => last.has(input))) {
      for (const output of node.output) last.add(output);
    }
  }
  return last;
}

function permutationOf(node: NodeProto): number[] {
  return node.attribute.find(({ name }) => name === 'perm')?.ints.map(Number) ?? [];
}
