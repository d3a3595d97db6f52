import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { ensureMobileNetV2 } from '../../models/mobilenet-v2/build.ts';
import { openModel } from '../../models/onnx/open-model.ts';
import { extractPrefix } from '../../models/onnx/prefix.ts';
import { productModels } from '../../models/onnx/products.ts';
import { applyDelta, readDelta } from '../../runtime/delta/delta.ts';
import { WorkerEngine } from '../../runtime/engine/worker-engine.ts';
import { replaceHead } from '../../runtime/graph/head.ts';
import type { SchemeName } from '../../runtime/scheme/names.ts';
import { evaluate } from '../../runtime/train/evaluate-model.ts';
import { planParameters } from '../../runtime/train/prepare.ts';
import { train } from '../../runtime/train/train.ts';
import { randomImages } from '../support/draws.ts';
import { runOnnxruntime } from '../support/onnx-models.ts';
import { modelCache } from '../support/train-cli.ts';
import { hasSoftmax, largestDifference, normalized, softmaxRows } from '../support/train-export.ts';
import { toyImages } from '../support/train-images.ts';
import { losses, tinyRun } from '../support/train-runs.ts';
import { plan } from '../support/training.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-mobilenet-'));
const model = await ensureMobileNetV2(modelCache);
const data = await toyImages(join(root, 'images'));
test.after.always(() => rm(root, { recursive: true, force: true }));

const SIZE = 48;
const SEED = 12;
const IMAGES = 6;
const TOLERANCE = 1e-4;

const schemes: readonly [SchemeName, number][] = [
  ['head', 0],
  ['shifts', 3],
  ['mobiletl', 3],
];

for (const [scheme, blocks] of schemes) {
  test.serial(
    `${scheme} --blocks ${blocks}: learns, and the exported file says in bare onnxruntime what the engine says`,
    async (t) => {
      const run = join(root, scheme);
      const learningRate = { head: 0.05, weights: 5e-4, norms: 0.01 };
      const result = await train({
        ...tinyRun,
        model,
        data,
        run,
        scheme,
        blocks,
        imageSize: SIZE,
        epochs: 4,
        learningRate,
      });
      t.is(result.arenaHighWaterBytes, result.plannedPeakBytes);
      const measured = await losses(run);
      const mean = (part: readonly number[]): number => part.reduce((sum, loss) => sum + loss, 0) / part.length;
      t.true(mean(measured.slice(-4)) <= 0.9 * mean(measured.slice(0, 4)), `losses ${measured.join(' ')}`);

      const images = randomImages(SEED, IMAGES, SIZE);
      const base = await openModel(model, { imageSize: SIZE });
      const delta = await readDelta(result.delta ?? '');
      const graph = applyDelta(replaceHead(base.graph, { classes: 3, drop: delta.drop ?? [], seed: 99 }), delta);
      const chosen = plan(graph, { scheme, blocks, batch: IMAGES, microBatch: 4 });
      await using engine = await WorkerEngine.create(chosen, {
        parameters: planParameters(graph, chosen),
        prefix: extractPrefix(base.file, graph, chosen.values.cut),
        products: productModels(),
        preprocessing: base.preprocessing,
      });
      const own = softmaxRows(await engine.forward({ count: IMAGES, images }), 3);
      const exported = await openModel(result.export ?? '');
      t.is(exported.imageSize, SIZE);
      const pixels = normalized(images, exported.preprocessing);
      const output = await runOnnxruntime(await readFile(result.export ?? ''), pixels, [SIZE, SIZE, 3]);
      const bare = hasSoftmax(exported.file.proto) ? output : softmaxRows(output, 3);
      const difference = largestDifference(own, bare);
      t.true(difference <= TOLERANCE, `seed ${SEED}: probabilities differ by ${difference}`);

      const before = new Map(base.file.proto.graph?.initializer.map(({ name, rawData }) => [name, rawData]));
      for (const { name, rawData } of exported.file.proto.graph?.initializer ?? []) {
        if (delta.tensors.has(name)) continue;
        t.true(Buffer.compare(rawData, before.get(name) ?? new Uint8Array()) === 0, `${name} is as before`);
      }
      const names = (nodes: readonly { name: string }[] = []) => nodes.map(({ name }) => name);
      const kept = names(exported.file.proto.graph?.node).filter((name) => !name.startsWith('edgeshift_head'));
      t.deepEqual(kept, names(base.file.proto.graph?.node).slice(0, kept.length), 'nodes and their order');
      t.is(exported.file.proto.graph?.output[0]?.name, base.file.proto.graph?.output[0]?.name);

      const evaluations = await Promise.all([
        evaluate({ model: result.export ?? '', data }),
        evaluate({
          model,
          delta: result.delta,
          data,
          imageSize: SIZE,
          engine: 'edgeshift',
          scheme: 'shifts',
          blocks: 1,
        }),
      ]);
      t.is(evaluations[0].samples, 36);
      t.is(evaluations[0].accuracy, evaluations[1].accuracy);
    },
  );
}
