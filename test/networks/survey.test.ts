/**
 * The networks people export: imported whole, differentiated like PyTorch, trained under every scheme, exported and equal in
 * bare onnxruntime. `npm run networks` prints the same and writes the table of models/README.md.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { networkNames } from '../../models/networks/networks.ts';
import { schemeNames } from '../../runtime/scheme/names.ts';
import { type Survey, survey } from '../../tools/networks/survey.ts';
import { BARS, holds, networkTable, withTable } from '../../tools/networks/table.ts';

const names = await networkNames();
const surveys: Survey[] = [];
const readme = new URL('../../../models/README.md', import.meta.url);

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
