/**
 * @file Everything the planner may choose between, in its order of preference: more blocks first, then precision of what
 * is kept, then time (nothing recomputed), then larger micro-batches.
 *
 * The list depends on the request and never on the budget. The plan is the first candidate that fits, so a larger budget
 * can only move it towards the front: it never gives a worse plan.
 */
import type { Graph } from '../graph/graph.ts';
import type { SchemeOptions } from '../scheme/options.ts';
import { countBlocks } from '../scheme/scheme.ts';
import { candidateSavings } from './saving-choices.ts';
import type { SaveName, Savings } from './savings.ts';

/** The part of a request that candidates follow from. */
export interface Wishes extends Omit<SchemeOptions, 'name' | 'blocks'> {
  readonly scheme: SchemeOptions['name'];
  /** Top blocks to train; `auto`: as many as fit. */
  readonly blocks: number | 'auto';
  /** How what the backward pass reads is kept; default `auto`. */
  readonly save?: SaveName;
  /** Whether trained blocks are computed again instead of kept; default `auto`. */
  readonly recompute?: boolean | 'auto';
  readonly batch: number;
  /** Images per pass, at most `batch`; gradients add up over the passes. `auto`: as many as fit. */
  readonly microBatch: number | 'auto';
}

/** All candidates of one depth. */
export interface Depth {
  readonly scheme: SchemeOptions;
  readonly savings: readonly Savings[];
  /** Largest first. */
  readonly microBatches: readonly number[];
}

/** Depths from most to fewest blocks. */
export function depths(graph: Graph, wishes: Wishes): readonly Depth[] {
  const { scheme: name, blocks, save = 'auto', recompute = 'auto', batch, microBatch } = wishes;
  const { derivative, train, freeze, norms, momentum, reach } = wishes;
  // Named tensors stand for themselves; the head alone has no depth.
  const fixed = name === 'head' || name === 'full' || (train?.length ?? 0) > 0;
  const counts = fixed ? [0] : blocks === 'auto' ? range(countBlocks(graph)) : [blocks];
  // Statistics of a batch are those of the whole batch.
  const whole = norms !== 'stored' || graph.nodes.some(({ op }) => op === 'BatchNorm');
  const sizes = microBatch === 'auto' ? (whole ? [batch] : halvings(batch)) : [Math.min(microBatch, batch)];
  const headOnly = (count: number): boolean => count === 0 && name !== 'full' && !train?.length;
  return counts.map((count) => ({
    scheme: {
      name,
      blocks: count,
      ...(derivative && { derivative }),
      ...(train && { train }),
      ...(freeze && { freeze }),
      ...(norms && { norms }),
      ...(momentum !== undefined && { momentum }),
      ...(reach && { reach }),
    },
    // Nothing below the head trains: there is nothing to compute again.
    savings: candidateSavings(graph, save, headOnly(count) ? false : recompute),
    microBatches: sizes,
  }));
}

/** n, n-1, ..., 0. */
export function range(n: number): number[] {
  return Array.from({ length: n + 1 }, (_, i) => n - i);
}

function halvings(n: number): number[] {
  return n <= 1 ? [1] : [n, ...halvings(Math.ceil(n / 2))];
}
