/**
 * Published memory and operation counts, from `plan` on the graphs that exporters write; 1 MB = 10^6 bytes, batch 8, 224 px.
 * MobileTL: Chiang et al., AAAI 2023, block and FLOPs figures. TinyTL: Cai et al. 2020, its code's accounting.
 */
import test from 'ava';
import { type Graph, shapeOf } from '../../runtime/graph/graph.ts';
import { replaceHead } from '../../runtime/graph/head.ts';
import type { Plan } from '../../runtime/plan/plan.ts';
import type { PlanRequest } from '../../runtime/plan/search.ts';
import { tinyTlBytes } from '../../runtime/plan/tinytl.ts';
import { applyScheme, countBlocks } from '../../runtime/scheme/scheme.ts';
import { network } from '../support/networks.ts';
import { plan } from '../support/training.ts';

/** The paper's FLOPs figure is of CIFAR-10. */
async function mobileNetV3(): Promise<Graph> {
  const { graph } = await network('mobilenet_v3_small-kept-opset13', 224);
  return replaceHead(graph, { classes: 10, seed: 1 });
}

const at = (graph: Graph, changes: Partial<PlanRequest>): Plan =>
  plan(graph, { batch: 8, microBatch: 8, recompute: false, save: 'float', budgetBytes: 2 ** 34, ...changes });

test('MobileNetV3-Small: 1, 3 and 5 blocks store what the paper says, plain and with MobileTL', async (t) => {
  const graph = await mobileNetV3();
  for (const [blocks, plain, mobiletl] of [
    [1, 8.74, 3.36],
    [3, 23.14, 9.75],
    [5, 35.92, 16.0],
  ] as const) {
    const whole = at(graph, { scheme: 'blocks', blocks });
    const masked = at(graph, { scheme: 'mobiletl', blocks, save: 'mask' });
    const rows = [
      ['plain', whole.storedForBackwardBytes, plain],
      [
        'plain by the accounting',
        whole.blocks.reduce((sum, b) => sum + (b.trains.length > 0 ? b.plainStoredBytes : 0), 0),
        plain,
      ],
      ['MobileTL', masked.storedForBackwardBytes, mobiletl],
    ] as const;
    for (const [what, bytes, paper] of rows) {
      t.log(`${blocks} blocks, ${what}: ${(bytes / 1e6).toFixed(3)} MB, paper ${paper}`);
      t.true(Math.abs(bytes / 1e6 / paper - 1) <= 0.02, `${blocks} blocks, ${what}: ${bytes} bytes, paper ${paper} MB`);
    }
  }
});

test('the MobileNetV3 block of the paper stores 3.11 MB instead of 6.67 MB', async (t) => {
  const { blocks } = at(await mobileNetV3(), { scheme: 'mobiletl', blocks: 1, save: 'mask' });
  const block = blocks.find(({ name }) => name === 'features.11/block');
  t.true(Math.abs((block?.storedBytes ?? Number.NaN) / 3.11e6 - 1) <= 0.01, `${block?.storedBytes} bytes`);
  t.true(Math.abs((block?.plainStoredBytes ?? Number.NaN) / 6.67e6 - 1) <= 0.01, `${block?.plainStoredBytes} bytes`);
});

test('MobileNetV3-Small: fine-tuning 5 blocks takes 36 % fewer operations than fine-tuning all', async (t) => {
  const graph = await mobileNetV3();
  const count = (changes: Partial<PlanRequest>): number => {
    // Plain fine-tuning normalizes with the batch's statistics.
    const { flops } = at(graph, { norms: 'batch', ...changes });
    return flops.forward + flops.backward;
  };
  const saved = 1 - count({ scheme: 'blocks', blocks: 5 }) / count({ scheme: 'full' });
  t.log(`${(100 * saved).toFixed(1)} % fewer`);
  t.true(Math.abs(saved - 0.36) <= 0.01, `${saved}`);
});

/** Norms alone train: what TENT and EATA update. */
function normsOf(graph: Graph): Set<string> {
  const { trains } = applyScheme(graph, { name: 'norms', blocks: countBlocks(graph) });
  return new Set([...trains].filter(([, group]) => group === 'norms').map(([name]) => name));
}

const allOf = (graph: Graph): Set<string> => new Set(applyScheme(graph, { name: 'full', blocks: 0 }).trains.keys());

test("TinyTL's accounting of WRN-40-2: 392,864,976 B with everything trained, batch 64", async (t) => {
  const { graph } = await network('wrn_40_2-kept-opset12', 32);
  t.deepEqual(tinyTlBytes(graph, allOf(graph), 64), {
    parameterBytes: 9_020_624,
    activationBytesPerImage: 5_997_568,
    totalBytes: 392_864_976,
  });
  t.is(tinyTlBytes(graph, normsOf(graph), 64).activationBytesPerImage, 2_937_856);
  t.deepEqual(shapeOf(graph, graph.output), [100]);
});

for (const [name, size, all, norms] of [
  ['wrn_40_2-kept-opset12', 32, [15.0, 57.0, 105.0, 200.9, 392.9, 1208.5], [5.2, 25.8, 49.3, 96.3, 190.3, 589.8]],
  [
    'resnet50-kept-opset11',
    224,
    [191.3, 815.0, 1527.8, 2953.3, 5804.4, 17921.6],
    [72.2, 397.3, 768.9, 1512.0, 2998.3, 9315.2],
  ],
] as const) {
  test(`TinyTL's accounting of ${name}: all and norms only, within 1 %`, async (t) => {
    const { graph } = await network(name, size);
    for (const [i, batch] of [1, 8, 16, 32, 64, 200].entries()) {
      for (const [what, trains, published] of [
        ['all', allOf(graph), all[i]],
        ['norms', normsOf(graph), norms[i]],
      ] as const) {
        const { totalBytes } = tinyTlBytes(graph, trains, batch);
        // The table rounds to a tenth of a MB.
        const within = Math.abs(totalBytes / 1e6 - (published ?? Number.NaN)) <= 0.01 * (published ?? 0) + 0.05;
        t.true(within, `${what}, batch ${batch}: ${totalBytes} B, table ${published} MB`);
      }
    }
  });
}
