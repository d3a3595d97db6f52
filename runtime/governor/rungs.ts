/**
 * @file The plans below a plan, in the order in which they are given way to: smaller micro-batches, which change nothing but the
 * order of sums; lower precision of what is kept; fewer blocks.
 */
import type { Graph } from '../graph/graph.ts';
import { exportBytes } from '../plan/accounting.ts';
import { buildPlan, type Decisions, prepareOptions, sizeOptions } from '../plan/build.ts';
import { type Depth, depths, range } from '../plan/candidates.ts';
import { type Plan, runBytes } from '../plan/plan.ts';
import { prepare } from '../plan/prepare.ts';
import { candidateSavings } from '../plan/saving-choices.ts';
import type { Savings } from '../plan/savings.ts';
import { decisions, isNoCandidate, type PlanRequest } from '../plan/search.ts';
import { leastBytes, measure } from '../plan/size.ts';

/** What the search came to. */
export interface FoundRung {
  /** The first plan that stays below the cap; null if none does. */
  readonly plan: Plan | null;
  /** Bytes of the plans passed over, or bounds that they do not stay below. */
  readonly passed: readonly number[];
}

/** Begins with `whole` itself. @param capBytes of `runBytes` */
export function firstRung(graph: Graph, request: PlanRequest, whole: Plan, capBytes: number): FoundRung {
  const passed: number[] = [];
  for (const candidate of rungs(graph, request, whole)) {
    try {
      const bytes = bytesAbove(graph, candidate, capBytes);
      if (bytes === null) return { plan: buildPlan(graph, candidate), passed };
      passed.push(bytes);
    } catch (error) {
      if (!isNoCandidate(error)) throw error;
    }
  }
  return { plan: null, passed };
}

/** Null if the candidate stays below the cap. */
function bytesAbove(graph: Graph, candidate: Decisions, capBytes: number): number | null {
  const prepared = prepare(graph, prepareOptions(candidate));
  const options = { ...sizeOptions(candidate), fileBytes: 0 };
  const bound = leastBytes(graph, prepared, options);
  // It counts the export, too.
  const exporting = exportBytes(options.baseBytes, options.fileBytes, prepared.pinned.bytes.trainableWeights);
  if (bound > Math.max(capBytes, exporting)) return bound;
  const bytes = runBytes(measure(graph, prepared, options));
  return bytes > capBytes ? bytes : null;
}

function* rungs(graph: Graph, request: PlanRequest, whole: Plan): Generator<Decisions> {
  const { scheme, microBatch } = whole;
  for (const blocks of depthsBelow(whole)) {
    const [depth] = depths(graph, { ...request, scheme: scheme.name, blocks, microBatch: 'auto' });
    if (!depth) return;
    const sizes = [microBatch, ...depth.microBatches.filter((size) => size < microBatch)];
    for (const savings of savingsBelow(graph, request, whole, depth)) {
      for (const size of sizes) yield decisions(request, { scheme: { ...scheme, blocks } }, savings, size);
    }
  }
}

/** Schemes that stand for themselves have one depth. */
function depthsBelow({ scheme }: Plan): readonly number[] {
  const fixed = scheme.name === 'head' || scheme.name === 'full' || scheme.train.length > 0;
  return fixed ? [scheme.blocks] : range(scheme.blocks);
}

/** The plan's own way to keep what the backward pass reads, then what keeps less. */
function savingsBelow(graph: Graph, request: PlanRequest, { savings: own }: Plan, { scheme }: Depth): Savings[] {
  const headOnly = scheme.blocks === 0 && scheme.name !== 'full' && !scheme.train?.length;
  const all = candidateSavings(graph, 'auto', headOnly ? false : (request.recompute ?? 'auto'));
  const same = (other: Savings): boolean =>
    other.activations === own.activations && other.tensors === own.tensors && other.recompute === own.recompute;
  const at = all.findIndex(same);
  return [own, ...(at < 0 ? all.filter(({ tensors }) => tensors === '8bit') : all.slice(at + 1))];
}
