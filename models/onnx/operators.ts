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
import type { Rule } from './rule.ts';

export const operators: Readonly<Record<string, Rule>> = {
  ...activationRules,
  ...arithmeticRules,
  ...normRules,
  ...productRules,
  ...shapeRules,
  ...windowRules,
};
