/** @file The rule of an ONNX op. */
import type { ImportContext } from './import-context.ts';
import type { OnnxNode } from './onnx-node.ts';

/** Reads one node: undefined when it was read, else the reason why not; the node then stays opaque. */
export type Rule = (node: OnnxNode, context: ImportContext) => string | undefined;
