/** The engine without onnxruntime: everything on the arena, exact memory, results that depend on neither threads nor run. */
import test, { type ExecutionContext } from 'ava';
import { importGraph } from '../../models/onnx/import.ts';
import type { ModelFile } from '../../models/onnx/model-file.ts';
import { importWithProbes } from '../../models/onnx/open-model.ts';
import { UnsupportedOpError } from '../../runtime/errors.ts';
import type { Graph } from '../../runtime/graph/graph.ts';
import { gradientBuffer, type Plan, type ProductsName } from '../../runtime/plan/plan.ts';
import type { PlanRequest } from '../../runtime/plan/search.ts';
import { assertClose, assertRelativeL2, relativeL2 } from '../support/compare.ts';
import { cyclicLabels, randomImages } from '../support/draws.ts';
import { GraphBuilder } from '../support/graphs.ts';
import { mobileNet, mobileNetFile } from '../support/mobilenet.ts';
import { OnnxBuilder } from '../support/onnx-models.ts';
import { buildNet, type NetSpec } from '../support/random-nets.ts';
import { atCut, plan as makePlan, openCpu, openReference, sgd, trainedNames } from '../support/training.ts';

/** As in gradients.test.ts: far from MobileNetV2's kinks at 64 px. */
const seed = 23;

const againstReference = test.macro(async (t: ExecutionContext, changes: Partial<PlanRequest>) => {
  const graph = await mobileNet(64);
  const plan = makePlan(graph, { products: 'simd', labelSmoothing: 0.1, ...changes });
  t.like(plan, { products: 'simd', prefix: { cut: graph.input, nodes: 0 }, bytes: { prefixPeak: 0 } });
  const images = randomImages(seed, plan.batch, 64);
  const labels = cyclicLabels(plan.batch, plan.classes);
  const cpu = await openCpu(plan, graph);
  const reference = openReference(plan, graph);
  const actual = await cpu.gradients({ count: plan.batch, images }, labels);
  const expected = await reference.gradients(await atCut(cpu, images, plan.batch), labels);
  t.true(Math.abs(actual.loss - expected.loss) <= 1e-5, `seed ${seed}: loss ${actual.loss}, expected ${expected.loss}`);
  for (const name of trainedNames(plan)) {
    const [gradient, exact] = [await cpu.read(gradientBuffer(name)), reference.exact(gradientBuffer(name))];
    assertRelativeL2(t, gradient, exact, 1e-4, `seed ${seed}: "${name}"`);
  }
  await cpu.update(sgd(0.1));
  const { highWaterBytes } = await cpu.statistics();
  t.is(highWaterBytes, plan.peakBytes, 'the arena is used as planned, to the byte');
  await cpu[Symbol.asyncDispose]();
});

for (const changes of [
  { scheme: 'mobiletl', blocks: 17 },
  { scheme: 'mobiletl', blocks: 3, microBatch: 1 },
  { scheme: 'blocks', blocks: 2, threads: 2 },
  { scheme: 'head', blocks: 0 },
] as const) {
  const title = Object.entries(changes).map(([key, value]) => `${key}=${value}`);
  test(
    `MobileNetV2, two images of 64 px, ${title.join(' ')}, without onnxruntime: equals reference`,
    againstReference,
    {
      ...changes,
    },
  );
}

/** k x k and pointwise convolutions, gates, poolings, a flattened head. */
const spec: NetSpec = {
  seed: 31,
  size: 11,
  head: 'flatten',
  classes: 5,
  stages: (['plain', 'bottleneck', 'gate', 'residual', 'branches'] as const).map((kind) => ({
    kind,
    ...{ channels: 8, kernel: 3, stride: 1, activation: 'hardSwish', norm: true },
  })),
};

interface Trained {
  readonly losses: readonly number[];
  readonly parameters: ReadonlyMap<string, Float32Array>;
}

/** A few steps of SGD. */
async function trained(file: ModelFile, graph: Graph, changes: Partial<PlanRequest>): Promise<Trained> {
  const plan: Plan = makePlan(graph, { scheme: 'blocks', blocks: 3, batch: 4, microBatch: 3, ...changes });
  const engine = await openCpu(plan, graph, plan.products === 'simd' ? undefined : file);
  const images = randomImages(seed, plan.batch, plan.model.imageSize);
  const labels = cyclicLabels(plan.batch, plan.classes);
  const losses: number[] = [];
  for (let step = 1; step <= 6; step++) {
    losses.push((await engine.step({ count: plan.batch, images }, labels, { ...sgd(0.02), step })).loss);
  }
  const parameters = new Map<string, Float32Array>();
  for (const name of trainedNames(plan)) parameters.set(name, await engine.read(name));
  await engine[Symbol.asyncDispose]();
  return { losses, parameters };
}

test('a training without onnxruntime is the same to the bit when it is repeated, and with another thread', async (t) => {
  const file = buildNet(spec);
  const { graph } = importGraph(file, undefined);
  const first = await trained(file, graph, { products: 'simd' });
  t.true((first.losses.at(-1) ?? Number.NaN) < (first.losses[0] ?? 0), `losses ${first.losses}`);
  for (const threads of [1, 2]) t.deepEqual(await trained(file, graph, { products: 'simd', threads }), first);
});

test('with and without onnxruntime a training takes the same course', async (t) => {
  const file = buildNet(spec);
  const { graph } = importGraph(file, undefined);
  const [own, theirs] = await Promise.all(
    (['simd', 'onnxruntime'] satisfies ProductsName[]).map((products) => trained(file, graph, { products })),
  );
  assertClose(t, own?.losses ?? [], theirs?.losses ?? [], { rtol: 1e-4, atol: 1e-6 }, 'losses');
  for (const [name, values] of theirs?.parameters ?? []) {
    const error = relativeL2(own?.parameters.get(name) ?? [], values);
    t.true(error <= 1e-4, `"${name}": relative L2 error ${error}`);
  }
});

test('predictions for more images than a pass are those of onnxruntime', async (t) => {
  const graph = await mobileNet(64);
  const images = randomImages(seed, 5, 64);
  const logits = async (products: ProductsName): Promise<Float32Array> => {
    const plan = makePlan(graph, { products, scheme: 'head', blocks: 0, batch: 5, microBatch: 3 });
    await using engine = await openCpu(plan, graph, products === 'simd' ? undefined : await mobileNetFile());
    return await engine.forward({ count: 5, images });
  };
  assertRelativeL2(t, await logits('simd'), await logits('onnxruntime'), 1e-5, `seed ${seed}`);
});

test('frozen layers take the memory of one image, whatever the batch', async (t) => {
  const graph = await mobileNet(64);
  const arena = (batch: number): number =>
    makePlan(graph, { products: 'simd', scheme: 'head', blocks: 0, batch, microBatch: batch }).bytes.workspace;
  const image = 4 * 3 * 64 ** 2;
  // Besides the images themselves: features in front of the head, logits and their gradients.
  t.true(arena(8) - arena(4) < 4 * (image + 32 * 1024), `${arena(4)} and ${arena(8)}`);
});

test('without onnxruntime a layer that has no kernel is refused by name, frozen or not', async (t) => {
  const b = new OnnxBuilder();
  const odd = b.node('Softplus', 'odd', [b.conv('conv1', 'image', 8, { kernel: 3 })]);
  b.head(b.relu('relu', b.conv('conv2', odd, 8, { kernel: 3 })), 4);
  const graph = await importWithProbes(b.file(), undefined);
  t.notThrows(() => makePlan(graph, { scheme: 'head', blocks: 0 }));
  for (const blocks of [0, 1, 'auto'] as const) {
    t.throws(() => makePlan(graph, { products: 'simd', blocks }), {
      instanceOf: UnsupportedOpError,
      message:
        /cannot run without onnxruntime: .*\n {2}Softplus x1: "odd" \(no kernel\)\nHint: .*--products onnxruntime/,
    });
  }
});

test('a product whose rows are fewer than a tile', async (t) => {
  const b = new GraphBuilder([2, 2, 3], seed);
  b.head(b.conv('only', 'image', 3), 2);
  const graph = b.build();
  const plan = makePlan(graph, { products: 'simd', scheme: 'full', blocks: 0, batch: 1, microBatch: 1 });
  await using cpu = await openCpu(plan, graph);
  const images = randomImages(seed, 1, 2);
  const reference = openReference(plan, graph);
  await cpu.gradients({ count: 1, images }, Int32Array.of(1));
  await reference.gradients(await atCut(cpu, images, 1), Int32Array.of(1));
  for (const name of trainedNames(plan)) {
    const [gradient, exact] = [await cpu.read(gradientBuffer(name)), reference.exact(gradientBuffer(name))];
    assertRelativeL2(t, gradient, exact, 1e-5, `seed ${seed}: "${name}"`);
  }
});
