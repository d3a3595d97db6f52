/** @file The rule of an ONNX op, and what is promised about it. */
import type { OpName } from '../../kernels/index.ts';
import type { ImportContext } from './import-context.ts';
import type { OnnxNode } from './onnx-node.ts';

/** Reads one node: undefined when it was read, else the reason why not; the node then stays opaque. */
export type Rule = (node: OnnxNode, context: ImportContext) => string | undefined;

/** An ONNX op that is read; the table of kernels/README.md is made from these. */
export interface Operator {
  readonly read: Rule;
  /** Ops of the graph that it can become; none if it vanishes. */
  readonly becomes: readonly OpName[];
  /** Every reason for which the rule can refuse; an ellipsis stands for what changes from node to node, the end may be left out. */
  readonly limits: readonly string[];
  /** The opset that brought the op; default: it is older than any file that is read. */
  readonly since?: number;
}
