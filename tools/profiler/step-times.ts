/** @file Where the time of a training step went: what the engine measured, beside what the plan's steps have to do. */
import type { EngineMillis } from '../../runtime/engine/engine.ts';
import type { Plan, PlannedStep } from '../../runtime/plan/plan.ts';
import type { StepTime } from './record.ts';
import { prefixFlops, stepBytes, stepFlops, updateBytes } from './traffic.ts';

/** Passes that belong to the backward one. */
const backwardPasses: readonly PlannedStep['pass'][] = ['recompute', 'restore', 'backward', 'accumulate'];

/**
 * A line for each of the plan's steps and one for the optimizer; all of one training step over the whole batch.
 * @param millis of `count` training steps together
 */
export function stepTimes(plan: Plan, millis: EngineMillis, count: number): StepTime[] {
  const passes = Array.from({ length: Math.ceil(plan.batch / plan.microBatch) }, (_, pass) =>
    Math.min(plan.microBatch, plan.batch - pass * plan.microBatch),
  );
  const blockOf = blockFinder(plan);
  const steps = plan.steps.map((step, index): StepTime => {
    const place = { op: step.op, node: step.node, block: blockOf(step.node) };
    if (step.pass === 'prefix') {
      return { pass: 'prefix', ...place, millis: millis.prefix / count, bytes: 0, flops: prefixFlops(plan) };
    }
    return {
      pass: backwardPasses.includes(step.pass) ? 'backward' : 'forward',
      ...place,
      millis: (millis.steps[index] ?? 0) / count,
      bytes: passes.reduce((sum, images) => sum + stepBytes(plan, step, images), 0),
      flops: plan.batch * stepFlops(step),
    };
  });
  const optimizer: StepTime = {
    ...{ pass: 'optimizer', op: plan.optimizer, node: '', block: '' },
    ...{ millis: millis.optimizer / count, bytes: updateBytes(plan), flops: 0 },
  };
  return [...steps, optimizer];
}

/** What the engine measured between two moments. */
export function millisBetween(before: EngineMillis, after: EngineMillis): EngineMillis {
  return {
    prefix: after.prefix - before.prefix,
    steps: after.steps.map((millis, index) => millis - (before.steps[index] ?? 0)),
    optimizer: after.optimizer - before.optimizer,
  };
}

/** A block is named after what the names of its nodes begin with, or after the first of them; the longest such name counts. */
function blockFinder({ blocks, steps }: Plan): (node: string) => string {
  const names = blocks.map(({ name }) => name).sort((a, b) => b.length - a.length);
  const begins = (node: string, name: string): boolean =>
    node.startsWith(name) && !/[A-Za-z0-9]/.test(node[name.length] ?? '');
  const found = new Map<string, string>();
  let block = '';
  for (const { pass, node } of steps) {
    if (pass !== 'forward') continue;
    block = names.find((name) => begins(node, name)) ?? block;
    found.set(node, block);
  }
  return (node) => found.get(node) ?? '';
}
