/** `--products`: commands that never load onnxruntime, and how auto finds out what works. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { chooseProducts } from '../../tools/cli/products-choice.ts';
import { loadedModules } from '../support/loaded-modules.ts';
import { edgeshift, lastJson } from '../support/train-cli.ts';
import { toyImages } from '../support/train-images.ts';
import { tinyModel } from '../support/train-runs.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-products-'));
const model = await tinyModel(join(root, 'tiny.onnx'), 3);
const data = await toyImages(join(root, 'images'));
test.after.always(() => rm(root, { recursive: true, force: true }));

const simd = ['--products', 'simd', '--budget', '1GiB'] as const;

function neverLoads(t: ExecutionContext, name: string, args: readonly string[]): void {
  const loaded = loadedModules(args, join(root, `${name}.log`));
  t.is(loaded.code, 0, loaded.stderr);
  t.deepEqual(
    loaded.packages.filter((name) => name.startsWith('onnxruntime')),
    [],
  );
  t.true(loaded.own.has('runtime/engine/cpu/simd-products.js'), 'the engine ran');
}

test('train, evaluate and adapt with --products simd never load onnxruntime', async (t) => {
  const run = join(root, 'run');
  neverLoads(t, 'train', ['train', model, '--data', data, '--run', run, '--blocks', '1', '--max-steps', '2', ...simd]);
  const config = JSON.parse(await readFile(join(run, 'config.json'), 'utf8')) as Record<string, unknown>;
  t.is(config.products, 'simd', 'a run that is resumed stays with it');
  const plan = JSON.parse(await readFile(join(run, 'plan.json'), 'utf8')) as Record<string, unknown>;
  t.like(plan, { products: 'simd', prefix: { nodes: 0 } });
  neverLoads(t, 'evaluate', ['evaluate', model, '--data', data, '--engine', 'edgeshift', '--products', 'simd']);
  neverLoads(t, 'adapt', ['adapt', model, '--source', data, '--batch', '8', '--no-background', ...simd]);
  neverLoads(t, 'background', ['adapt', model, '--source', data, '--batch', '8', '--background', ...simd]);
});

test('a trained model is exported as with onnxruntime, the arena used as planned, accuracies alike', async (t) => {
  const results = await Promise.all(
    ['simd', 'onnxruntime'].map(async (products) => {
      const args = [
        '--run',
        join(root, products),
        '--blocks',
        '1',
        '--batch',
        '8',
        '--max-steps',
        '6',
        '--json',
        '--budget',
        '1GiB',
      ];
      const { code, stdout, stderr } = await edgeshift([
        ...['train', model, '--data', data, '--products', products],
        ...args,
      ]);
      t.is(code, 0, stderr);
      const result = lastJson({ code, stdout, stderr, signal: null });
      t.is(result.arenaHighWaterBytes, result.plannedPeakBytes);
      return result as { readonly export: string; readonly accuracyAfter: number };
    }),
  );
  for (const { export: exported, accuracyAfter } of results) {
    const own = await edgeshift([
      ...['evaluate', exported, '--data', data, '--json'],
      ...['--engine', 'edgeshift', '--products', 'simd'],
    ]);
    const bare = await edgeshift(['evaluate', exported, '--data', data, '--json']);
    t.is(lastJson(own).correct, lastJson(bare).correct, own.stderr);
    t.true(Number.isFinite(accuracyAfter));
  }
});

test('a bare session is refused without onnxruntime, and so is a plan that was made with it', async (t) => {
  const bare = await edgeshift(['evaluate', model, '--data', data, '--products', 'simd']);
  t.is(bare.code, 2);
  t.regex(bare.stderr, /session of onnxruntime.*\nHint: --engine edgeshift/);
  const saved = join(root, 'plan.json');
  const planned = await edgeshift(['plan', model, '--classes', '3', '--blocks', '1', '--out', saved, ...simd]);
  t.is(planned.code, 0, planned.stderr);
  t.regex(planned.stdout, /--products simd/);
  const other = ['train', model, '--data', data, '--run', join(root, 'other'), '--plan', saved];
  const replayed = await edgeshift([...other, '--products', 'onnxruntime']);
  t.is(replayed.code, 2);
  t.regex(replayed.stderr, /the saved plan is for .*--products simd.*; this run has .*--products onnxruntime/);
  t.is((await edgeshift([...other, '--max-steps', '1', ...simd])).code, 0);
  const word = await edgeshift(['plan', model, '--products', 'blas']);
  t.is(word.code, 2);
  t.regex(word.stderr, /--products must be one of onnxruntime, simd: "blas"/);
});

/** A script that a probe may be. */
async function script(name: string, text: string): Promise<string> {
  const path = join(root, `${name}.mjs`);
  await writeFile(path, text);
  return path;
}

test('auto is onnxruntime where a process of its own has multiplied with it', async (t) => {
  const cache = join(root, 'works', 'products.json');
  t.deepEqual(await chooseProducts({ known: false, cache }), { products: 'onnxruntime', reason: null });
  t.like(JSON.parse(await readFile(cache, 'utf8')), { products: 'onnxruntime', facts: { arch: process.arch } });
  const probe = await script('never', 'process.exit(1)');
  t.like(await chooseProducts({ known: false, cache, probe }), { products: 'onnxruntime' }, 'it is not asked again');
});

test('a library that crashes, throws or is not there leaves SIMD kernels, and says why', async (t) => {
  const crash = await script('crash', "process.kill(process.pid, 'SIGSEGV'); setTimeout(() => {}, 60_000);");
  const cache = join(root, 'crashes', 'products.json');
  const crashed = { products: 'simd', reason: 'it crashed with SIGSEGV' } as const;
  t.deepEqual(await chooseProducts({ known: false, cache, probe: crash }), crashed);
  t.deepEqual(await chooseProducts({ known: false, cache }), crashed, 'remembered');
  const thrown = await script('throw', "throw new Error('libonnxruntime.so.1: cannot open shared object file')");
  const other = join(root, 'throws', 'products.json');
  const { products, reason } = await chooseProducts({ known: false, cache: other, probe: thrown });
  t.is(products, 'simd');
  t.regex(reason ?? '', /cannot open shared object file/);
});

test('an answer of another machine, a damaged one, or nowhere to keep it: the probe is asked again', async (t) => {
  const cache = join(root, 'products.json');
  const works = { products: 'onnxruntime', reason: null } as const;
  const probe = await script('works', '');
  for (const text of [
    '{',
    '{"facts":{"node":"0.0.0"},"products":"simd","reason":"old"}',
    JSON.stringify({ products: 'simd', reason: 'no facts' }),
  ]) {
    await writeFile(cache, text);
    t.deepEqual(await chooseProducts({ known: false, cache, probe }), works);
  }
  t.deepEqual(await chooseProducts({ known: false, cache: join(model, 'no', 'folder.json'), probe }), works);
});
