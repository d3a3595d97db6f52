/** `edgeshift plan` in its forms: frontier, devices, tensors, accountings, what is kept; and `train` with what it chose. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { listProfiles } from '../../device-profiles/profiles.ts';
import { readModelFile } from '../../models/onnx/model-file.ts';
import { floatData } from '../../models/onnx/tensor-data.ts';
import { readDelta } from '../../runtime/delta/delta.ts';
import type { Plan } from '../../runtime/plan/plan.ts';
import { edgeshift, lastJson } from '../support/train-cli.ts';
import { toyImages } from '../support/train-images.ts';
import { tinyModel } from '../support/train-runs.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-plan-'));
const model = await tinyModel(join(root, 'tiny.onnx'));
const data = await toyImages(join(root, 'images'));
test.after.always(() => rm(root, { recursive: true, force: true }));

const base = ['plan', model, '--classes', '3', '--batch', '8', '--device', 'raspberry-pi-4-4gb'];

async function ok(t: ExecutionContext, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await edgeshift(args);
  t.is(code, 0, `${args.join(' ')}\n${stderr}`);
  return stdout;
}

const plans = async (t: ExecutionContext, args: readonly string[]): Promise<readonly { plan: Plan }[]> =>
  JSON.parse(await ok(t, [...base, ...args, '--json']));

test('the frontier: rising budgets, and a time for each', async (t) => {
  const points = await plans(t, ['--frontier']);
  t.true(points.length >= 3);
  const bytes = points.map(({ plan }) => plan.totalBytes);
  t.deepEqual(
    bytes,
    bytes.toSorted((a, b) => a - b),
  );
  for (const { plan } of points) t.true((plan.time?.stepSeconds ?? 0) > 0);
  const text = await ok(t, [...base, '--frontier']);
  t.is(text.split('\n').filter((line) => / of 8 /.test(line)).length, points.length);
  t.regex(text, /^From each budget on, the plan is:\n\n +budget {2}trains +parameters +kept +pass +stored +step\n/);
  t.regex(text, /Step times are predictions from assumed: 50 % of the CPU's peak/);
});

test('what fits on every device', async (t) => {
  const profiles = await listProfiles();
  const points = await plans(t, ['--devices']);
  t.deepEqual(
    points.map(({ plan }) => plan.device),
    profiles.map(({ name }) => name),
  );
  for (const [i, { plan }] of points.entries())
    t.is(plan.budgetBytes, profiles[i]?.limits.memoryBytes.value ?? Number.NaN);
  const text = await ok(t, [...base, '--devices']);
  for (const { name } of profiles) t.true(text.includes(`\n${name} `), name);
});

test('tensors by name, and globs that choose among them', async (t) => {
  const all = await ok(t, [...base, '--blocks', '1', '--tensors']);
  t.regex(all, /^frozen {2}stem\.weight +\[8,3,3,3\]$/m);
  t.regex(all, /^trains {2}two_project\.weight/m);
  const chosen = await ok(t, [...base, '--train', 'two_*.weight,stem.weight', '--freeze', '*depth*', '--tensors']);
  const trains = chosen.split('\n').flatMap((line) => /^trains +(\S+)/.exec(line)?.[1] ?? []);
  t.deepEqual(trains, [
    'stem.weight',
    'two_expand.weight',
    'two_project.weight',
    'edgeshift_head.weight',
    'edgeshift_head.bias',
  ]);
  const plan = lastJson({
    stdout: await ok(t, [...base, '--train', 'stem.weight', '--json']),
  } as never) as unknown as Plan;
  t.is(plan.prefix.nodes, 0, 'the lowest layer trains');
  t.deepEqual(plan.scheme.train, ['stem.weight']);
});

test("papers' accounting", async (t) => {
  const text = await ok(t, [...base, '--scheme', 'full', '--accounting', 'tinytl']);
  t.regex(text, /^TinyTL's accounting of tiny at 16 px, full, batch 8 \(1 MB = 10\^6 B\)\n/);
  const counted = JSON.parse(await ok(t, [...base, '--scheme', 'full', '--accounting', 'tinytl', '--json']));
  t.is(counted.totalBytes, counted.parameterBytes + 8 * counted.activationBytesPerImage);
});

test('what is kept is named, and a plan says how', async (t) => {
  const plan = JSON.parse(await ok(t, [...base, '--save', '8bit', '--recompute', '--json'])) as Plan;
  t.deepEqual(plan.savings, { activations: 'float', tensors: '8bit', recompute: true });
  const text = await ok(t, [...base, '--save', '8bit', '--recompute']);
  t.regex(text, /--save 8bit --recompute --batch 8/);
  t.regex(
    text,
    /kept for backward: 8-bit codes of tensors, one bit of clipping activations, insides of trained blocks computed/,
  );
  t.regex(
    text,
    /Predicted time: \d+ ms \(prefix \d+ ms, forward \d+ ms, backward \d+ ms\); a prediction from a roofline/,
  );
});

const training = [
  'train',
  model,
  '--data',
  data,
  '--batch',
  '8',
  '--blocks',
  '1',
  '--validation',
  '0.25',
  '--epochs',
  '2',
];

test('statistics that follow the batches: trained, in the delta and in the exported file', async (t) => {
  const norms = ['--norms', 'batch', '--norm-momentum', '0.3', '--scheme', 'blocks'];
  const whole = join(root, 'whole');
  await ok(t, [...training, ...norms, '--run', whole]);
  const delta = await readDelta(join(whole, 'delta.safetensors'));
  const before = await readModelFile(model);
  const after = await readModelFile(join(whole, 'model.onnx'));
  for (const name of ['two_norm.mean', 'two_expand_norm.variance', 'two_norm.scale']) {
    const values = [before, after].map(({ proto }) => {
      const tensor = proto.graph?.initializer.find((candidate) => candidate.name === name);
      return tensor ? [...floatData(tensor)] : [];
    });
    t.notDeepEqual(values[0], values[1], `${name} moved`);
    t.deepEqual(values[1], [...(delta.tensors.get(name)?.data ?? [])], `${name} is the delta's`);
  }
  t.false(delta.tensors.has('one_norm.mean'), 'frozen blocks keep theirs');
});

for (const [title, args] of [
  ['8-bit codes', ['--save', '8bit']],
  ['recomputing', ['--recompute', '--save', 'float']],
  ['named tensors', ['--train', 'two_*', '--freeze', '*_norm.*']],
  ['a moving average', ['--norms', 'moving']],
] as const) {
  test(`a run with ${title} obeys its plan and leaves a model`, async (t) => {
    const run = join(root, title.replaceAll(' ', '-'));
    const result = lastJson({ stdout: await ok(t, [...training, ...args, '--run', run, '--json']) } as never);
    t.is(result.arenaHighWaterBytes, result.plannedPeakBytes);
    t.is(result.steps, 8);
    const evaluated = JSON.parse(await ok(t, ['evaluate', join(run, 'model.onnx'), '--data', data, '--json']));
    t.is(typeof evaluated.accuracy, 'number');
  });
}
