/**
 * What is kept for the backward pass is a choice that changes no output: forward values are the same to the bit, exact ways
 * give the same gradients to the bit, inexact ones stay near them, and the CPU engine does what the reference does.
 */
import test from 'ava';
import * as fc from 'fast-check';
import { importGraph } from '../../models/onnx/import.ts';
import type { ModelFile } from '../../models/onnx/model-file.ts';
import type { Graph } from '../../runtime/graph/graph.ts';
import { gradientBuffer, type Plan } from '../../runtime/plan/plan.ts';
import { type SaveName, saveNames } from '../../runtime/plan/savings.ts';
import type { PlanRequest } from '../../runtime/plan/search.ts';
import { countBlocks } from '../../runtime/scheme/scheme.ts';
import { relativeL2 } from '../support/compare.ts';
import { cyclicLabels, randomImages } from '../support/draws.ts';
import { network } from '../support/networks.ts';
import { buildNet, netSpec } from '../support/random-nets.ts';
import { atCut, plan as makePlan, openCpu, openReference, trainedNames } from '../support/training.ts';

const seed = 31;
const ways = saveNames.filter((name) => name !== 'auto');

interface Trained {
  readonly plan: Plan;
  readonly loss: number;
  readonly logits: Float32Array;
  readonly gradients: ReadonlyMap<string, Float32Array>;
}

/** Gradients of one batch, and the logits of a prediction after it. */
async function train(graph: Graph, file: ModelFile, changes: Partial<PlanRequest>): Promise<Trained> {
  const plan = makePlan(graph, changes);
  await using engine = await openCpu(plan, graph, file);
  const images = randomImages(seed, plan.batch, plan.model.imageSize);
  const input = { count: plan.batch, images };
  const { loss } = await engine.gradients(input, cyclicLabels(plan.batch, plan.classes));
  const names = trainedNames(plan).filter((name) =>
    plan.buffers.some((buffer) => buffer.name === gradientBuffer(name)),
  );
  const gradients = await Promise.all(
    names.map(async (name) => [name, await engine.read(gradientBuffer(name))] as const),
  );
  return { plan, loss, logits: await engine.forward(input), gradients: new Map(gradients) };
}

/** All gradients as one vector, each tensor at length one, so that none drowns. */
function distance(actual: Trained, exact: Trained): number {
  const errors = [...exact.gradients].map(([name, values]) => relativeL2(actual.gradients.get(name) ?? [], values));
  return Math.sqrt(errors.reduce((sum, error) => sum + error * error, 0) / errors.length);
}

test('random networks: outputs do not depend on what is kept; exact ways give the same gradients to the bit', async (t) => {
  const drawn = fc.record({
    net: netSpec,
    scheme: fc.constantFrom('norms', 'mobiletl', 'blocks', 'full'),
    batch: fc.constantFrom(1, 3),
  });
  const property = fc.asyncProperty(drawn, async ({ net, scheme, batch }) => {
    const file = buildNet(net);
    const { graph } = importGraph(file, undefined);
    const base = { scheme, batch, microBatch: batch, blocks: countBlocks(graph), norms: 'stored' } as const;
    const exact = await train(graph, file, { ...base, save: 'float', recompute: false });
    for (const save of ways) {
      for (const recompute of [false, true]) {
        const found = await train(graph, file, { ...base, save, recompute });
        const about = `--save ${save}${recompute ? ' --recompute' : ''}`;
        if (!Object.is(found.loss, exact.loss)) throw new Error(`${about}: loss ${found.loss}, exact ${exact.loss}`);
        if (String(found.logits) !== String(exact.logits)) throw new Error(`${about}: other logits`);
        if (save !== 'float') continue;
        for (const [name, values] of exact.gradients) {
          if (String(found.gradients.get(name)) !== String(values))
            throw new Error(`${about}: other gradient of "${name}"`);
        }
      }
    }
  });
  await fc.assert(property, { numRuns: 25 });
  t.pass();
});

for (const name of ['mobilenet_v3_small-kept-opset13', 'efficientnet_b0-kept-opset12', 'convnext_tiny-opset17']) {
  test(`${name}: finer codes are nearer to the exact gradient, and none changes the loss`, async (t) => {
    const { graph, file } = await network(name, 64);
    const base = { scheme: 'blocks', blocks: 2, recompute: false } as const;
    const exact = await train(graph, file, { ...base, save: 'float' });
    const errors = new Map<SaveName, number>();
    const stored = new Map<SaveName, number>();
    for (const save of ways) {
      const found = await train(graph, file, { ...base, save });
      t.is(found.loss, exact.loss, `--save ${save}`);
      errors.set(save, distance(found, exact));
      stored.set(save, found.plan.storedForBackwardBytes);
    }
    const error = (save: SaveName): number => errors.get(save) ?? Number.NaN;
    t.log([...errors].map(([save, value]) => `${save} ${(100 * value).toFixed(1)} %`).join(', '));
    t.is(error('float'), 0);
    // Hard-swish's slope jumps at -3 and 3: an input moved across is a large error of one element.
    t.true(error('8bit') > 0 && error('8bit') <= 0.06, `8bit ${error('8bit')}`);
    t.true(error('4bit') > 0 && error('4bit') <= 0.1, `4bit ${error('4bit')}`);
    t.true(error('4bit') < error('3bit') && error('3bit') < error('2bit') && error('2bit') < error('mask'));
    const size = (save: SaveName): number => stored.get(save) ?? Number.NaN;
    t.true(size('mask') < size('2bit') && size('2bit') < size('3bit') && size('3bit') < size('4bit'));
    t.true(size('4bit') < size('float') && size('8bit') < 0.5 * size('float') && size('mask+8bit') < size('8bit'));
  });
}

test('MobileNetV3-Small, every way: CPU equals reference', async (t) => {
  const { graph, file } = await network('mobilenet_v3_small-kept-opset13', 64);
  for (const [save, recompute] of [
    ...ways.map((way) => [way, false] as const),
    ['float', true],
    ['4bit+8bit', true],
  ] as const) {
    const plan = makePlan(graph, { scheme: 'mobiletl', blocks: 3, save, recompute });
    await using cpu = await openCpu(plan, graph, file);
    const images = randomImages(seed, plan.batch, 64);
    const labels = cyclicLabels(plan.batch, plan.classes);
    await cpu.gradients({ count: plan.batch, images }, labels);
    const reference = openReference(plan, graph);
    await reference.gradients(await atCut(cpu, images, plan.batch), labels);
    // A value beside a border gets another code in float32 than in float64.
    const tolerance = save === 'float' ? 1e-4 : 5e-3;
    for (const name of trainedNames(plan)) {
      const error = relativeL2(await cpu.read(gradientBuffer(name)), reference.exact(gradientBuffer(name)));
      t.true(error <= tolerance, `--save ${save}, seed ${seed}, "${name}": ${error}`);
    }
  }
});
