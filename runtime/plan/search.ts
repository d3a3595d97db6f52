/** @file The search: the plan that trains the most inside the budget, or the news of why none does. */
import { BudgetError, EdgeshiftError } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import { type SchemeName, schemeNames } from '../scheme/names.ts';
import { countBlocks } from '../scheme/scheme.ts';
import { processBaseBytes } from './accounting.ts';
import { budgetFacts, buildPlan, type Decisions, prepare } from './build.ts';
import { bytesText } from './bytes-text.ts';
import { describe } from './describe.ts';
import type { Plan } from './plan.ts';

/** What the user asks for; `auto` leaves it to the planner. */
export interface PlanRequest extends Omit<Decisions, 'scheme' | 'microBatch' | 'prefixBatch' | 'baseBytes'> {
  /** What the process holds before any model is loaded; default: as measured for this version of Node. */
  readonly baseBytes?: number;
  readonly scheme: SchemeName;
  /** Top blocks to train; `auto`: as many as fit. */
  readonly blocks: number | 'auto';
  /** Which bit stands for a clipping activation's derivative. */
  readonly derivative?: 'exact' | 'sign';
  /** Images per pass, at most `batch`; gradients add up over the passes. `auto`: as many as fit. */
  readonly microBatch: number | 'auto';
}

/**
 * Finds the plan: most blocks first, then the largest micro-batch that fits. If nothing fits, the smallest plan for what
 * was asked is returned with `fits: false`.
 *
 * The prefix takes one image at a time: measured, its rate is that of a batch and its peak a fraction.
 */
export function planTraining(graph: Graph, request: PlanRequest): Plan {
  const depths = request.blocks === 'auto' ? range(countBlocks(graph)) : [request.blocks];
  let smallest: Plan | undefined;
  let refused: unknown;
  for (const blocks of request.scheme === 'head' ? [0] : depths) {
    try {
      const found = planAtDepth(graph, request, blocks);
      if (found.fits) return found;
      smallest = found;
    } catch (error) {
      // A depth that reaches an op without a backward rule is no candidate; what lies above it may be.
      if (request.blocks !== 'auto' || !(error instanceof EdgeshiftError) || error.code !== 'UNSUPPORTED_OP')
        throw error;
      refused = error;
    }
  }
  if (!smallest) throw refused;
  return smallest;
}

function planAtDepth(graph: Graph, request: PlanRequest, blocks: number): Plan {
  const { scheme, derivative, microBatch, ...rest } = request;
  const prepared = prepare(graph, { name: scheme, blocks, derivative: derivative ?? 'exact' }, request.labelSmoothing);
  const sizes = microBatch === 'auto' ? halvings(request.batch) : [Math.min(microBatch, request.batch)];
  let plan: Plan | undefined;
  for (const size of sizes) {
    const decisions = {
      ...rest,
      scheme: { name: scheme, blocks, derivative: derivative ?? 'exact' },
      microBatch: size,
      prefixBatch: 1,
      baseBytes: request.baseBytes ?? processBaseBytes(process.versions.node),
    };
    plan = buildPlan(graph, prepared, decisions);
    if (plan.fits) break;
  }
  return plan as Plan;
}

/** The plan closest to what was asked that does fit: fewer blocks, then a lighter scheme; undefined if none does. */
export function nearestFit(graph: Graph, request: PlanRequest): Plan | undefined {
  const lighter = schemeNames.slice(0, schemeNames.indexOf(request.scheme) + 1).reverse();
  const limit = request.blocks === 'auto' ? countBlocks(graph) : request.blocks;
  for (const scheme of lighter) {
    for (const blocks of scheme === 'head' ? [0] : range(limit).filter((k) => k > 0)) {
      const plan = planTraining(graph, { ...request, scheme, blocks, microBatch: 'auto' });
      if (plan.fits) return plan;
    }
  }
  return undefined;
}

/**
 * Lets a plan pass that fits.
 * @throws BudgetError with what is missing, the three largest tensors and the nearest plan that would fit
 */
export function requireFit(graph: Graph, request: PlanRequest, plan: Plan): void {
  if (plan.fits) return;
  const nearest = nearestFit(graph, request);
  throw new BudgetError(misfitText(plan, nearest), {
    ...budgetFacts(plan),
    largest: largestBuffers(plan),
    nearest: nearest && describe(nearest),
  });
}

/** The text of a budget error. */
export function misfitText(plan: Plan, nearest: Plan | undefined): string {
  const largest = largestBuffers(plan).map(({ name, bytes }) => `  ${bytesText(bytes).padStart(10)}  ${name}`);
  const advice = nearest
    ? `Hint: ${describe(nearest)} fits with ${bytesText(nearest.totalBytes)}`
    : `Hint: no plan fits this budget; the process alone needs ${bytesText(plan.bytes.base)} before any model is loaded`;
  return [
    `${describe(plan)} needs ${bytesText(plan.totalBytes)}, the budget is ${bytesText(plan.budgetBytes)}: ` +
      `${bytesText(plan.totalBytes - plan.budgetBytes)} are missing`,
    'Largest tensors:',
    ...largest,
    advice,
  ].join('\n');
}

function largestBuffers(plan: Plan) {
  const storages = new Map(plan.buffers.map(({ storage, name, bytes }) => [storage, { name, bytes }]));
  return [...storages.values()].sort((a, b) => b.bytes - a.bytes).slice(0, 3);
}

/** n, n-1, ..., 0. */
function range(n: number): number[] {
  return Array.from({ length: n + 1 }, (_, i) => n - i);
}

function halvings(n: number): number[] {
  return n <= 1 ? [1] : [n, ...halvings(Math.ceil(n / 2))];
}
