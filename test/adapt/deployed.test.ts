/** A model as it goes into service: with a delta in its place, and in one session while nothing changes. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { exportModel } from '../../models/onnx/export.ts';
import { readModelFile } from '../../models/onnx/model-file.ts';
import { type Model, openModel } from '../../models/onnx/open-model.ts';
import type { MethodName } from '../../runtime/adapt/methods/index.ts';
import { type AdaptOptions, openAdapter, planAdaptation } from '../../runtime/adapt/open.ts';
import { learntTensor, readDelta, writeDelta } from '../../runtime/delta/delta.ts';
import { elements } from '../../runtime/graph/graph.ts';
import { firstDropped, HEAD } from '../../runtime/graph/head.ts';
import { Random } from '../../runtime/train/random.ts';
import { assertClose } from '../support/compare.ts';
import { randomImages } from '../support/draws.ts';

const path = fileURLToPath(new URL('../../../models/fmnist-wrn16-2/model.onnx', import.meta.url));
const seed = 17;
const batch = 8;
const images = randomImages(seed, batch, 32);
const tolerance = { rtol: 1e-4, atol: 1e-4 };

const folder = await mkdtemp(join(tmpdir(), 'edgeshift-deployed-'));
test.after.always(() => rm(folder, { recursive: true, force: true }));

/** A delta of the first and the last norm, scaled; with a head of 5 classes if asked for. */
async function writeScaled(name: string, newHead: boolean): Promise<string> {
  const model = await openModel(path);
  const scales = [...model.graph.parameters.values()].filter(({ name: of }) => /bn\d?\.weight$/.test(of));
  const scaled = [scales[0], scales.at(-1)].flatMap((parameter) =>
    parameter ? [learntTensor(parameter, async () => parameter.data().map((value) => 1.5 * value))] : [],
  );
  const target = join(folder, name);
  const classes = newHead ? ['a', 'b', 'c', 'd', 'e'] : (model.classes ?? []);
  await writeDelta(target, { ...factsOf(model), classes, drop: newHead ? [] : null }, [
    ...scaled,
    ...(newHead ? headOf(model) : []),
  ]);
  return target;
}

const factsOf = ({ file, imageSize, preprocessing }: Model) => ({
  ...{ base: file.sha256, imageSize, preprocessing, metaParts: null, notes: {} },
});

function headOf({ graph }: Model) {
  const below = graph.shapes.get(graph.nodes[firstDropped(graph, [])]?.inputs[0] ?? '') ?? [];
  const random = new Random(seed, 0, 0);
  const tensor = (name: string, shape: readonly number[]) => ({
    ...{ name, shape },
    read: async () => Float32Array.from({ length: elements(shape) }, () => random.uniform() - 0.5),
  });
  return [tensor(HEAD.weight, [5, elements(below)]), tensor(HEAD.bias, [5])];
}

async function logitsOf(options: Partial<AdaptOptions> & { readonly model: string }): Promise<Float32Array> {
  await using adapter = await openAdapter({ batch, threads: 2, budgetBytes: 2 ** 33, ...options });
  const { logits } = await adapter.observe(images, batch, false);
  return logits;
}

const check = test.macro(async (t: ExecutionContext, method: MethodName, newHead: boolean) => {
  const name = `${method}-${newHead}`;
  const delta = await writeScaled(`${name}.safetensors`, newHead);
  const merged = join(folder, `${name}.onnx`);
  await exportModel(await readModelFile(path), await readDelta(delta), merged);
  const expected = await logitsOf({ model: merged, method });
  const actual = await logitsOf({ model: path, delta, method });
  assertClose(t, actual, expected, tolerance, `${name}, seed ${seed}`);
  if (!newHead) {
    const base = await logitsOf({ model: path, method });
    t.true(
      base.some((value, i) => Math.abs(value - (actual[i] ?? 0)) > 0.01),
      'the delta makes a difference',
    );
  }
});

for (const method of ['none', 'tent', 'edgeshift'] as const) {
  test(`${method}: with a delta the same as with the exported model`, check, method, false);
  test(`${method}: with a delta of another head the same as with the exported model`, check, method, true);
}

test('predictions go through one session until something changes, and again once that is at rest', async (t) => {
  await using fused = await openAdapter({ model: path, batch, threads: 2, budgetBytes: 2 ** 33 });
  await using plain = await openAdapter({ model: path, batch, threads: 2, budgetBytes: 2 ** 33, predicts: false });
  const isFused = async (adapter: typeof fused): Promise<boolean> => (await adapter.save()).get('fused')?.[0] === 1;
  t.deepEqual([await isFused(fused), await isFused(plain)], [true, false]);
  const compare = async (what: string): Promise<void> => {
    const [a, b] = [await fused.observe(images, batch, false), await plain.observe(images, batch, false)];
    assertClose(t, a.logits, b.logits, tolerance, `${what}, seed ${seed}`);
  };
  await compare('as deployed');
  const other = new Map([...(await fused.learnt())].map(([name, values]) => [name, values.map((v) => 1.1 * v + 0.01)]));
  for (const adapter of [fused, plain]) await adapter.adopt(other);
  t.false(await isFused(fused));
  await compare('changed');
  // As after a look that finds nothing, or where a stopped run was in that state.
  await fused.load(new Map([...(await fused.save()), ['fused', Float32Array.of(1)]]));
  t.true(await isFused(fused));
  await compare('changed, fused again');
});

test('the copy of the model is planned, and left out where it does not fit', async (t) => {
  const options = { model: path, batch, threads: 2 };
  const roomy = await planAdaptation({ ...options, budgetBytes: 2 ** 33 });
  const tight = await planAdaptation({ ...options, budgetBytes: roomy.plan.totalBytes - 1 });
  t.deepEqual([roomy.fuses, tight.fuses], [true, false]);
  t.true(roomy.plan.bytes.adaptation > tight.plan.bytes.adaptation + 2 * 2 ** 20);
  t.true(tight.plan.fits);
});
