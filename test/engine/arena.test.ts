import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';
import { importGraph } from '../../models/onnx/import.ts';
import type { ModelFile } from '../../models/onnx/model-file.ts';
import { Arena } from '../../runtime/engine/cpu/arena.ts';
import { ExecutionError } from '../../runtime/errors.ts';
import type { Graph } from '../../runtime/graph/graph.ts';
import { optimizerNames, PAGE_BYTES, type Plan } from '../../runtime/plan/plan.ts';
import { saveNames } from '../../runtime/plan/savings.ts';
import type { PlanRequest } from '../../runtime/plan/search.ts';
import { normStatistics, schemeNames } from '../../runtime/scheme/names.ts';
import { countBlocks } from '../../runtime/scheme/scheme.ts';
import { captureMemories } from '../support/captured-memory.ts';
import { cyclicLabels, randomImages } from '../support/draws.ts';
import { mobileNet, mobileNetFile } from '../support/mobilenet.ts';
import { buildNet, netSpec } from '../support/random-nets.ts';
import { plan as makePlan, openCpu, sgd } from '../support/training.ts';

/** Ranges of the arena that the plan gives to nobody: byte 0 and up, gaps, and what lies above the peak. */
function unplanned({ buffers, arenaBytes }: Plan): [from: number, to: number][] {
  const gaps: [number, number][] = [];
  let end = 0;
  for (const { offset, bytes } of buffers.toSorted((a, b) => a.offset - b.offset)) {
    if (offset > end) gaps.push([end, offset]);
    end = Math.max(end, offset + bytes);
  }
  return [...gaps, [end, arenaBytes]];
}

/** Trains one step and says what is wrong with the arena; empty if nothing is. */
async function faults(graph: Graph, file: ModelFile, changes: Partial<PlanRequest>): Promise<string> {
  const plan = makePlan(graph, changes);
  const { batch, model, classes } = plan;
  const [engine, memories] = await captureMemories(() => openCpu(plan, graph, file));
  const images = randomImages(5, batch, model.imageSize);
  const labels = cyclicLabels(batch, classes);
  const found: string[] = [];
  await engine.step({ count: batch, images }, labels, sgd(1e-3));
  const { highWaterBytes, arenaBytes } = await engine.statistics();
  if (highWaterBytes !== plan.peakBytes) found.push(`high water ${highWaterBytes}, planned ${plan.peakBytes}`);
  await engine.forward({ count: batch, images });
  await engine.features(images, batch);
  if ((await engine.statistics()).highWaterBytes !== highWaterBytes) found.push('inference needs more than training');
  const [memory] = memories;
  const size = memory?.buffer.byteLength;
  if (memories.length !== 1 || size !== plan.arenaBytes || arenaBytes !== size)
    found.push(`${memories.length} memories of ${size}`);
  if (size !== PAGE_BYTES * Math.ceil(plan.peakBytes / PAGE_BYTES))
    found.push(`${size} bytes for a peak of ${plan.peakBytes}`);
  for (const [from, to] of unplanned(plan)) {
    const at = new Uint8Array(memory?.buffer ?? new ArrayBuffer(0), from, to - from).findIndex((byte) => byte !== 0);
    if (at >= 0) found.push(`byte ${from + at} was written, nobody owns [${from}, ${to})`);
  }
  await engine[Symbol.asyncDispose]();
  return found.join('; ');
}

const mobileNetCheck = test.macro(async (t: ExecutionContext, size: number, changes: Partial<PlanRequest>) => {
  t.is(await faults(await mobileNet(size), await mobileNetFile(), changes), '');
});

for (const [size, changes] of [
  [32, { scheme: 'head', batch: 3, microBatch: 3 }],
  [32, { scheme: 'shifts', blocks: 17, batch: 4, microBatch: 4 }],
  [32, { scheme: 'mobiletl', blocks: 1, batch: 4, microBatch: 3, optimizer: 'adam' }],
  [32, { scheme: 'mobiletl', blocks: 17, batch: 5, microBatch: 2 }],
  [64, { scheme: 'mobiletl', blocks: 5, batch: 2, microBatch: 1, optimizer: 'adamw' }],
  [64, { scheme: 'shifts', blocks: 9, batch: 2, microBatch: 2, derivative: 'sign' }],
  [64, { scheme: 'blocks', blocks: 6, batch: 3, microBatch: 2, save: '8bit', recompute: true }],
  [64, { scheme: 'full', batch: 2, microBatch: 2, norms: 'batch', recompute: true, save: 'float' }],
] as const) {
  const title = Object.entries(changes).map(([key, value]) => `${key}=${value}`);
  test.serial(
    `MobileNetV2 at ${size} px, ${title.join(' ')}: the high water is the planned peak`,
    mobileNetCheck,
    size,
    changes,
  );
}

test.serial(
  'random networks: the high water is the planned peak and nothing outside the plan is written',
  async (t) => {
    const decided = fc.record({
      net: netSpec,
      scheme: fc.constantFrom(...schemeNames),
      save: fc.constantFrom(...saveNames.filter((name) => name !== 'auto')),
      recompute: fc.boolean(),
      norms: fc.constantFrom(...normStatistics),
      depth: fc.constantFrom(0.5, 1),
      optimizer: fc.constantFrom(...optimizerNames),
      batch: fc.integer({ min: 1, max: 5 }),
      microBatch: fc.integer({ min: 1, max: 5 }),
    });
    await fc.assert(
      fc.asyncProperty(decided, async ({ net, depth, ...drawn }) => {
        const changes = drawn.norms === 'stored' ? drawn : { ...drawn, microBatch: drawn.batch };
        const file = buildNet(net);
        const { graph } = importGraph(file, undefined);
        const found = await faults(graph, file, { ...changes, blocks: Math.round(depth * countBlocks(graph)) });
        if (found !== '') throw new Error(found);
      }),
      { numRuns: 200 },
    );
    t.pass();
  },
);

test('the arena refuses more images than its buffers hold, and buffers it does not have', async (t) => {
  const plan = makePlan(await mobileNet(32), { batch: 2, microBatch: 2 });
  const arena = new Arena(plan);
  t.is(arena.bytes, plan.arenaBytes);
  t.is(arena.highWaterBytes, 0);
  t.notThrows(() => arena.view(plan.values.logits, 2));
  t.throws(() => arena.view(plan.values.logits, 3), {
    instanceOf: ExecutionError,
    message: /holds 80 bytes, 120 are needed for 3 images/,
  });
  t.throws(() => arena.view('nowhere', 1), { instanceOf: ExecutionError, message: 'the plan has no buffer "nowhere"' });
});
