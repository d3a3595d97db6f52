import test from 'ava';
import * as fc from 'fast-check';
import { maskBytes } from '../../kernels/activation.ts';
import { importGraph } from '../../models/onnx/import.ts';
import type { Graph } from '../../runtime/graph/graph.ts';
import { ALIGNMENT } from '../../runtime/plan/layout.ts';
import { optimizerNames, PAGE_BYTES, type Plan, type PlannedBuffer } from '../../runtime/plan/plan.ts';
import { countBlocks } from '../../runtime/scheme/scheme.ts';
import { buildNet, netSpec } from '../support/random-nets.ts';
import { plan as makePlan } from '../support/training.ts';

/** A random network and decisions about it: plain data, which fast-check can print and shrink. */
const decided = fc.record({
  net: netSpec,
  scheme: fc.constantFrom('head', 'shifts', 'mobiletl'),
  /** Share of the blocks that train. */
  depth: fc.constantFrom(0, 0.3, 0.6, 1),
  optimizer: fc.constantFrom(...optimizerNames),
  batch: fc.integer({ min: 1, max: 9 }),
  microBatch: fc.integer({ min: 1, max: 9 }),
});

function assertAlways(holds: (plan: Plan, graph: Graph) => void, numRuns = 150): void {
  const property = fc.property(decided, ({ net, depth, ...decisions }) => {
    const { graph } = importGraph(buildNet(net), undefined);
    const blocks = Math.round(depth * countBlocks(graph));
    holds(makePlan(graph, { ...decisions, blocks }), graph);
  });
  fc.assert(property, { numRuns });
}

function insist(condition: boolean, message: string): void {
  if (!condition) throw new Error(message);
}

const end = ({ offset, bytes }: PlannedBuffer): number => offset + bytes;
const share = (a: PlannedBuffer, b: PlannedBuffer): boolean => a.offset < end(b) && b.offset < end(a);
const meet = (a: PlannedBuffer, b: PlannedBuffer): boolean =>
  a.alive === null || b.alive === null || (a.alive[0] <= b.alive[1] && b.alive[0] <= a.alive[1]);

test('no two buffers that are alive together share a byte, unless they are one storage; pinned ones never', (t) => {
  assertAlways(({ buffers }) => {
    buffers.forEach((a, i) => {
      for (const b of buffers.slice(0, i)) {
        const allowed =
          !share(a, b) || !meet(a, b) || (a.storage === b.storage && a.alive !== null && b.alive !== null);
        insist(allowed, `"${a.name}" [${a.offset}, ${end(a)}) and "${b.name}" [${b.offset}, ${end(b)}) overlap`);
      }
    });
  });
  t.pass();
});

test("offsets are aligned, byte 0 is nobody's, the arena is the exact peak in whole pages", (t) => {
  assertAlways(({ buffers, peakBytes, arenaBytes }) => {
    for (const { name, offset } of buffers) insist(offset > 0 && offset % ALIGNMENT === 0, `"${name}" at ${offset}`);
    insist(peakBytes === Math.max(...buffers.map(end)), `peak ${peakBytes}`);
    insist(arenaBytes % PAGE_BYTES === 0 && arenaBytes >= peakBytes && arenaBytes - peakBytes < PAGE_BYTES, 'pages');
  });
  t.pass();
});

test('at every step the bytes alive are within the peak, and every operand is alive', (t) => {
  assertAlways(({ buffers, peakBytes, steps }) => {
    const byName = new Map(buffers.map((buffer) => [buffer.name, buffer]));
    steps.forEach((step, time) => {
      const alive = ({ alive }: PlannedBuffer): boolean => alive === null || (alive[0] <= time && time <= alive[1]);
      const storages = new Map(buffers.filter(alive).map(({ storage, bytes }) => [storage, bytes]));
      const live = [...storages.values()].reduce((sum, bytes) => sum + bytes, 0);
      insist(live <= peakBytes, `step ${time}: ${live} bytes alive, peak ${peakBytes}`);
      const { inputs, output, dOutput, dInputs, saved, parameters, workspace } = step;
      const named = [...Object.values(saved), ...Object.values(step.pass === 'prefix' ? {} : parameters)];
      for (const name of [...inputs, output, dOutput, ...dInputs, workspace, ...named]) {
        if (name === null) continue;
        const buffer = byName.get(name);
        insist(buffer !== undefined && alive(buffer), `step ${time} ${step.pass} ${step.node}: "${name}" is not alive`);
      }
      for (const parameter of Object.values(step.dParameters)) {
        insist(byName.get(`gradient ${parameter}`)?.alive === null, `no gradient for "${parameter}"`);
      }
    });
  });
  t.pass();
});

test('masks cost one bit an element, rows rounded up to bytes', (t) => {
  let masks = 0;
  assertAlways(({ buffers, steps, microBatch }) => {
    for (const { node, saved, shapes } of steps.filter(({ pass }) => pass === 'forward' || pass === 'recompute')) {
      const mask = buffers.find(({ name }) => name === saved.mask);
      if (!mask) continue;
      masks++;
      insist(mask.bytes === microBatch * maskBytes(shapes.output), `${node}: ${mask.bytes} bytes`);
    }
  }, 300);
  t.true(masks > 100, `only ${masks} masks were seen`);
});

test('the parts add up: bytes to the total, arena parts to the arena, saved storages to what is stored', (t) => {
  assertAlways(({ bytes, totalBytes, arenaBytes, buffers, storedForBackwardBytes, blocks, ...plan }) => {
    const sum = Object.values(bytes).reduce((a, b) => a + b, 0);
    insist(sum === totalBytes, `parts ${sum}, total ${totalBytes}`);
    insist(plan.fits === totalBytes <= plan.budgetBytes, 'fits');
    insist(
      Object.values(bytes).every((part) => part >= 0),
      JSON.stringify(bytes),
    );
    const pinned = buffers.filter(({ alive }) => alive === null).reduce((a, { bytes }) => a + bytes, 0);
    const onArena = pinned + bytes.saved + bytes.workspace;
    insist(onArena === arenaBytes, `on the arena ${onArena} of ${arenaBytes}`);
    const saved = new Map(buffers.filter(({ category }) => category === 'saved').map((b) => [b.storage, b.bytes]));
    const savedBytes = [...saved.values()].reduce((a, b) => a + b, 0);
    insist(savedBytes === storedForBackwardBytes, `saved ${savedBytes}, stored ${storedForBackwardBytes}`);
    const ofBlocks = blocks.reduce((a, { storedBytes }) => a + storedBytes, 0);
    const ofLoss = plan.microBatch * 4 * (plan.classes + 1);
    insist(
      ofBlocks + ofLoss === storedForBackwardBytes,
      `blocks ${ofBlocks} + loss ${ofLoss} of ${storedForBackwardBytes}`,
    );
  });
  t.pass();
});

test('spans hold every trained parameter once, with gradients and states in the same order', (t) => {
  assertAlways(({ spans, buffers, optimizer, trainableParameters }, graph) => {
    const inOrder = (from: number, bytes: number): string[] =>
      buffers
        .filter(({ offset, alive }) => alive === null && offset >= from && offset < from + bytes)
        .map(({ name, offset }) => `${name.replace(/^(gradient|state \d) /, '')} ${offset - from}`);
    for (const { parameters, gradients, states, bytes } of spans) {
      const expected = inOrder(parameters, bytes);
      insist(states.length === (optimizer === 'sgd' ? 1 : 2), `${states.length} states`);
      for (const from of [gradients, ...states])
        insist(String(inOrder(from, bytes)) === String(expected), `${expected}`);
    }
    const trained = buffers.filter(({ category }) => category === 'trainableWeights');
    const count = trained.reduce((sum, { name }) => sum + (graph.parameters.get(name)?.data().length ?? 0), 0);
    insist(count === trainableParameters, `${count} trained, ${trainableParameters} planned`);
  });
  t.pass();
});

test('a plan is data: JSON keeps all of it', (t) => {
  assertAlways((plan) => {
    const copy: Plan = JSON.parse(JSON.stringify(plan));
    t.deepEqual(copy, plan);
  }, 10);
});
