import test from 'ava';
import * as fc from 'fast-check';
import { importGraph } from '../../models/onnx/import.ts';
import { BudgetError, UnsupportedOpError, UsageError } from '../../runtime/errors.ts';
import { bytesText, parseBytes } from '../../runtime/plan/bytes-text.ts';
import { describe } from '../../runtime/plan/describe.ts';
import type { Plan } from '../../runtime/plan/plan.ts';
import { planReport } from '../../runtime/plan/report.ts';
import { nearestFit, planTraining, requireFit } from '../../runtime/plan/search.ts';
import { countBlocks } from '../../runtime/scheme/scheme.ts';
import { assertGolden } from '../support/goldens.ts';
import { GraphBuilder, relu } from '../support/graphs.ts';
import { mobileNet } from '../support/mobilenet.ts';
import { buildNet, netSpec } from '../support/random-nets.ts';
import { request } from '../support/training.ts';

const MIB = 2 ** 20;

test('the search finds the best plan there is: most blocks, then the largest micro-batch', (t) => {
  const property = fc.property(
    netSpec,
    fc.constantFrom('shifts', 'mobiletl'),
    fc.integer({ min: 1, max: 8 }),
    (net, scheme, batch) => {
      const { graph } = importGraph(buildNet(net), undefined);
      const make = (budgetBytes: number, blocks: number | 'auto', microBatch: number | 'auto'): Plan =>
        planTraining(
          graph,
          request(graph, { budgetBytes, scheme, batch, blocks, microBatch, save: 'float', recompute: false }),
        );
      const sizes = [batch, ...new Set([Math.ceil(batch / 2), Math.ceil(batch / 4), Math.ceil(batch / 8)])];
      const candidates = Array.from({ length: countBlocks(graph) + 1 }, (_, k) => countBlocks(graph) - k).flatMap(
        (blocks) => sizes.map((size) => make(1, blocks, size)),
      );
      const totals = candidates.map(({ totalBytes }) => totalBytes).sort((a, b) => a - b);
      let last = [-1, -1];
      for (const budget of [(totals[0] ?? 0) - 1, ...totals]) {
        const found = make(budget, 'auto', 'auto');
        const best = candidates.find(({ totalBytes }) => totalBytes <= budget);
        if (found.fits !== (best !== undefined)) return false;
        if (!best) continue;
        const now = [found.scheme.blocks, found.microBatch];
        if (String(now) !== String([best.scheme.blocks, best.microBatch])) return false;
        // A larger budget never trains less.
        if ((now[0] ?? 0) < (last[0] ?? 0) || (now[0] === last[0] && (now[1] ?? 0) < (last[1] ?? 0))) return false;
        last = now;
      }
      return true;
    },
  );
  fc.assert(property, { numRuns: 15 });
  t.pass();
});

test('MobileNetV2: a larger budget never gives less, and every plan found is inside its budget', async (t) => {
  const graph = await mobileNet(96);
  const at = (budgetBytes: number): Plan =>
    planTraining(graph, request(graph, { budgetBytes, blocks: 'auto', microBatch: 'auto', batch: 8 }));
  let last = [-1];
  for (const mib of [100, 112, 120, 130, 134, 138, 145, 160, 200]) {
    const found = at(mib * MIB);
    t.is(found.fits, found.totalBytes <= mib * MIB);
    if (!found.fits) continue;
    const { tensors, recompute } = found.savings;
    const rank = [found.scheme.blocks, Number(tensors === 'float'), Number(!recompute), found.microBatch];
    const better = rank.findIndex((value, i) => value !== last[i]);
    t.true(better < 0 || (rank[better] ?? 0) > (last[better] ?? -1), `${mib} MiB: ${rank} after ${last}`);
    last = rank;
  }
  t.is(last[0], 17, 'the largest budget trains everything');
});

test('what does not fit says what is missing, the largest tensors and the nearest plan', async (t) => {
  const graph = await mobileNet(96);
  const asked = request(graph, { budgetBytes: 145 * MIB, blocks: 17, microBatch: 8, batch: 8 });
  const plan = planTraining(graph, asked);
  t.false(plan.fits);
  const error = t.throws(() => requireFit(graph, asked, plan), { instanceOf: BudgetError });
  const [first = '', second, ...rest] = (error?.message ?? '').split('\n');
  const missing = bytesText(plan.totalBytes - 145 * MIB);
  t.is(first, `${describe(plan)} needs ${bytesText(plan.totalBytes)}, the budget is 145.0 MiB: ${missing} are missing`);
  t.is(second, 'Largest tensors:');
  t.is(rest.length, 4);
  const sizes = plan.buffers.map(({ bytes }) => bytes).sort((a, b) => b - a);
  t.true(rest[0]?.trim().startsWith(bytesText(sizes[0] ?? 0)));
  t.is(new Set(rest.slice(0, 3)).size, 3);
  const nearest = nearestFit(graph, asked);
  t.true(nearest?.fits && nearest.totalBytes <= 145 * MIB);
  t.is(rest[3], `Hint: ${describe(nearest as Plan)} fits with ${bytesText(nearest?.totalBytes ?? 0)}`);
  t.is(error?.code, 'BUDGET');
  t.is(error?.facts.missingBytes, plan.totalBytes - 145 * MIB);
});

test('a head that may not train keeps no other plan from being near', async (t) => {
  const graph = await mobileNet(96);
  const freeze = ['edgeshift_head.*'];
  const asked = request(graph, { freeze, blocks: 17, microBatch: 8, batch: 8, save: 'float', recompute: false });
  const whole = planTraining(graph, asked);
  const nearest = nearestFit(graph, { ...asked, budgetBytes: whole.totalBytes - 1 });
  t.true(nearest?.fits);
  t.is(nearest?.scheme.blocks, 17);
});

test('a budget below the process itself: no plan is near', async (t) => {
  const graph = await mobileNet(64);
  const asked = request(graph, { budgetBytes: 50 * MIB, blocks: 'auto', microBatch: 'auto' });
  const plan = planTraining(graph, asked);
  t.false(plan.fits);
  t.is(plan.scheme.blocks, 0, 'the smallest is offered');
  t.throws(() => requireFit(graph, asked, plan), {
    instanceOf: BudgetError,
    message: /\nHint: no plan fits this budget; the process alone needs 120\.\d MiB/,
  });
});

test('a plan that fits passes', async (t) => {
  const graph = await mobileNet(64);
  const asked = request(graph, { blocks: 1 });
  t.notThrows(() => requireFit(graph, asked, planTraining(graph, asked)));
});

test('auto stops above an op that has no rule; a number asks for the error', (t) => {
  const b = new GraphBuilder([8, 8, 3]);
  const x = b.norm('norm0', b.conv('conv0', 'image', 4), relu);
  const y = b.node('Opaque', 'sigmoid', [x], {}, { onnxOp: 'Sigmoid', reason: 'no kernel' });
  b.head(b.norm('norm2', b.conv('conv2', b.norm('norm1', b.conv('conv1', y, 8), relu), 8), relu), 3);
  const graph = b.build();
  const found = planTraining(graph, request(graph, { blocks: 'auto' }));
  t.is(found.scheme.blocks, countBlocks(graph) - 1);
  t.throws(() => planTraining(graph, request(graph, { blocks: countBlocks(graph) })), {
    instanceOf: UnsupportedOpError,
  });
  t.throws(() => planTraining(graph, request(graph, { blocks: 9 })), { instanceOf: UsageError });
});

test('the report of MobileNetV2 with 5 blocks', async (t) => {
  const graph = await mobileNet(224);
  const options = {
    device: 'jetson-nano-4gb',
    budgetBytes: 256 * MIB,
    batch: 8,
    blocks: 5,
    microBatch: 'auto',
    threads: 4,
  } as const;
  await assertGolden(t, 'mobilenet-v2-plan.txt', planReport(planTraining(graph, request(graph, options))));
});

test('byte counts as text and back', (t) => {
  t.deepEqual([0, 1023, 1024, 1536, 2 ** 20, 44.34 * MIB, -3 * MIB].map(bytesText), [
    '0 B',
    '1023 B',
    '1.0 KiB',
    '1.5 KiB',
    '1.0 MiB',
    '44.3 MiB',
    '-3.0 MiB',
  ]);
  const read = ['512MiB', '1.5GB', '256m', '200000000', ' 2 g ', '.5k', '7kB'].map((text) =>
    parseBytes('--budget', text),
  );
  t.deepEqual(read, [512 * MIB, 1.5e9, 256 * MIB, 2e8, 2 ** 31, 512, 7000]);
  for (const text of ['', 'x', '0', '-1', '1.5.2', '3TB', '1e9', 'MiB']) {
    t.throws(() => parseBytes('--budget', text), {
      instanceOf: UsageError,
      message: /^--budget must be a size such as 256MiB/,
    });
  }
});
