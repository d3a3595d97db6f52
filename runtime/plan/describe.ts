/** @file A plan in one line. */
import type { Plan } from './plan.ts';

/** A plan in the words of the options that make it. */
export function describe({ scheme, microBatch, batch }: Plan): string {
  const depth = scheme.name === 'head' ? '' : ` --blocks ${scheme.blocks}`;
  return `--scheme ${scheme.name}${depth} --batch ${batch} --micro-batch ${microBatch}`;
}
