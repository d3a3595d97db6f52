/** The package as a stranger meets it: packed, installed from the registry into an empty project, and used there. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { toyImages } from '../support/train-images.ts';
import { tinyModel } from '../support/train-runs.ts';

/** The repository, seen from the compiled file in dist/test/package. */
const repository = fileURLToPath(new URL('../../../', import.meta.url));
const MAX_BYTES = 2e6;

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-package-'));
const project = join(root, 'project');
test.after.always(() => rm(root, { recursive: true, force: true }));

interface Outcome {
  /** Null if it could not be started or a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(cwd: string, file: string, ...args: readonly string[]): Promise<Outcome> {
  // What npm tells the scripts it runs (`npm test`) must not reach the npm of another project.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_(package|lifecycle)_/.test(name)),
  );
  return new Promise((resolve) => {
    execFile(file, args, { cwd, env, maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : null;
      resolve({ code, stdout, stderr: error === null ? stderr : `${error.message}\n${stderr}` });
    });
  });
}

async function succeeds(t: ExecutionContext, file: string, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(project, file, ...args);
  t.is(code, 0, `${file} ${args.join(' ')}\n${stdout}\n${stderr}`);
  return stdout;
}

/** The bin, as `npx edgeshift` runs it; `--no` and it fails rather than fetch one of that name. */
const edgeshift = (t: ExecutionContext, ...args: readonly string[]): Promise<string> =>
  succeeds(t, 'npx', '--no', '--', 'edgeshift', ...args);

const json = (text: string): Record<string, unknown> => JSON.parse(text.trimEnd().split('\n').at(-1) ?? '');

/** What npm says when it is the network that fails. */
const offline =
  /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT)\b/;

/** Null once the package is installed, else why it could not be. */
let unreachable: string | null = null;

test.before(async () => {
  unreachable = await install();
});

async function install(): Promise<string | null> {
  const packed = await run(repository, 'npm', 'pack', '--json', '--pack-destination', root);
  if (packed.code !== 0) throw new Error(`npm pack failed\n${packed.stderr}`);
  const [{ filename }] = JSON.parse(packed.stdout) as [{ filename: string }];
  await mkdir(project);
  await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'stranger', private: true, type: 'module' }));
  // Without a network npm would wait for minutes before it says so.
  const patience = ['--fetch-retries=2', '--fetch-retry-mintimeout=500', '--fetch-retry-maxtimeout=2000'];
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', ...patience];
  const tarball = join(root, filename);
  const { size } = await stat(tarball);
  if (size > MAX_BYTES) throw new Error(`the tarball has ${size} bytes, expected at most ${MAX_BYTES}`);
  const installed = await run(project, 'npm', 'install', ...flags, tarball);
  if (installed.code === 0) return null;
  const [reason] = offline.exec(installed.stderr) ?? [];
  if (reason === undefined) throw new Error(`npm install failed\n${installed.stderr}`);
  return `the npm registry cannot be reached (${reason})`;
}

/** A test of the installed package; without a registry it says so instead. */
function testInstalled(title: string, body: (t: ExecutionContext) => Promise<void>): void {
  test.serial(title, async (t) => {
    if (unreachable === null) return body(t);
    t.log(`skipped: ${unreachable}`);
    t.pass();
  });
}

testInstalled('the bin answers, and knows its version and its boards', async (t) => {
  const { version } = JSON.parse(await readFile(join(repository, 'package.json'), 'utf8')) as { version: string };
  t.is((await edgeshift(t, '--version')).trim(), version);
  const profiles = JSON.parse(await edgeshift(t, 'devices', '--json')) as { name: string }[];
  const names = profiles.map(({ name }) => name);
  for (const name of ['jetson-nano-4gb', 'jetson-orin-nano-8gb', 'raspberry-pi-4-4gb', 'this-machine'])
    t.true(names.includes(name), `${name} is not among ${names.join(', ')}`);
});

testInstalled('it plans, trains, exports and evaluates with the wasm it brings', async (t) => {
  const installed = join(project, 'node_modules', 'edgeshift');
  const wasm = await readFile(join(installed, 'dist', 'kernels', 'simd', 'simd.wasm'));
  await t.notThrowsAsync(WebAssembly.compile(wasm));
  const model = await tinyModel(join(project, 'tiny.onnx'));
  const data = await toyImages(join(project, 'images'));
  const settings = ['--batch', '8', '--blocks', '1', '--device', 'jetson-nano-4gb', '--json'];
  const plan = json(await edgeshift(t, 'plan', model, '--classes', '3', ...settings));
  t.like(plan, { fits: true, device: 'jetson-nano-4gb', batch: 8 });
  const rates = ['--lr-head', '0.05', '--lr-weights', '0.02', '--lr-norms', '0.05'];
  const train = ['train', model, '--data', data, '--run', 'run', '--epochs', '6', '--validation', '0.25', ...rates];
  const result = json(await edgeshift(t, ...train, ...settings));
  t.is(result.arenaHighWaterBytes, result.plannedPeakBytes);
  const [before, after] = [result.accuracyBefore as number, result.accuracyAfter as number];
  t.true(after > before, `accuracy ${before} to ${after}, seed 1`);
  const evaluate = ['evaluate', 'run/model.onnx', '--data', data, '--json'];
  const evaluation = json(await edgeshift(t, ...evaluate));
  t.is(evaluation.samples, 36);
  t.true((evaluation.accuracy as number) > before, `accuracy ${evaluation.accuracy} of the exported model`);
});

testInstalled('it profiles a training and writes the report, and has the rules for devices', async (t) => {
  const model = await tinyModel(join(project, 'profiled.onnx'));
  const data = await toyImages(join(project, 'profiled'));
  const train = ['train', model, '--data', data, '--run', 'profiled-run', '--batch', '8', '--blocks', '1'];
  const out = ['--out', 'profile', '--json'];
  const record = json(await edgeshift(t, 'profile', '--cap', '1GiB', ...out, '--', ...train, '--max-steps', '4'));
  t.like(record.outcome, { status: 'finished', exitCode: 0 });
  t.true((record.steps as unknown[]).length > 0);
  t.regex(await readFile(join(project, 'profile', 'report.html'), 'utf8'), /^<!doctype html>/);
  const rules = join(project, 'node_modules', 'edgeshift', 'runtime', 'hid', '70-edgeshift-hid.rules');
  t.true((await stat(rules)).size > 0);
});

testInstalled('the library is imported by its name', async (t) => {
  const script = `
    import { BudgetError, loadProfile, openModel, planReport, planTraining } from 'edgeshift';
    const { name } = await loadProfile('jetson-nano-4gb');
    console.log(JSON.stringify([name, typeof openModel, typeof planTraining, typeof planReport, BudgetError.name]));
  `;
  await writeFile(join(project, 'imports.mjs'), script);
  const [name, ...types] = JSON.parse(await succeeds(t, process.execPath, 'imports.mjs')) as string[];
  t.is(name, 'jetson-nano-4gb');
  t.deepEqual(types, ['function', 'function', 'function', 'BudgetError']);
});

testInstalled('its types resolve without any others', async (t) => {
  const source = `
    import { type Plan, train, type TrainOptions, type TrainResult } from 'edgeshift';
    const options: TrainOptions = { model: 'm.onnx', data: 'd', run: 'r', scheme: 'mobiletl', budgetBytes: 2 ** 28 };
    export const result: Promise<TrainResult> = train(options);
    export const stored = (plan: Plan): number => plan.storedForBackwardBytes;
    // @ts-expect-error a scheme that does not exist
    export const wrong: TrainOptions = { ...options, scheme: 'all' };
  `;
  await writeFile(join(project, 'types.ts'), source);
  const compilerOptions = {
    ...{ strict: true, noEmit: true, module: 'nodenext', target: 'es2023', lib: ['es2023'], types: [] },
    skipLibCheck: true,
  };
  await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['types.ts'] }));
  const tsc = join(repository, 'node_modules', 'typescript', 'bin', 'tsc');
  await succeeds(t, process.execPath, tsc, '-p', '.');
});
