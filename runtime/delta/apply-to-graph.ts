/** @file A delta in a graph: what it added to the base model is added again, then its values take their places. */
import { DeltaError } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import { replaceHead } from '../graph/head.ts';
import { META, withMetaNetworks } from '../scheme/meta-networks.ts';
import { applyDelta, type Delta, hasNewHead } from './delta.ts';

/**
 * The base model's graph as the delta's run left it: with its new head and its meta networks, if it has any.
 * @throws DeltaError if it holds tensors the graph does not have, or lacks some of what it added
 */
export function withDelta(graph: Graph, delta: Delta): Graph {
  const headed = withDeltaHead(graph, delta);
  const { metaParts } = delta;
  if (!metaParts) return applyDelta(headed, delta);
  const extended = withMetaNetworks(headed, { parts: metaParts, seed: 0 });
  const missing = [...extended.parameters.keys()].filter((name) => name.startsWith(META) && !delta.tensors.has(name));
  if (missing.length > 0) {
    throw new DeltaError(`the delta has meta networks but lacks "${missing.join('", "')}"`, { tensors: missing });
  }
  return applyDelta(extended, delta);
}

/** The base model's graph with a head where the delta has a new one, whose values are still to be set. */
export function withDeltaHead(graph: Graph, delta: Delta): Graph {
  if (!hasNewHead(delta)) return graph;
  return replaceHead(graph, { classes: delta.classes.length, drop: delta.drop ?? [], seed: 0 });
}
