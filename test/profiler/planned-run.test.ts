/** What a plan promised, as a profile shows it: the fullest step and what is alive then; the work of each step. */
import test from 'ava';
import * as fc from 'fast-check';
import { importGraph } from '../../models/onnx/import.ts';
import type { Plan, PlannedBuffer } from '../../runtime/plan/plan.ts';
import { countBlocks } from '../../runtime/scheme/scheme.ts';
import { plannedRun } from '../../tools/profiler/planned-run.ts';
import { millisBetween, stepTimes } from '../../tools/profiler/step-times.ts';
import { prefixFlops, updateBytes } from '../../tools/profiler/traffic.ts';
import { GraphBuilder, relu6 } from '../support/graphs.ts';
import { buildNet, netSpec } from '../support/random-nets.ts';
import { plan as makePlan } from '../support/training.ts';

function small(): Plan {
  const b = new GraphBuilder([8, 8, 3]);
  b.head(b.norm('norm', b.conv('conv', 'image', 4), relu6), 3);
  return makePlan(b.build(), { scheme: 'mobiletl', blocks: 1, batch: 6, microBatch: 4 });
}

const sum = (values: readonly { readonly bytes: number }[]): number =>
  values.reduce((all, { bytes }) => all + bytes, 0);

test('of any plan: the largest sum of bytes alive at one step, each storage once, largest first', (t) => {
  const decided = fc.record({
    net: netSpec,
    scheme: fc.constantFrom('head', 'shifts', 'mobiletl'),
    batch: fc.integer({ min: 1, max: 9 }),
    microBatch: fc.integer({ min: 1, max: 9 }),
  });
  fc.assert(
    fc.property(decided, ({ net, ...decisions }) => {
      const { graph } = importGraph(buildNet(net), undefined);
      const plan = makePlan(graph, { ...decisions, blocks: countBlocks(graph) });
      const { atPeak, peakStep, arenaBytes } = plannedRun(plan);
      const fullest = Math.max(...plan.steps.map((_, step) => aliveBytes(plan.buffers, step)));
      t.is(sum(atPeak), fullest);
      t.true(fullest <= arenaBytes);
      t.deepEqual(
        atPeak.map(({ bytes }) => bytes),
        atPeak.map(({ bytes }) => bytes).sort((a, b) => b - a),
      );
      t.true(
        plan.steps.some(({ pass, op, node }) => peakStep === `${pass} ${op} ${node}`),
        peakStep,
      );
      const storages = atPeak.map(({ name }) => plan.buffers.find((buffer) => buffer.name === name)?.storage);
      t.is(new Set(storages).size, storages.length);
    }),
    { numRuns: 30 },
  );
});

function aliveBytes(buffers: readonly PlannedBuffer[], step: number): number {
  const alive = buffers.filter((buffer) => !buffer.alive || (buffer.alive[0] <= step && step <= buffer.alive[1]));
  return [...new Map(alive.map(({ storage, bytes }) => [storage, bytes])).values()].reduce((all, one) => all + one, 0);
}

test("totals, categories and blocks are the plan's own, and JSON holds them", (t) => {
  const plan = small();
  const run = plannedRun(plan);
  t.like(run, {
    batch: 6,
    microBatch: 4,
    scheme: 'mobiletl 1',
    totalBytes: plan.totalBytes,
    arenaBytes: plan.peakBytes,
  });
  t.is(
    Object.values(run.bytes).reduce((all, one) => all + one, 0),
    run.totalBytes,
  );
  t.deepEqual(
    run.blocks.map(({ name }) => name),
    plan.blocks.map(({ name }) => name),
  );
  t.deepEqual(JSON.parse(JSON.stringify(run)), run);
  const unlimited = plannedRun({ ...plan, budgetBytes: Number.POSITIVE_INFINITY });
  t.deepEqual(JSON.parse(JSON.stringify(unlimited)), unlimited);
});

test('a value that took the memory of another is named after the one that has it then', (t) => {
  const { atPeak } = plannedRun(small());
  const names = atPeak.map(({ name }) => name);
  // The norm takes the memory of the convolution.
  t.false(names.includes('conv') && names.includes('norm'), names.join(', '));
});

test('time of a step: what the engine measured between two moments, by the steps between them', (t) => {
  const plan = small();
  const at = (factor: number) => ({
    prefix: 10 * factor,
    steps: plan.steps.map((_, index) => index * factor),
    optimizer: 2 * factor,
  });
  const lines = stepTimes(plan, millisBetween(at(1), at(5)), 4);
  t.is(lines.length, plan.steps.length + 1);
  t.like(lines[0], { pass: 'prefix', millis: 10, flops: prefixFlops(plan) });
  t.like(lines.at(-1), { pass: 'optimizer', millis: 2, bytes: updateBytes(plan), flops: 0 });
  lines.slice(1, -1).forEach((line, index) => {
    const step = plan.steps[index + 1];
    t.is(line.millis, index + 1);
    t.like(line, { op: step?.op, node: step?.node });
    t.is(line.pass, step?.pass === 'forward' ? 'forward' : 'backward');
  });
  t.true(plan.blocks.some(({ name }) => name === lines.find(({ node }) => node === 'norm')?.block));
  const forward = lines.find(({ pass, op }) => pass === 'forward' && op === 'Gemm');
  t.is(forward?.flops, plan.batch * 2 * 4 * 3, 'the last micro-batch is smaller');
});
