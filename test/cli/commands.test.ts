import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { ensureMobileNetV2 } from '../../models/mobilenet-v2/build.ts';
import type { Plan } from '../../runtime/plan/plan.ts';
import { edgeshift, lastJson, modelCache } from '../support/train-cli.ts';
import { toyImages } from '../support/train-images.ts';
import { tinyModel } from '../support/train-runs.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-cli-'));
const model = await tinyModel(join(root, 'tiny.onnx'));
const data = await toyImages(join(root, 'images'));
test.after.always(() => rm(root, { recursive: true, force: true }));

const device = ['--device', 'jetson-nano-4gb'];
const planned = ['plan', model, '--classes', '3', '--batch', '8', '--blocks', '1', ...device];
const trained = [
  'train',
  model,
  '--data',
  data,
  '--batch',
  '8',
  '--blocks',
  '1',
  '--epochs',
  '2',
  '--validation',
  '0.25',
  ...device,
];

/** Runs a command that must succeed. */
async function ok(t: ExecutionContext, args: readonly string[]) {
  const result = await edgeshift(args);
  t.is(result.code, 0, `${args.join(' ')}\n${result.stderr}`);
  return result;
}

test('help and version; wrong use ends with 2', async (t) => {
  t.regex((await ok(t, ['--version'])).stdout, /^\d+\.\d+\.\d+\n$/);
  const help = (await ok(t, ['--help'])).stdout;
  for (const name of ['inspect', 'plan', 'train', 'evaluate', 'export', 'devices', 'convert'])
    t.true(help.includes(`  ${name} `), name);
  t.true((await ok(t, ['train', '--help'])).stdout.includes('--checkpoint-steps'));
  const wrong: readonly (readonly [RegExp, ...string[]])[] = [
    [/unknown command/, 'fly'],
    [/unknown option '--wings'/, 'plan', model, '--wings'],
    [/missing required argument 'model'/, 'plan'],
    [/required option '--delta <file>'/, 'export', model],
    [/train needs a model and --data/, 'train'],
    [/--resume needs --run/, 'train', '--resume'],
    [/evaluate needs --data/, 'evaluate', model],
    [/--batch must be a number: "many"/, 'plan', model, '--batch', 'many'],
    [/batch must be a whole number from 1: 0/, 'plan', model, '--batch', '0'],
    [
      /--scheme must be one of head, shifts, bias, norms, mobiletl, blocks, full: "all"/,
      'plan',
      model,
      '--scheme',
      'all',
    ],
    [/--train "nope\.\*" matches no tensor of "tiny"\nHint: it has \d+ tensors/, 'plan', model, '--train', 'nope.*'],
    [/nothing of "tiny" trains with these/, 'plan', model, '--freeze', '*'],
    [/--norms must be one of stored, batch, moving, renorm: "live"/, 'plan', model, '--norms', 'live'],
    [/--norms batch needs the whole batch at once/, 'plan', model, '--norms', 'batch', '--micro-batch', '1'],
    [/--save must be one of mask, 2bit/, 'plan', model, '--save', '5bit'],
    [/--accounting must be one of edgeshift, tinytl/, 'plan', model, '--accounting', 'mine'],
    [/normMomentum must be above 0 up to 1: 2/, 'plan', model, '--norm-momentum', '2'],
    [/--budget must be a size/, 'plan', model, '--budget', 'small'],
    [/--classes must be a whole number from 2: 1/, 'plan', model, '--classes', '1'],
    [/--blocks must be a whole number from 0 to \d+ .*: 50/, 'plan', model, '--blocks', '50'],
    [/--drop names no layer of "tiny": "nope"; the last ones are .*"logits"/, 'plan', model, '--drop', 'nope'],
    [
      /batch must be a whole number from 1: 0\nlimit must be a whole number from 1: 0/,
      'evaluate',
      model,
      '--data',
      data,
      '--batch',
      '0',
      '--limit',
      '0',
    ],
  ];
  const results = await Promise.all(wrong.map(([, ...args]) => edgeshift(args)));
  for (const [i, [message, ...args]] of wrong.entries()) {
    t.is(results[i]?.code, 2, args.join(' '));
    t.regex(results[i]?.stderr ?? '', message);
    t.notRegex(results[i]?.stderr ?? '', /\n\s+at /, "no stack for what is the user's");
  }
});

test('inspect', async (t) => {
  const text = (await ok(t, ['inspect', model])).stdout;
  t.regex(text, /two_project/);
  const result = lastJson(await ok(t, ['inspect', model, '--json', '--normalize', 'imagenet']));
  t.like(result.model, { name: 'tiny', opset: 17, imageSize: 16 });
  t.like((result.preprocessing as { bias: number[] }).bias, { length: 3 });
  t.deepEqual(result.frozenOnly, []);
  t.true((result.blocks as { role: string }[]).some(({ role }) => role === 'head'));
  t.is(typeof result.parameters, 'number');
});

test('devices', async (t) => {
  const text = (await ok(t, ['devices'])).stdout;
  for (const name of ['jetson-nano-4gb', 'jetson-orin-nano-8gb', 'raspberry-pi-4-4gb', 'this-machine'])
    t.true(text.includes(name));
  const list = JSON.parse((await ok(t, ['devices', '--json'])).stdout) as { name: string }[];
  t.is(list.length, 94);
  const one = lastJson(await ok(t, ['devices', 'raspberry-pi-4-4gb', '--json']));
  t.is(one.name, 'raspberry-pi-4-4gb');
  const unknown = await edgeshift(['devices', 'toaster', '--json']);
  t.is(unknown.code, 1);
  t.regex(unknown.stderr, /device "toaster": expected one of this-machine, /);
  t.is((lastJson(unknown).error as { code: string }).code, 'PROFILE');
});

test('plan: every field of the machine interface, with its meaning', async (t) => {
  t.regex((await ok(t, planned)).stdout, /stored for backward/i);
  const plan = lastJson(await ok(t, [...planned, '--json'])) as unknown as Plan;
  const types = {
    ...{
      fits: 'boolean',
      device: 'string',
      budgetBytes: 'number',
      peakBytes: 'number',
      storedForBackwardBytes: 'number',
    },
    ...{
      batch: 'number',
      microBatch: 'number',
      trainableParameters: 'number',
      bytes: 'object',
      blocks: 'object',
      flops: 'object',
    },
  };
  for (const [field, type] of Object.entries(types)) t.true(typeof plan[field as keyof Plan] === type, field);
  t.like(plan, { fits: true, device: 'jetson-nano-4gb', batch: 8 });
  const categories = [
    'frozenWeights',
    'trainableWeights',
    'gradients',
    'optimizer',
    'saved',
    'workspace',
    'prefixPeak',
    'base',
  ];
  for (const category of categories) t.true(category in plan.bytes, category);
  for (const [name, bytes] of Object.entries(plan.bytes)) t.true(Number.isInteger(bytes) && bytes >= 0, name);
  t.is(
    Object.values(plan.bytes).reduce((sum, bytes) => sum + bytes, 0),
    plan.totalBytes,
  );
  t.is(plan.bytes.saved, plan.storedForBackwardBytes);
  t.is(plan.bytes.trainableWeights, 4 * plan.trainableParameters);
  for (const block of plan.blocks) {
    t.is(typeof block.name, 'string');
    t.true(Array.isArray(block.trains) && Number.isInteger(block.storedBytes));
  }
  t.true(plan.flops.forward > 0 && plan.flops.backward > 0);
});

test('train, plan replayed, evaluate and export: the way of the data', async (t) => {
  const saved = join(root, 'plan.json');
  const run = join(root, 'run');
  await ok(t, [...planned, '--out', saved]);
  const plan = JSON.parse(await readFile(saved, 'utf8')) as Plan;
  const training = await ok(t, [...trained, '--plan', saved, '--run', run, '--json']);
  const result = lastJson(training);
  t.is(training.stdout.trimEnd().split('\n').length, 1, 'stdout is for the result');
  const types = {
    ...{ accuracyBefore: 'number', accuracyAfter: 'number', trainAccuracy: 'number', steps: 'number' },
    ...{ plannedPeakBytes: 'number', arenaBytes: 'number', arenaHighWaterBytes: 'number', maxRssBytes: 'number' },
    ...{ stepMillis: 'object', delta: 'string', export: 'string' },
  };
  for (const [field, type] of Object.entries(types)) t.true(typeof result[field] === type, field);
  t.is(result.arenaHighWaterBytes, result.plannedPeakBytes);
  t.is(result.plannedPeakBytes, plan.peakBytes);
  t.is(result.arenaBytes, 65536 * Math.ceil(plan.peakBytes / 65536));
  t.is(result.steps, 8);
  const { p50, p95 } = result.stepMillis as { p50: number; p95: number };
  t.true(p50 > 0 && p95 >= p50);
  t.deepEqual(
    JSON.parse(await readFile(join(run, 'plan.json'), 'utf8')),
    plan,
    'the plan that was saved is the plan that ran',
  );
  for (const text of ['plan: --scheme mobiletl --blocks 1', 'accuracy before:', 'epoch 2:', 'accuracy after:']) {
    t.true(training.stderr.includes(text), text);
  }
  t.false(training.stderr.includes('\u001b'), 'no escape codes where there is no terminal');

  const exported = result.export as string;
  const delta = result.delta as string;
  const again = join(root, 'again.onnx');
  t.regex(
    (await ok(t, ['export', model, '--delta', delta, '--out', again])).stdout,
    /9 tensors of .*delta\.safetensors/,
  );
  t.true((await readFile(again)).equals(await readFile(exported)));
  const json = lastJson(await ok(t, ['export', model, '--delta', delta, '--out', again, '--json']));
  t.like(json, { export: again, base: plan.model.sha256, tensors: 9 });
  t.deepEqual(json.classes, ['class-0', 'class-1', 'class-2']);

  const [bare, own, text] = await Promise.all([
    ok(t, ['evaluate', exported, '--data', data, '--json']),
    ok(t, [
      'evaluate',
      model,
      '--delta',
      delta,
      '--data',
      data,
      '--json',
      '--engine',
      'edgeshift',
      '--scheme',
      'shifts',
      '--blocks',
      '2',
    ]),
    ok(t, ['evaluate', exported, '--data', data]),
  ]);
  const evaluation = lastJson(bare);
  t.like(evaluation, { samples: 36, skipped: 0, engine: 'onnxruntime' });
  t.is(evaluation.accuracy, (evaluation.correct as number) / 36);
  t.deepEqual(Object.keys(evaluation.perClass as object), ['class-0', 'class-1', 'class-2']);
  t.deepEqual({ ...lastJson(own), engine: 'onnxruntime' }, evaluation);
  t.regex(text.stdout, /^accuracy +\d+\.\d % \(\d+ of 36, onnxruntime\)\n {2}class-0 /);
});

test('train without --json tells the result as text; --no-export writes the delta only', async (t) => {
  const run = join(root, 'text');
  const { stdout } = await ok(t, [
    ...trained,
    '--run',
    run,
    '--max-steps',
    '3',
    '--no-export',
    '--no-cache',
    '--scheme',
    'head',
  ]);
  t.regex(stdout, /^accuracy before +\d+\.\d %\naccuracy after /);
  t.regex(stdout, /steps +3, median/);
  t.regex(stdout, /exported model +-\n$/);
  t.deepEqual(
    (await readdir(run)).filter((name) => /onnx|safetensors/.test(name)),
    ['delta.safetensors'],
  );
});

test('a budget that is too small: 3, what is missing, the largest tensors, the nearest plan', async (t) => {
  const mobileNet = await ensureMobileNetV2(modelCache);
  const exact = ['--save', 'float', '--no-recompute'];
  const large = ['--blocks', '12', '--batch', '8', '--micro-batch', '8', '--image-size', '64', ...exact, ...device];
  const { totalBytes: comfortable } = lastJson(await ok(t, ['plan', mobileNet, '--classes', '3', ...large, '--json']));
  // Room for cached features is what a plan does without before it misses its budget.
  const short = ['--budget', `${(comfortable as number) - 2 ** 20}`];
  const { totalBytes } = lastJson(await edgeshift(['plan', mobileNet, '--classes', '3', ...large, ...short, '--json']));
  const args = [...large, '--budget', `${(totalBytes as number) - 3 * 2 ** 20}`];
  const plan = await edgeshift(['plan', mobileNet, '--classes', '3', ...args, '--json']);
  t.is(plan.code, 3, plan.stderr);
  const parsed = lastJson(plan);
  t.like(parsed, { fits: false, totalBytes });
  t.regex(plan.stderr, /: 3\.0 MiB are missing\n/);
  t.regex(plan.stderr, /Largest tensors:\n(.*(KiB|MiB) {2}\S.*\n){3}Hint: --scheme \S+ .* fits with \d+/);

  const run = join(root, 'too-small');
  const training = await edgeshift(['train', mobileNet, '--data', data, ...args, '--run', run, '--json']);
  t.is(training.code, 3);
  const error = lastJson(training).error as Record<string, unknown>;
  t.is(error.code, 'BUDGET');
  t.is((error.largest as unknown[]).length, 3);
  t.is(typeof error.nearest, 'string');
  t.deepEqual(error.message, plan.stderr.replace(/^edgeshift: /, '').trimEnd());
  await t.throwsAsync(readdir(run), { code: 'ENOENT' });

  const nothing = await edgeshift([...planned, '--budget', '20MiB']);
  t.is(nothing.code, 3);
  t.regex(nothing.stderr, /Hint: no plan fits this budget; the process alone needs/);
});

test('a file that is no plan, and a plan for something else', async (t) => {
  const path = join(root, 'no-plan.json');
  await writeFile(path, '{"version":1}');
  const run = join(root, 'no-plan');
  const damaged = await edgeshift([...trained, '--plan', path, '--run', run]);
  t.is(damaged.code, 1);
  t.regex(damaged.stderr, /no-plan\.json" is not a saved plan/);
  const other = join(root, 'other-plan.json');
  await ok(t, ['plan', model, '--classes', '4', '--batch', '8', '--blocks', '1', ...device, '--out', other]);
  const refused = await edgeshift([...trained, '--plan', other, '--run', run]);
  t.is(refused.code, 2);
  t.regex(refused.stderr, /the saved plan is for 4 classes .* this run has 3 classes/);
  await t.throwsAsync(readdir(run), { code: 'ENOENT' });
});
