/** A model whose weights lie in a file of more than 2 GiB, as small ranges far apart: what is not needed is not read. */
import { mkdtemp, open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { exportModel } from '../../models/onnx/export.ts';
import { openModel } from '../../models/onnx/open-model.ts';
import { extractPrefix } from '../../models/onnx/prefix.ts';
import { DataLocation, encodeModel, type ModelProto } from '../../models/onnx/proto.ts';
import { ModelError } from '../../runtime/errors.ts';
import { importModel, parameterValuesOf, plainNet, runOnnxruntime } from '../support/onnx-models.ts';

const folder = await mkdtemp(join(tmpdir(), 'edgeshift-external-'));
test.after.always(() => rm(folder, { recursive: true, force: true }));

const STEP = 2 ** 30;

/** Moves each weight to a GiB of its own in a sparse file; the file takes a few blocks on disk. */
async function scatter(model: ModelProto, name: string): Promise<string> {
  const data = `${name}.data`;
  await writeFile(join(folder, data), '');
  const tensors = model.graph?.initializer ?? [];
  await truncate(join(folder, data), STEP * tensors.length);
  await using file = await open(join(folder, data), 'r+');
  for (const [i, tensor] of tensors.entries()) {
    await file.write(tensor.rawData, 0, tensor.rawData.length, STEP * i);
    const facts = { location: data, offset: `${STEP * i}`, length: `${tensor.rawData.length}` };
    tensor.externalData = Object.entries(facts).map(([key, value]) => ({
      $typeName: 'onnx.StringStringEntryProto' as const,
      key,
      value,
    }));
    tensor.dataLocation = DataLocation.EXTERNAL;
    tensor.rawData = new Uint8Array();
  }
  const path = join(folder, `${name}.onnx`);
  await writeFile(path, encodeModel(model));
  return path;
}

test('weights in a file of several GiB: only their ranges are read', async (t) => {
  const inline = plainNet().model();
  const path = await scatter(plainNet().model(), 'sparse');
  const before = process.memoryUsage().rss;
  const { file, graph } = await openModel(path);
  t.true(
    file.proto.graph?.initializer.every(({ rawData }) => rawData.length === 0),
    'nothing lies in memory',
  );
  t.deepEqual(parameterValuesOf(graph), parameterValuesOf(importModel(inline)));
  const images = Float32Array.from({ length: 16 * 16 * 3 }, (_, i) => Math.sin(i));
  const prefix = (bytes: Uint8Array | null): Promise<Float32Array> =>
    runOnnxruntime(bytes ?? new Uint8Array(), images, [16, 16, 3]);
  const whole = await runOnnxruntime(encodeModel(inline), images, [16, 16, 3]);
  t.deepEqual(await prefix(extractPrefix(file, graph, graph.output)), whole);
  const out = join(folder, 'sparse-out.onnx');
  const facts = { base: file.sha256, imageSize: 16, classes: [], drop: null, notes: {}, tensors: new Map() };
  await exportModel(file, { ...facts, preprocessing: { scale: [1, 1, 1], bias: [0, 0, 0] } }, out);
  t.deepEqual(await prefix(await readFile(out)), whole, 'the exported file needs no other');
  const grown = process.memoryUsage().rss - before;
  t.true(grown <= 2 ** 29, `memory grew by ${grown} bytes`);
});

test('a model too large for one ONNX file says so', async (t) => {
  const model = plainNet().model();
  const path = await scatter(model, 'huge');
  // The bias claims 3 GiB of zeros: only the export, which must hold them, minds.
  const { file, graph } = await openModel(path);
  const weight = file.proto.graph?.initializer.find(({ name }) => name === 'logits.bias');
  if (weight) Object.defineProperty(weight, 'rawData', { value: { length: 3 * 2 ** 30 } });
  if (weight) weight.dataLocation = DataLocation.DEFAULT;
  t.throws(() => extractPrefix(file, graph, graph.output), {
    instanceOf: ModelError,
    message: /tensors take 3221\d+ bytes together: expected less than 2 GiB/,
  });
});

test('a value that is not finite is found far inside an external file', async (t) => {
  const model = plainNet().model();
  const weight = model.graph?.initializer.find(({ name }) => name === 'logits.weight');
  if (weight) new DataView(weight.rawData.buffer, weight.rawData.byteOffset).setFloat32(4 * 9, Number.NaN, true);
  const path = await scatter(model, 'nan');
  await t.throwsAsync(openModel(path), { instanceOf: ModelError, message: /tensor "logits\.weight": value 9 is NaN/ });
});
