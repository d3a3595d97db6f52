/**
 * @file Runs of forward steps that are executed for a few images at a time, so that what only they read takes the memory of a few.
 *
 * Images are independent where no batch statistics are taken, and what nothing is differentiated through is not kept: such are
 * the frozen nodes between the cut and the first node that trains.
 */
import type { NodePlan } from './node-plans.ts';
import type { TrainingStep } from './training-graph.ts';

/** Images of a slice: such nodes are the lowest, whose maps are large enough for matrix products to be at their rate. */
export const SLICE_IMAGES = 1;

/** Runs of fewer steps hold nothing inside. */
const LEAST_STEPS = 3;

/** Marks the steps of nodes that nothing is differentiated through, where that saves memory. */
export function markSlices(steps: readonly TrainingStep[], plans: readonly NodePlan[]): readonly TrainingStep[] {
  const free = new Set(plans.flatMap(({ node, kernel, onPath }) => (onPath || kernel.running ? [] : [node.name])));
  const marked = steps.map(
    (step): TrainingStep => (step.pass === 'forward' && free.has(step.node) ? { ...step, sliced: true } : step),
  );
  // Scratch memory that grows with the images is worth it too.
  const pays = (run: readonly TrainingStep[]): boolean =>
    run.length >= LEAST_STEPS || run.some(({ workspace }) => typeof workspace !== 'number');
  const paying = new Set(
    sliceRuns(marked).flatMap(([from, to]) => {
      const run = marked.slice(from, to + 1);
      return pays(run) ? run : [];
    }),
  );
  return marked.map((step, index) => (paying.has(step) ? step : (steps[index] ?? step)));
}

/** First and last index of each run of sliced steps. */
export function sliceRuns(steps: readonly Pick<TrainingStep, 'sliced'>[]): readonly (readonly [number, number])[] {
  return steps.flatMap(({ sliced }, from) => {
    if (!sliced || steps[from - 1]?.sliced) return [];
    const after = steps.findIndex((step, index) => index > from && !step.sliced);
    return [[from, (after < 0 ? steps.length : after) - 1] as const];
  });
}
