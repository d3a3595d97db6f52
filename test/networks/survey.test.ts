/**
 * The networks people export: imported whole, differentiated like PyTorch, trained under every scheme, exported and equal in
 * bare onnxruntime. `npm run networks` prints the same and writes the table of models/README.md.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { networkNames } from '../../models/networks/networks.ts';
import { optimizerNames } from '../../runtime/plan/plan.ts';
import { saveNames } from '../../runtime/plan/savings.ts';
import type { PlanRequest } from '../../runtime/plan/search.ts';
import { normStatistics, schemeNames } from '../../runtime/scheme/names.ts';
import { Random } from '../../runtime/train/random.ts';
import { highWater, type Survey, survey } from '../../tools/networks/survey.ts';
import { BARS, holds, networkTable, withTable } from '../../tools/networks/table.ts';

const names = await networkNames();
const surveys: Survey[] = [];
const readme = new URL('../../../models/README.md', import.meta.url);

/** Random ways to train each network, besides the schemes one by one. */
const DRAWS = 2;
const seed = 3;
const random = new Random(seed);

/** Any scheme, saving, statistics, batch and pass. */
function drawRequest(random: Random): Partial<PlanRequest> {
  const pick = <T>(items: readonly T[]): T => items[random.integer(0, items.length - 1)] as T;
  const batch = random.integer(1, 3);
  const norms = pick(normStatistics);
  return {
    scheme: pick(schemeNames),
    blocks: random.integer(0, 4),
    save: pick(saveNames.filter((save) => save !== 'auto')),
    recompute: random.integer(0, 1) === 1,
    norms,
    optimizer: pick(optimizerNames),
    batch,
    microBatch: norms === 'stored' ? random.integer(1, batch) : batch,
  };
}

for (const name of names) {
  test.serial(name, async (t) => {
    // One at a time and not in the cache: all of them together are 1.7 GB.
    const folder = await mkdtemp(join(tmpdir(), 'edgeshift-network-'));
    try {
      const found = await survey(name, folder);
      surveys.push(found);
      const { opaque, schemes, difference, exported } = found;
      t.is(opaque, 0);
      t.deepEqual(schemes, schemeNames, 'steps whose loss is finite and whose arena is the planned one');
      t.true(difference.tensors > 10, `${difference.tensors} tensors compared`);
      t.true(difference.gradient <= BARS.gradient, `gradient of "${difference.worst}": ${difference.gradient}`);
      t.true(difference.loss <= BARS.logits, `loss: ${difference.loss}`);
      t.true(difference.logits <= BARS.logits, `logits: ${difference.logits}`);
      t.true(exported <= BARS.logits, `exported file: ${exported}`);
      t.true(holds(found));
      for (let draw = 0; draw < DRAWS; draw++) {
        const changes = drawRequest(random);
        const { peakBytes, highWaterBytes, loss } = await highWater(name, folder, changes);
        t.is(highWaterBytes, peakBytes, `seed ${seed}: ${JSON.stringify(changes)}`);
        t.true(Number.isFinite(loss), `seed ${seed}: ${JSON.stringify(changes)}`);
      }
      t.log(`worst of ${difference.tensors} gradients: "${difference.worst}", ${difference.gradient.toExponential(1)}`);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
}

test.serial('the table in models/README.md is of these networks', async (t) => {
  const text = await readFile(readme, 'utf8');
  // How small an error is depends on the machine; everything else does not.
  const plain = (table: string): string => table.replaceAll(/< 1e-?\d+/g, 'error');
  t.is(plain(text), plain(withTable(text, networkTable(surveys))), 'Hint: npm run networks writes it anew');
});
