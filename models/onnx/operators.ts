/**
 * @file One rule for each ONNX op that becomes a node of the graph, named as in ONNX. A rule that cannot read its node says
 * why; the node then stays opaque, which is fine in the frozen part.
 */
import { activationRules } from './operators-activation.ts';
import { arithmeticRules } from './operators-arithmetic.ts';
import { normRules } from './operators-norm.ts';
import { productRules } from './operators-product.ts';
import { shapeRules } from './operators-shape.ts';
import { windowRules } from './operators-window.ts';
import type { Operator } from './rule.ts';

export const NOT_FLOAT = 'its input is not float32, float16 or bfloat16';
export const SHAPE_UNKNOWN = 'the shape of its input is not known';
/** Reasons for which any op can be refused. */
export const generalLimits: readonly string[] = [NOT_FLOAT, SHAPE_UNKNOWN];

export const operators: Readonly<Record<string, Operator>> = {
  ...activationRules,
  ...arithmeticRules,
  ...normRules,
  ...productRules,
  ...shapeRules,
  ...windowRules,
};
