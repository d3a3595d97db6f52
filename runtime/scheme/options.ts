/** @file What a scheme is told, and what it says. */
import type { Block, Graph } from '../graph/graph.ts';
import type { NormStatistics, SchemeName } from './names.ts';

export interface SchemeOptions {
  readonly name: SchemeName;
  /** Top blocks that train, 0 to all; the neck goes with them. Ignored by `head` and `full`. */
  readonly blocks: number;
  /** The bit kept for a clipping activation's derivative; default `exact`. */
  readonly derivative?: 'exact' | 'sign';
  /** Globs of the tensors that train, in place of the scheme's choice; a new head trains along. Empty: no say. */
  readonly train?: readonly string[];
  /** Globs of tensors that do not train whatever the scheme says. */
  readonly freeze?: readonly string[];
  /** Statistics of the norms in trained blocks; default `stored`. */
  readonly norms?: NormStatistics;
  /** Weight of a batch in the running statistics, above 0 up to 1; default 0.1, PyTorch's. */
  readonly momentum?: number;
  /** Whose norms take `norms`: those of blocks where something trains, or all; default `trained`. */
  readonly reach?: 'trained' | 'all';
  /** Whether the head trains along; default true. Without it nothing may be left to train, and a plan only predicts. */
  readonly head?: boolean;
}

/** Learning-rate groups; `statistics` follow the batches and have no gradient. */
export type ParameterGroup = 'head' | 'weights' | 'norms' | 'statistics';

/** A scheme applied to a graph. */
export interface Scheme extends Required<SchemeOptions> {
  /** The graph with its norms as the statistics ask for. */
  readonly graph: Graph;
  /** Group of every parameter that trains, in the graph's order. */
  readonly trains: ReadonlyMap<string, ParameterGroup>;
  /** Blocks from input to output with what trains in each. */
  readonly parts: readonly { readonly block: Block; readonly trains: readonly string[] }[];
}
