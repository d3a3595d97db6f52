/** Models with meta networks: what the engine predicts is what bare onnxruntime predicts with the exported file. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { exportModel } from '../../models/onnx/export.ts';
import { readModelFile } from '../../models/onnx/model-file.ts';
import { openModel } from '../../models/onnx/open-model.ts';
import { withDelta } from '../../runtime/delta/apply-to-graph.ts';
import type { Delta } from '../../runtime/delta/delta.ts';
import { DeltaError } from '../../runtime/errors.ts';
import { parameterOf } from '../../runtime/graph/graph.ts';
import { META } from '../../runtime/scheme/meta-networks.ts';
import { goldenUrl } from '../support/goldens.ts';
import { largestDifference, trainAndExport } from '../support/train-export.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-export-meta-'));
test.after.always(() => rm(root, { recursive: true, force: true }));

const base = fileURLToPath(goldenUrl('ecotta.onnx'));
const TOLERANCE = 1e-4;
const config = { scheme: 'blocks', blocks: 0, optimizer: 'sgd' } as const;

for (const [title, metaParts, classes] of [
  ['three parts under the own head', [1, 1, 1], ['a', 'b', 'c', 'd', 'e']],
  ['two parts under a new head', [2, 1], ['a', 'b', 'c']],
] as const) {
  test(`meta networks of ${title}: the exported file predicts what the engine does, and can be read again`, async (t) => {
    const folder = await mkdtemp(join(root, 'm-'));
    const trained = await trainAndExport(folder, base, { config: { ...config, metaParts }, classes });
    const { delta, own, bare, exported, exportedPath } = trained;
    const difference = largestDifference(own, bare);
    t.true(difference <= TOLERANCE, `probabilities differ by ${difference}`);
    t.deepEqual(delta.metaParts, metaParts);
    const ops = exported.graph?.node.filter(({ name }) => name.startsWith(META)).map(({ opType }) => opType);
    const network = ['Conv', 'BatchNormalization', 'Relu', 'BatchNormalization', 'Add'];
    t.deepEqual(
      ops,
      metaParts.flatMap(() => network),
    );
    const { graph } = await openModel(exportedPath);
    t.true(graph.nodes.some(({ name }) => name === `${META}.${metaParts.length}.conv`));
  });
}

test("a delta's meta networks come back in the graph; one that lacks some of them is refused", async (t) => {
  const folder = await mkdtemp(join(root, 'm-'));
  const { delta } = await trainAndExport(folder, base, {
    config: { ...config, metaParts: 2 },
    classes: ['a', 'b', 'c', 'd', 'e'],
  });
  const { graph } = await openModel(base);
  const again = withDelta(graph, delta);
  const mean = delta.tensors.get(`${META}.2.norm.mean`);
  t.deepEqual(parameterOf(again, `${META}.2.norm.mean`).data(), mean?.data);
  t.true(mean?.data.some((value) => value !== 0));
  const tensors = new Map(delta.tensors);
  tensors.delete(`${META}.1.conv.weight`);
  const damaged: Delta = { ...delta, tensors };
  const expected = { instanceOf: DeltaError, message: /lacks "edgeshift_meta\.1\.conv\.weight"/ };
  t.throws(() => withDelta(graph, damaged), expected);
  const out = join(folder, 'damaged.onnx');
  await t.throwsAsync(async () => exportModel(await readModelFile(base), damaged, out), expected);
});
