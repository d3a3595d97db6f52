/**
 * Norms with the statistics of the batch: gradients and running statistics are PyTorch's; a prediction uses the running ones;
 * a moving average follows its formula; what changed goes into the exported model.
 */
import test from 'ava';
import { inverseStd } from '../../kernels/affine.ts';
import { importGraph } from '../../models/onnx/import.ts';
import { UsageError } from '../../runtime/errors.ts';
import { toFileLayout } from '../../runtime/graph/axes.ts';
import type { Graph } from '../../runtime/graph/graph.ts';
import { gradientBuffer, type Plan } from '../../runtime/plan/plan.ts';
import { planTraining } from '../../runtime/plan/search.ts';
import { goldenImages, readStatisticsGolden, recordError } from '../../tools/networks/golden.ts';
import { assertClose, assertRelativeL2 } from '../support/compare.ts';
import { cyclicLabels, randomImages } from '../support/draws.ts';
import { network } from '../support/networks.ts';
import { OnnxBuilder } from '../support/onnx-models.ts';
import { plan as makePlan, openCpu, openReference, request, sgd } from '../support/training.ts';

const TOLERANCE = 1e-3;

for (const name of ['wrn_16_2-normalize-kept-opset13', 'resnet18-kept-opset13', 'mobilenet_v3_small-kept-opset13']) {
  test(`${name}: gradients and running statistics are PyTorch's`, async (t) => {
    const golden = await readStatisticsGolden(name);
    const { graph, file } = await network(name, golden.imageSize);
    const plan = makePlan(graph, {
      scheme: 'full',
      norms: 'batch',
      save: 'float',
      recompute: false,
      budgetBytes: 2 ** 33,
    });
    await using engine = await openCpu(plan, graph, file);
    const images = goldenImages(golden);
    const { loss } = await engine.gradients({ count: golden.images, images }, Int32Array.from(golden.labels));
    t.true(Math.abs(loss / golden.loss - 1) <= TOLERANCE, `loss ${loss}, PyTorch ${golden.loss}`);
    const byTensor = new Map([...graph.parameters.values()].map((parameter) => [parameter.origin.tensor, parameter]));
    let [worst, compared] = [0, 0];
    const compare = async (records: typeof golden.tensors, buffer: (parameter: string) => string): Promise<void> => {
      for (const [index, record] of records.entries()) {
        const parameter = byTensor.get(record.name);
        if (!parameter || !plan.buffers.some((planned) => planned.name === buffer(parameter.name))) {
          t.fail(`"${record.name}" is not planned`);
          continue;
        }
        const values = toFileLayout(await engine.read(buffer(parameter.name)), parameter.origin);
        const error = recordError(record, index, values);
        t.true(error <= TOLERANCE, `"${record.name}": ${error}`);
        worst = Math.max(worst, error);
        compared++;
      }
    };
    await compare(golden.tensors, gradientBuffer);
    await compare(golden.statistics, (parameter) => parameter);
    t.is(compared, golden.tensors.length + golden.statistics.length);
    t.log(`worst of ${compared} tensors: ${worst.toExponential(1)}; ${golden.leftOut} left out`);
  });
}

function net() {
  const b = new OnnxBuilder({ seed: 4, size: 8 });
  const x = b.relu('relu0', b.norm('norm0', b.conv('conv0', 'image', 6, { kernel: 3 })));
  b.head(b.relu6('relu1', b.norm('norm1', b.conv('conv1', x, 10, { kernel: 3 }))), 4);
  const file = b.file();
  return { file, graph: importGraph(file, undefined).graph };
}

const trained = (graph: Graph, norms: 'batch' | 'moving' | 'renorm'): Plan =>
  makePlan(graph, { scheme: 'full', norms, batch: 4, microBatch: 4, save: 'float', recompute: false });

for (const norms of ['batch', 'moving', 'renorm'] as const) {
  test(`${norms}: CPU equals reference, recomputing included, and statistics move once a step`, async (t) => {
    const { file, graph } = net();
    const images = randomImages(9, 4, 8);
    const labels = cyclicLabels(4, 4);
    const features = Float32Array.from(images, (pixel) => pixel / 255);
    for (const recompute of [false, true]) {
      const plan = makePlan(graph, { scheme: 'full', norms, batch: 4, microBatch: 4, save: 'float', recompute });
      await using cpu = await openCpu(plan, graph, file);
      const reference = openReference(plan, graph);
      for (let step = 1; step <= 3; step++) {
        const { loss } = await cpu.step({ count: 4, images }, labels, sgd(0.05));
        const expected = await reference.step({ count: 4, features }, labels, sgd(0.05));
        t.true(Math.abs(loss / expected.loss - 1) <= 1e-4, `step ${step}: ${loss}, expected ${expected.loss}`);
      }
      for (const { name, category } of plan.buffers) {
        if (category !== 'statistics' && category !== 'trainableWeights') continue;
        assertRelativeL2(t, await cpu.read(name), reference.exact(name), 1e-4, `"${name}", recompute ${recompute}`);
      }
    }
  });
}

test('a prediction changes nothing and uses the running statistics', async (t) => {
  const { file, graph } = net();
  const plan = trained(graph, 'batch');
  await using engine = await openCpu(plan, graph, file);
  const images = randomImages(9, 4, 8);
  const before = await engine.forward({ count: 4, images });
  const stored = makePlan(graph, { scheme: 'full', batch: 4, microBatch: 4, save: 'float', recompute: false });
  await using plain = await openCpu(stored, graph, file);
  assertClose(t, before, await plain.forward({ count: 4, images }), { rtol: 1e-5, atol: 1e-6 }, 'as with stored ones');
  await engine.forward({ count: 4, images });
  t.deepEqual(await engine.read('norm1.mean'), graph.parameters.get('norm1.mean')?.data());
  await engine.gradients({ count: 4, images }, cyclicLabels(4, 4));
  t.notDeepEqual(await engine.read('norm1.mean'), graph.parameters.get('norm1.mean')?.data());
});

test('a moving average follows its formula, with the momentum that was asked for', async (t) => {
  const { file, graph } = net();
  const plan = makePlan(graph, { scheme: 'full', norms: 'moving', momentum: 0.25, batch: 4, microBatch: 4 });
  await using engine = await openCpu(plan, graph, file);
  const images = randomImages(9, 4, 8);
  await engine.gradients({ count: 4, images }, cyclicLabels(4, 4));
  // The first norm's input is the first convolution's output, which does not depend on any statistics.
  const weight = graph.parameters.get('conv0.weight')?.data() ?? new Float32Array();
  const channel = 2;
  const sums: number[] = [];
  for (let n = 0; n < 4; n++) {
    for (let y = 0; y < 8; y++) {
      for (let x = 0; x < 8; x++) {
        let sum = 0;
        for (let tap = 0; tap < 9; tap++) {
          const [iy, ix] = [y + Math.floor(tap / 3) - 1, x + (tap % 3) - 1];
          if (iy < 0 || ix < 0 || iy > 7 || ix > 7) continue;
          for (let c = 0; c < 3; c++) {
            sum += (weight[(channel * 9 + tap) * 3 + c] ?? 0) * ((images[((n * 8 + iy) * 8 + ix) * 3 + c] ?? 0) / 255);
          }
        }
        sums.push(sum);
      }
    }
  }
  const mean = sums.reduce((a, b) => a + b, 0) / sums.length;
  const variance = sums.reduce((a, b) => a + (b - mean) ** 2, 0) / (sums.length - 1);
  for (const [role, value] of [
    ['mean', mean],
    ['variance', variance],
  ] as const) {
    const before = graph.parameters.get(`norm0.${role}`)?.data()[channel] ?? Number.NaN;
    const expected = 0.75 * before + 0.25 * value;
    const found = (await engine.read(`norm0.${role}`))[channel] ?? Number.NaN;
    t.true(Math.abs(found - expected) <= 1e-5, `${role}: ${found}, expected ${expected}`);
  }
  t.true(inverseStd([variance], 0, 0) > 0);
});

test('frozen running statistics stay; statistics of a batch need the whole of it', async (t) => {
  const { file, graph } = net();
  const plan = makePlan(graph, { scheme: 'full', norms: 'batch', freeze: ['norm1.mean'], batch: 4, microBatch: 4 });
  await using engine = await openCpu(plan, graph, file);
  await engine.gradients({ count: 4, images: randomImages(9, 4, 8) }, cyclicLabels(4, 4));
  t.deepEqual(await engine.read('norm1.mean'), graph.parameters.get('norm1.mean')?.data());
  t.notDeepEqual(await engine.read('norm0.mean'), graph.parameters.get('norm0.mean')?.data());
  const asked = request(graph, { scheme: 'full', norms: 'batch', batch: 4, microBatch: 2 });
  t.throws(() => planTraining(graph, asked), {
    instanceOf: UsageError,
    message: /--norms batch needs the whole batch/,
  });
  t.is(planTraining(graph, { ...asked, microBatch: 'auto', budgetBytes: 1 }).microBatch, 4);
});
