/** @file The frontier: every budget at which the plan changes, and what it changes to. */
import type { Graph } from '../graph/graph.ts';
import { buildPlan, type Decisions, prepareOptions, sizeOptions } from './build.ts';
import { depths } from './candidates.ts';
import type { Plan } from './plan.ts';
import { prepare } from './prepare.ts';
import { decisions, isNoCandidate, type PlanRequest } from './search.ts';
import { measure } from './size.ts';

/** The plan for all budgets from `plan.totalBytes` up to the next point's. */
export interface FrontierPoint {
  readonly plan: Plan;
}

/**
 * Walks all candidates of a request, whatever its budget, and keeps those that no cheaper one is preferred to.
 * @returns plans by rising bytes; each trains more, or more exactly, or in larger passes, than the one before
 */
export function frontier(graph: Graph, request: PlanRequest): readonly FrontierPoint[] {
  const sized = candidates(graph, request).map((candidate, rank) => ({
    candidate,
    rank,
    totalBytes: measure(graph, prepare(graph, prepareOptions(candidate)), sizeOptions(candidate)).totalBytes,
  }));
  sized.sort((a, b) => a.totalBytes - b.totalBytes || a.rank - b.rank);
  let best = Number.POSITIVE_INFINITY;
  const kept = sized.filter(({ rank }) => {
    if (rank >= best) return false;
    best = rank;
    return true;
  });
  return kept.map(({ candidate }) => ({ plan: buildPlan(graph, candidate) }));
}

/** In the planner's order of preference, without depths that reach an op without a backward rule. */
function candidates(graph: Graph, request: PlanRequest): Decisions[] {
  return depths(graph, request).flatMap((depth) => {
    const all = depth.savings.flatMap((savings) =>
      depth.microBatches.map((microBatch) => ({
        ...decisions(request, depth, savings, microBatch),
        budgetBytes: Number.MAX_SAFE_INTEGER,
      })),
    );
    const [first] = all;
    try {
      // The others differ in what is kept only: what cannot be trained shows at the first.
      if (first) prepare(graph, prepareOptions(first));
      return all;
    } catch (error) {
      if (request.blocks === 'auto' && isNoCandidate(error)) return [];
      throw error;
    }
  });
}
