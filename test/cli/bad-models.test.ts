import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { decodeModel, encodeModel } from '../../models/onnx/proto.ts';
import { floatData, setFloatData } from '../../models/onnx/tensor-data.ts';
import { OnnxBuilder } from '../support/onnx-models.ts';
import { device, edgeshift, lastJson, refusesToTrain } from '../support/train-cli.ts';
import { toyImages } from '../support/train-images.ts';
import { tinyModel } from '../support/train-runs.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-bad-'));
const model = await tinyModel(join(root, 'tiny.onnx'));
const modelBytes = await readFile(model);
const data = await toyImages(join(root, 'images'));
test.after.always(() => rm(root, { recursive: true, force: true }));

const settings = ['--batch', '8', '--blocks', '1', '--epochs', '2', '--validation', '0.25', ...device];

/** Trains what must fail, with one thing wrong. */
const refuses = (
  t: ExecutionContext,
  input: { readonly model?: string; readonly data?: string; readonly flags?: readonly string[] },
  code: number,
  message: RegExp,
) =>
  refusesToTrain(
    t,
    root,
    [input.model ?? model, '--data', input.data ?? data, ...settings, ...(input.flags ?? [])],
    code,
    message,
  );

async function file(name: string, bytes: Uint8Array | string): Promise<string> {
  const path = join(root, name);
  await writeFile(path, bytes);
  return path;
}

const damaged: readonly (readonly [title: string, bytes: () => Uint8Array | string, message: RegExp])[] = [
  [
    'text',
    () => 'version https://git-lfs.github.com/spec/v1\noid sha256:0\n',
    /is not an ONNX model or is damaged[\s\S]*Hint: .*Git LFS/,
  ],
  ['nothing', () => '', /is not an ONNX model or is damaged: .* \(0 bytes\)/],
  [
    'half of a model',
    () => modelBytes.subarray(0, modelBytes.length / 2),
    /"[^"]*" is not an ONNX model or is damaged/,
  ],
  ['all but the last byte', () => modelBytes.subarray(0, -1), /"[^"]*" is not an ONNX model or is damaged/],
];

damaged.forEach(([title, bytes, message], i) => {
  test(`not an ONNX file: ${title}`, async (t) => {
    const path = await file(`damaged-${i}.onnx`, bytes());
    const error = await refuses(t, { model: path }, 1, message);
    t.is(error.code, 'MODEL');
    t.is(error.path, path);
  });
});

test('a model that is not there, and a folder in its place', async (t) => {
  await refuses(t, { model: join(root, 'none.onnx') }, 1, /cannot read model ".*none\.onnx": ENOENT/);
  await refuses(t, { model: root }, 1, /cannot read model ".*": EISDIR/);
});

test('NaN in the weights', async (t) => {
  const proto = decodeModel(modelBytes);
  const tensor = proto.graph?.initializer.find(({ name }) => name === 'two_project.weight');
  if (!tensor) throw new Error('no weight');
  const values = floatData(tensor);
  values[7] = Number.NaN;
  setFloatData(tensor, values);
  const path = await file('nan.onnx', encodeModel(proto));
  await refuses(t, { model: path }, 1, /tensor "two_project\.weight": value 7 is NaN: weights must be finite numbers/);
});

test('an op above the cut that has no kernel: all of them, with counts and names, before any work', async (t) => {
  const b = new OnnxBuilder({ size: 16 });
  const stem = b.relu('stem_relu', b.conv('stem', 'image', 8, { kernel: 3, bias: true }));
  const elu = b.node('Softplus', 'elu_one', [b.conv('one', stem, 8, { bias: true })]);
  b.head(b.node('Softplus', 'elu_two', [b.conv('two', elu, 8, { bias: true })]), 5);
  const path = await file('elu.onnx', encodeModel(b.model()));
  const error = await refuses(
    t,
    { model: path, flags: ['--blocks', '1'] },
    1,
    /Softplus x2: "elu_one", "elu_two"[\s\S]*Hint: /,
  );
  t.is(error.code, 'UNSUPPORTED_OP');
  const run = join(root, 'elu-head');
  const head = await edgeshift([
    'train',
    path,
    '--data',
    data,
    '--run',
    run,
    ...settings,
    '--scheme',
    'head',
    '--epochs',
    '1',
  ]);
  t.is(head.code, 0, `in the frozen part it does not matter\n${head.stderr}`);
});

test('a delta for another base, a damaged one, and a file that is none', async (t) => {
  const run = join(root, 'for-delta');
  const trained = await edgeshift([
    'train',
    model,
    '--data',
    data,
    '--run',
    run,
    ...settings,
    '--epochs',
    '1',
    '--no-export',
  ]);
  t.is(trained.code, 0, trained.stderr);
  const delta = join(run, 'delta.safetensors');
  const other = await tinyModel(join(root, 'other.onnx'), 5, 77);
  const out = join(root, 'never.onnx');
  const attempts: readonly (readonly [RegExp, string, string])[] = [
    [
      /learnt on another model: it belongs to sha256 [0-9a-f]{64}, ".*other\.onnx" is [0-9a-f]{64}\nHint: /,
      other,
      delta,
    ],
    [
      /is not a readable safetensors file: it is damaged/,
      model,
      await file('flipped.safetensors', flip(await readFile(delta))),
    ],
    [
      /is not a readable safetensors file/,
      model,
      await file('cut.safetensors', (await readFile(delta)).subarray(0, 500)),
    ],
    [/is not a readable safetensors file: ENOENT/, model, join(root, 'none.safetensors')],
    [
      /is not a delta: expected format/,
      model,
      join(run, 'checkpoints', (await readdir(join(run, 'checkpoints')))[0] ?? ''),
    ],
  ];
  for (const [message, base, path] of attempts) {
    const result = await edgeshift(['export', base, '--delta', path, '--out', out, '--json']);
    t.is(result.code, 1, result.stderr);
    t.regex(result.stderr, message);
    t.is((lastJson(result).error as { code: string }).code, 'DELTA');
  }
  const evaluation = await edgeshift(['evaluate', other, '--delta', delta, '--data', data]);
  t.is(evaluation.code, 1);
  t.regex(evaluation.stderr, /learnt on another model/);
  await t.throwsAsync(readFile(out), { code: 'ENOENT' });
});

/** One bit in the data is another. */
function flip(bytes: Buffer): Buffer {
  const changed = Buffer.from(bytes);
  changed[changed.length - 9] = (changed[changed.length - 9] ?? 0) ^ 4;
  return changed;
}

test('evaluation on images of other classes than the model has', async (t) => {
  const result = await edgeshift(['evaluate', model, '--data', data, '--json']);
  t.is(result.code, 1);
  t.regex(result.stderr, /tells 5 classes apart, ".*images" has 3/);
});
