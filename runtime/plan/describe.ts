/** @file A plan in one line. */
import type { Plan } from './plan.ts';
import { type Savings, saveName } from './savings.ts';

/** A plan in the words of the options that make it. */
export function describe({ scheme, savings, microBatch, batch }: Plan): string {
  const depth = scheme.name === 'head' || scheme.name === 'full' ? '' : ` --blocks ${scheme.blocks}`;
  const globs = [
    ...scheme.train.map((glob) => ` --train '${glob}'`),
    ...scheme.freeze.map((glob) => ` --freeze '${glob}'`),
  ].join('');
  const what = scheme.train.length > 0 ? '' : `--scheme ${scheme.name}${depth}`;
  const norms = scheme.norms === 'stored' ? '' : ` --norms ${scheme.norms}`;
  const text = `${what}${globs}${norms}${describeSavings(savings)} --batch ${batch} --micro-batch ${microBatch}`;
  return text.trim();
}

/** The options that differ from exact floats. */
export function describeSavings(savings: Savings): string {
  const save = saveName(savings);
  return `${save === 'float' ? '' : ` --save ${save}`}${savings.recompute ? ' --recompute' : ''}`;
}
