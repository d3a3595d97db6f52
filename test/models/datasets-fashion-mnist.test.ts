import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { fashionMnistFiles, fashionMnistFolder, fashionMnistLabels } from '../../models/datasets/fashion-mnist.ts';

test('the folder counts only where all four files are there', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'edgeshift-fmnist-'));
  const environment = { EDGESHIFT_FASHION_MNIST: folder };
  t.is(fashionMnistFolder(environment), null);
  for (const file of Object.values(fashionMnistFiles)) {
    t.is(fashionMnistFolder(environment), null);
    await writeFile(join(folder, file), '');
  }
  t.is(fashionMnistFolder(environment), folder);
  await rm(folder, { recursive: true });
});

test('ten labels', (t) => {
  t.is(new Set(fashionMnistLabels).size, 10);
});
