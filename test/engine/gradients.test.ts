import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';
import { importGraph } from '../../models/onnx/import.ts';
import { gradientBuffer, type Plan, productsNames } from '../../runtime/plan/plan.ts';
import type { PlanRequest } from '../../runtime/plan/search.ts';
import { countBlocks } from '../../runtime/scheme/scheme.ts';
import { assertRelativeL2, relativeL2 } from '../support/compare.ts';
import { cyclicLabels, randomImages } from '../support/draws.ts';
import { mobileNet, mobileNetFile } from '../support/mobilenet.ts';
import { buildNet, netSpec } from '../support/random-nets.ts';
import { referenceForward } from '../support/reference-forward.ts';
import { atCut, plan as makePlan, openCpu, openReference, trainedNames } from '../support/training.ts';

/** Of the seeds 1 to 90, this one keeps MobileNetV2's activations farthest from their kinks at 64 px. */
const seed = 23;
/** About ten times what float32 and float64 differ by inside the network. */
const MARGIN = 1e-5;
const TOLERANCE = 1e-4;

const againstReference = test.macro(async (t: ExecutionContext, changes: Partial<PlanRequest>) => {
  const graph = await mobileNet(64);
  const plan = makePlan(graph, { labelSmoothing: 0.1, ...changes });
  const images = randomImages(seed, plan.batch, 64);
  const labels = cyclicLabels(plan.batch, plan.classes);
  const cpu = await openCpu(plan, graph, await mobileNetFile());
  const reference = openReference(plan, graph);
  const actual = await cpu.gradients({ count: plan.batch, images }, labels);
  const expected = await reference.gradients(await atCut(cpu, images, plan.batch), labels);
  t.true(Math.abs(actual.loss - expected.loss) <= 1e-5, `seed ${seed}: loss ${actual.loss}, expected ${expected.loss}`);
  t.is(actual.correct, expected.correct);
  let worst = 0;
  for (const name of trainedNames(plan)) {
    const [gradient, exact] = [await cpu.read(gradientBuffer(name)), reference.exact(gradientBuffer(name))];
    assertRelativeL2(t, gradient, exact, TOLERANCE, `seed ${seed}: "${name}"`);
    worst = Math.max(worst, relativeL2(gradient, exact));
  }
  t.log(`seed ${seed}: worst relative L2 error ${worst.toExponential(1)}`);
  await cpu[Symbol.asyncDispose]();
});

test('the seed keeps MobileNetV2 away from the kinks', async (t) => {
  const pixels = Float32Array.from(randomImages(seed, 2, 64), (pixel) => pixel / 255);
  const { kinkMargin } = referenceForward(await mobileNet(64), pixels, 2);
  t.true(kinkMargin >= MARGIN, `seed ${seed}: ${kinkMargin}`);
});

for (const changes of [
  { scheme: 'mobiletl', blocks: 17 },
  { scheme: 'shifts', blocks: 17, microBatch: 1 },
  { scheme: 'mobiletl', blocks: 4, derivative: 'sign' },
  { scheme: 'head', blocks: 0 },
] as const) {
  const title = Object.entries(changes).map(([key, value]) => `${key}=${value}`);
  test(`MobileNetV2, two images of 64 px, ${title.join(' ')}: CPU equals reference`, againstReference, changes);
}

test('MobileNetV2: gradients of two micro-batches add up to those of the batch', async (t) => {
  const graph = await mobileNet(64);
  const images = randomImages(seed, 2, 64);
  const gradients = async (microBatch: number) => {
    const plan = makePlan(graph, { blocks: 17, batch: 2, microBatch });
    const cpu = await openCpu(plan, graph, await mobileNetFile());
    const { loss } = await cpu.gradients({ count: 2, images }, Int32Array.of(1, 8));
    const read = trainedNames(plan).map(async (name) => [name, await cpu.read(gradientBuffer(name))] as const);
    const values = new Map(await Promise.all(read));
    await cpu[Symbol.asyncDispose]();
    return { loss, values };
  };
  const [whole, parts] = [await gradients(2), await gradients(1)];
  t.true(Math.abs(whole.loss - parts.loss) <= 1e-6, `${whole.loss} and ${parts.loss}`);
  for (const [name, gradient] of whole.values) {
    assertRelativeL2(t, parts.values.get(name) ?? [], gradient, 1e-5, `seed ${seed}: "${name}"`);
  }
});

/** Error of a whole plan's gradients, each tensor against the larger of its own norm and a share of the largest. */
function worstError(
  actual: ReadonlyMap<string, Float32Array>,
  expected: ReadonlyMap<string, ArrayLike<number>>,
): number {
  const norm = (values: ArrayLike<number>): number => Math.hypot(...Array.from(values));
  const largest = Math.max(...[...expected.values()].map(norm));
  const errors = [...expected].map(([name, values]) => {
    const found = actual.get(name) ?? new Float32Array(1);
    const difference = Array.from(values, (value, i) => (found[i] ?? Number.NaN) - value);
    return largest === 0 ? norm(difference) : norm(difference) / Math.max(norm(values), 1e-3 * largest);
  });
  return Math.max(...errors);
}

test('random networks, with onnxruntime and without: CPU equals reference, micro-batches add up', async (t) => {
  const decided = fc.record({
    net: netSpec,
    scheme: fc.constantFrom('shifts', 'mobiletl'),
    derivative: fc.constantFrom('exact', 'sign'),
    products: fc.constantFrom(...productsNames),
    depth: fc.constantFrom(0.4, 1),
    batch: fc.integer({ min: 1, max: 5 }),
    microBatch: fc.integer({ min: 1, max: 5 }),
  });
  await fc.assert(
    fc.asyncProperty(decided, async ({ net, depth, ...changes }) => {
      const file = buildNet(net);
      const { graph } = importGraph(file, undefined);
      const plan: Plan = makePlan(graph, { ...changes, blocks: Math.round(depth * countBlocks(graph)) });
      const { batch, classes, model } = plan;
      const images = randomImages(net.seed, batch, model.imageSize);
      const pixels = Float32Array.from(images, (pixel) => pixel / 255);
      const { output, kinkMargin } = referenceForward(graph, pixels, batch);
      fc.pre(kinkMargin >= MARGIN);
      const labels = cyclicLabels(batch, classes);
      const cpu = await openCpu(plan, graph, file);
      const reference = openReference(plan, graph);
      const logits = await cpu.forward({ count: batch, images });
      await cpu.gradients({ count: batch, images }, labels);
      await reference.gradients(await atCut(cpu, images, batch), labels);
      const names = trainedNames(plan);
      const actual = new Map<string, Float32Array>();
      for (const name of names) actual.set(name, await cpu.read(gradientBuffer(name)));
      await cpu[Symbol.asyncDispose]();
      const expected = new Map(names.map((name) => [name, reference.exact(gradientBuffer(name))]));
      const errors = { logits: relativeL2(logits, output), gradients: worstError(actual, expected) };
      if (!(errors.logits <= TOLERANCE && errors.gradients <= TOLERANCE)) throw new Error(JSON.stringify(errors));
    }),
    { numRuns: 40 },
  );
  t.pass();
});
