/** @file The search: the plan that trains the most inside the budget, or the news of why none does. */
import { BudgetError, EdgeshiftError, UsageError } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import { schemeNames } from '../scheme/names.ts';
import { countBlocks } from '../scheme/scheme.ts';
import { exportBytes, processBaseBytes } from './accounting.ts';
import { budgetFacts, buildPlan, type Decisions, prepareOptions, sizeOptions } from './build.ts';
import { bytesText } from './bytes-text.ts';
import { type Depth, depths, range, type Wishes } from './candidates.ts';
import { describe } from './describe.ts';
import type { Plan } from './plan.ts';
import { prepare, prepareScheme } from './prepare.ts';
import { leastBytes, leastPinnedBytes, measure } from './size.ts';

/** What the user asks for; `auto` leaves it to the planner. */
export interface PlanRequest
  extends Omit<Decisions, 'scheme' | 'savings' | 'microBatch' | 'baseBytes' | 'rates'>,
    Wishes {
  /** What the process holds before any model is loaded; default: as measured for this version of Node. */
  readonly baseBytes?: number;
  /** The device's rates, for predicted times; default: not known. */
  readonly rates?: Decisions['rates'];
}

/**
 * Finds the plan: the first candidate that fits (candidates.ts has the order). If none does, the smallest plan for what was
 * asked is returned with `fits: false`.
 * @throws UsageError for a micro-batch below the batch with batch statistics, UnsupportedOpError
 */
export function planTraining(graph: Graph, request: PlanRequest): Plan {
  checkStatistics(graph, request);
  const all = depths(graph, request);
  const fitting = firstOf(request, all, (depth) => firstFit(graph, request, depth));
  if (fitting.found) return buildPlan(graph, fitting.found);
  const smallest = firstOf(request, all.toReversed(), (depth) => smallestOf(graph, request, depth));
  if (!smallest.found) throw smallest.refusal;
  return buildPlan(graph, smallest.found);
}

/**
 * Refuses what `planTraining` refuses whatever the budget, without a search.
 * @throws UsageError for a micro-batch below the batch with batch statistics, UnsupportedOpError
 */
export function requireCandidate(graph: Graph, request: PlanRequest): void {
  checkStatistics(graph, request);
  const shallowFirst = depths(graph, request).toReversed();
  const { found, refusal } = firstOf(request, shallowFirst, (depth) => {
    const [savings] = depth.savings;
    // The others differ in what is kept only, which decides nothing about what can be trained.
    return savings && prepare(graph, prepareOptions(decisions(request, depth, savings, request.batch)));
  });
  if (!found) throw refusal;
}

/**
 * The first depth's answer that is one, passing over depths that are no candidates where the planner may choose, and what
 * refused the first of those.
 */
function firstOf<T>(
  { blocks }: PlanRequest,
  ordered: readonly Depth[],
  find: (depth: Depth) => T | undefined,
): { readonly found?: T; readonly refusal?: unknown } {
  const refusals: unknown[] = [];
  for (const depth of ordered) {
    try {
      const found = find(depth);
      if (found) return { found };
    } catch (error) {
      if (blocks !== 'auto' || !isNoCandidate(error)) throw error;
      refusals.push(error);
    }
  }
  return { refusal: refusals[0] };
}

/**
 * True for what makes a depth no candidate while others may be: it reaches an op without a backward rule, or the user's
 * patterns leave nothing of it to train.
 */
export function isNoCandidate(error: unknown): boolean {
  return error instanceof EdgeshiftError && (error.code === 'UNSUPPORTED_OP' || error.facts.nothingTrains === true);
}

function checkStatistics(graph: Graph, { norms = 'stored', microBatch, batch }: PlanRequest): void {
  if (microBatch === 'auto' || microBatch >= batch) return;
  if (graph.nodes.some(({ op }) => op === 'BatchNorm')) {
    throw new UsageError(
      `meta networks need the whole batch at once: expected --micro-batch ${batch} or auto, found ${microBatch}\n` +
        'Hint: a smaller --batch',
    );
  }
  if (norms === 'stored') return;
  throw new UsageError(
    `--norms ${norms} needs the whole batch at once: expected --micro-batch ${batch} or auto, found ${microBatch}\n` +
      'Hint: a smaller --batch, or --norms stored, whose images are independent',
  );
}

export function decisions(
  request: PlanRequest,
  depth: Pick<Depth, 'scheme'>,
  savings: Decisions['savings'],
  microBatch: number,
): Decisions {
  const { model, device, budgetBytes, optimizer, labelSmoothing, batch, threads, products } = request;
  return {
    model,
    device,
    budgetBytes,
    optimizer,
    labelSmoothing,
    batch,
    threads,
    ...(products && { products }),
    scheme: depth.scheme,
    savings,
    microBatch,
    cachesFeatures: request.cachesFeatures ?? false,
    baseBytes: baseBytesOf(request),
    rates: request.rates ?? null,
  };
}

/** What the process holds before any model is loaded. */
export function baseBytesOf(request: Pick<PlanRequest, 'baseBytes' | 'threads' | 'products'>): number {
  return request.baseBytes ?? processBaseBytes(process.versions.node, request.threads, request.products);
}

/** The candidate of a depth that takes the least. */
function smallestOf(graph: Graph, request: PlanRequest, depth: Depth): Decisions {
  const sized = depth.savings.map((savings) => {
    const candidate = decisions(request, depth, savings, depth.microBatches.at(-1) ?? 1);
    const prepared = prepare(graph, prepareOptions(candidate));
    return { candidate, totalBytes: measure(graph, prepared, sizeOptions(candidate)).totalBytes };
  });
  const [first, ...rest] = sized;
  if (!first) throw new Error('a depth has no candidates');
  return rest.reduce((least, other) => (other.totalBytes < least.totalBytes ? other : least), first).candidate;
}

function firstFit(graph: Graph, request: PlanRequest, depth: Depth): Decisions | undefined {
  const budget = request.budgetBytes;
  for (const savings of depth.savings) {
    // Nothing of this depends on the micro-batch.
    const whole = decisions(request, depth, savings, request.batch);
    const options = prepareOptions(whole);
    // A search for what does not fit ends here at most depths, long before anything is differentiated.
    if (leastPinnedBytes(graph, prepareScheme(graph, options), sizeOptions(whole)) > budget) continue;
    const prepared = prepare(graph, options);
    for (const microBatch of depth.microBatches) {
      const candidate = decisions(request, depth, savings, microBatch);
      const sized = sizeOptions(candidate);
      if (leastBytes(graph, prepared, sized) > budget) continue;
      if (measure(graph, prepared, sized).totalBytes <= budget) return candidate;
    }
  }
  return undefined;
}

/** The plan closest to what was asked that does fit: fewer blocks, then a lighter scheme; undefined if none does. */
export function nearestFit(graph: Graph, request: PlanRequest): Plan | undefined {
  const lighter = schemeNames.slice(0, schemeNames.indexOf(request.scheme) + 1).reverse();
  const limit = request.blocks === 'auto' || request.scheme === 'full' ? countBlocks(graph) : request.blocks;
  const { train: _, ...free } = request;
  // Every run writes its model at the end; where not even that fits, there is nothing to look for.
  if (exportBytes(baseBytesOf(request), request.model.fileBytes, 0) > request.budgetBytes) return undefined;
  for (const scheme of lighter) {
    if (scheme === 'full') continue;
    for (const blocks of scheme === 'head' ? [0] : range(limit).filter((k) => k > 0)) {
      const found = fitAt(graph, { ...free, scheme, blocks, ...unbound });
      if (found) return buildPlan(graph, found);
    }
  }
  return undefined;
}

const unbound = { microBatch: 'auto', save: 'auto', recompute: 'auto' } as const;

/** The best candidate of one depth; undefined if none fits or that depth cannot be trained. */
function fitAt(graph: Graph, request: PlanRequest): Decisions | undefined {
  const [depth] = depths(graph, request);
  try {
    return depth && firstFit(graph, request, depth);
  } catch (error) {
    if (isNoCandidate(error)) return undefined;
    throw error;
  }
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
