/** Start-up: what each command loads, and that nothing slow stands before its work. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { loadedModules, mainModule } from '../support/loaded-modules.ts';
import { device } from '../support/train-cli.ts';
import { toyImages } from '../support/train-images.ts';
import { tinyModel } from '../support/train-runs.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-startup-'));
const model = await tinyModel(join(root, 'tiny.onnx'));
test.after.always(() => rm(root, { recursive: true, force: true }));

const reader = ['@bufbuild/protobuf', 'commander', 'onnx-buf'];

/** Runs a command that must succeed, and checks which packages it loads. */
function loads(t: ExecutionContext, args: readonly string[], packages: readonly string[]): ReadonlySet<string> {
  const loaded = loadedModules(args, join(root, `${t.title.replaceAll(/\W/g, '-')}-${args.join('-').length}.log`));
  t.is(loaded.code, 0, `${args.join(' ')}\n${loaded.stderr}`);
  t.deepEqual(loaded.packages, packages, args.join(' '));
  return loaded.own;
}

test('help and version load the options and nothing else', (t) => {
  for (const args of [
    ['--help'],
    ['--version'],
    ['plan', '--help'],
    ['train', '--help'],
    ['profile', 'compare', '--help'],
  ]) {
    const own = loads(t, args, ['commander']);
    t.deepEqual(
      [...own].sort(),
      [
        'runtime/errors.js',
        'tools/cli/collect-flags.js',
        'tools/cli/commands/profile-compare.js',
        'tools/cli/delta-flags.js',
        'tools/cli/deploy-flags.js',
        'tools/cli/deploy-host-flags.js',
        'tools/cli/flags.js',
        'tools/cli/main.js',
        'tools/cli/report-error.js',
        'tools/cli/run-commands.js',
      ],
      args.join(' '),
    );
  }
});

test('plan loads what reads a model and, for a profile that is a file, its validator', (t) => {
  const own = loads(t, ['plan', model, '--classes', '3'], reader);
  t.false(
    [...own].some((module) => module.startsWith('runtime/engine/')),
    'no engine',
  );
  loads(t, ['plan', model, '--classes', '3', ...device], [...reader, 'zod']);
});

test('train loads one thread with the reader, one with onnxruntime, and leaves images to another process', async (t) => {
  const data = await toyImages(join(root, 'images'));
  const args = ['train', model, '--data', data, '--run', join(root, 'run'), '--blocks', '1', '--batch', '8'];
  const own = loads(
    t,
    [...args, '--max-steps', '1'],
    ['@bufbuild/protobuf', 'commander', 'onnx-buf', 'onnxruntime-node'],
  );
  t.true(own.has('runtime/train/export-worker.js'));
});

test('what a wrong command line ends with loads no model, plan or engine', (t) => {
  const { code, packages, own } = loadedModules(['train', model], join(root, 'wrong.log'));
  t.is(code, 2);
  t.deepEqual(packages, ['commander']);
  t.false(own.has('kernels/index.js'), 'no kernels in the thread that trains nothing itself');
});

/** Milliseconds of a fresh process, start to end. */
function processMillis(args: readonly string[]): number {
  const started = performance.now();
  spawnSync(process.execPath, args, { stdio: 'ignore' });
  return performance.now() - started;
}

test('help takes little longer than Node itself, a plan no more than ten times that', (t) => {
  // Minima of runs in turns: a busy machine slows all of them. The bounds are about twice what an idle one takes.
  const taken = { node: Number.POSITIVE_INFINITY, help: Number.POSITIVE_INFINITY, plan: Number.POSITIVE_INFINITY };
  for (let round = 0; round < 5; round++) {
    taken.node = Math.min(taken.node, processMillis(['-e', '0']));
    taken.help = Math.min(taken.help, processMillis([mainModule, '--help']));
    taken.plan = Math.min(taken.plan, processMillis([mainModule, 'plan', model, '--classes', '3']));
  }
  t.log(`ms: ${JSON.stringify(taken)}`);
  t.true(taken.help <= 3 * taken.node, `help ${taken.help} ms, node ${taken.node} ms`);
  t.true(taken.plan <= 10 * taken.node, `plan ${taken.plan} ms, node ${taken.node} ms`);
});
