/** @file A plan in one line. */
import type { Plan } from './plan.ts';
import { type Savings, saveName } from './savings.ts';

/** A plan in the words of the options that make it. */
export function describe({ scheme, savings, microBatch, batch, products }: Plan): string {
  const depth = scheme.name === 'head' || scheme.name === 'full' ? '' : ` --blocks ${scheme.blocks}`;
  const list = (option: string, globs: readonly string[]): string =>
    globs.length === 0 ? '' : ` --${option} '${globs.join(',')}'`;
  const globs = list('train', scheme.train) + list('freeze', scheme.freeze);
  const what = scheme.train.length > 0 ? '' : `--scheme ${scheme.name}${depth}`;
  const momentum = scheme.momentum === 0.1 ? '' : ` --norm-momentum ${scheme.momentum}`;
  const norms = scheme.norms === 'stored' ? '' : ` --norms ${scheme.norms}${momentum}`;
  const derivative = scheme.derivative === 'exact' ? '' : ` --derivative ${scheme.derivative}`;
  const without = products === 'simd' ? ' --products simd' : '';
  const text = `${what}${globs}${norms}${derivative}${describeSavings(savings)} --batch ${batch} --micro-batch ${microBatch}${without}`;
  return text.trim();
}

/** The options that differ from exact floats. */
function describeSavings(savings: Savings): string {
  const save = saveName(savings);
  return `${save === 'float' ? '' : ` --save ${save}`}${savings.recompute ? ' --recompute' : ''}`;
}
